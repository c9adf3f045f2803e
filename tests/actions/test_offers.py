"""What is offered where, from cursor fixtures: `$0` is the cursor, or two of them a selection."""

from __future__ import annotations

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.features.actions.catalogue import ActionError, catalogue, user_action
from lsp_server.features.actions.offers import Offer, Problem, offers

PY = """\
import os


class Box:
    def area(self):
        for side in self.sides:
            print(side)
        return 1


def free(a):
    \"\"\"Doc.\"\"\"
    return a
"""


def offered(
    source: str, language: str = "python", path: str = "a.py", only: list[str] | None = None, problem: str = ""
) -> list[Offer]:
    parts = source.split("$0")
    text = "".join(parts).encode()
    start = len(parts[0].encode())
    end = start + len(parts[1].encode()) if len(parts) == 3 else start
    document = DocumentSnapshot.of(f"file:///{path}", text, path=path, language_id=language)
    problems = [Problem(start, end, problem)] if problem else []
    return offers(document, start, end, problems, catalogue({})[0], only)


def check(source: str, *titles: str, **options: object) -> None:
    assert [offer.title for offer in offered(source, **options)] == list(titles)  # type: ignore[arg-type]


METHOD = (
    "Explain `area`",
    "Generate tests for `area`",
    "Write the doc comment of `area`",
    "Simplify `area`",
    "Add types to `area`",
    "Handle errors and edge cases in `area`",
    "Extract a function from `area`",
    "Convert the loop to a comprehension",
)


def test_in_a_method() -> None:
    check(PY.replace("return 1", "ret$0urn 1"), *METHOD)
    check(PY.replace("    def area", "  $0  def area"), *METHOD)


def test_a_class_a_documented_function_and_nothing() -> None:
    check(
        PY.replace("class Box", "class B$0ox"),
        "Explain `Box`",
        "Generate tests for `Box`",
        "Write the doc comment of `Box`",
        "Simplify `Box`",
        "Add types to `Box`",
        "Handle errors and edge cases in `Box`",
    )
    assert "Update the doc comment of `free`" in [
        offer.title for offer in offered(PY.replace("return a", "$0return a"))
    ]
    check(PY.replace("import os", "import$0 os"))


def test_a_selection_and_a_selected_function() -> None:
    source = PY.replace("for side in", "$0for side in").replace("print(side)", "print(side)$0")
    found = offered(source)
    assert found[0].title == "Explain the selection"
    assert "Generate tests" not in " ".join(offer.title for offer in found)
    subject = found[0].subject
    assert PY.encode()[subject.start : subject.end].decode() == (
        "        for side in self.sides:\n            print(side)"
    )
    whole = PY.replace("def free", "$0def free").replace("return a\n", "return a$0\n")
    assert offered(whole)[0].title == "Explain `free`"


def test_diagnostics_and_kinds() -> None:
    source = PY.replace("return 1", "ret$0urn 1")
    check(source, "Fix: undefined name x", only=["quickfix"], problem="undefined name x")
    check(source, "Extract a function from `area`", only=["refactor.extract"])
    check(source, only=["source", "refactor.inline", "refactor.rewritten"])
    assert len(offered(source, only=[""])) == len(METHOD)


@pytest.mark.parametrize(
    ("language", "path", "source", "name"),
    [
        ("typescript", "a.ts", "export const f = async (a: number) => {\n  return a$0;\n};\n", "f"),
        ("go", "a.go", "package a\n\nfunc (b *Box) Area() int {\n\treturn$0 1\n}\n", "Area"),
        ("rust", "a.rs", "impl Box {\n    #[inline]\n    fn area(&self) -> u8 {\n        1$0\n    }\n}\n", "area"),
        ("java", "A.java", "class A {\n    @Override\n    int area() { return$0 1; }\n}\n", "area"),
        ("c", "a.c", "static int *area(int a) {\n  return$0 0;\n}\n", "area"),
        ("cpp", "a.cc", "template <class T> T area(T a) {\n  return$0 a;\n}\n", "area"),
    ],
)
def test_other_languages(language: str, path: str, source: str, name: str) -> None:
    found = offered(source, language=language, path=path)
    assert f"Explain `{name}`" in [offer.title for offer in found]
    assert f"Generate tests for `{name}`" in [offer.title for offer in found]


@pytest.mark.parametrize(
    ("comment", "instruction"),
    [
        ("# fimble: make this async", "make this async"),
        ("# Fimble:use a set  ", "use a set"),
        ("# nothing", ""),
        ('x = "fimble: no"', ""),
    ],
)
def test_an_instruction_in_a_comment(comment: str, instruction: str) -> None:
    found = [offer for offer in offered(f"{comment}\ndef f():\n    return$0 1\n") if offer.action.id == "edit"]
    assert [offer.instruction for offer in found] == ([instruction] if instruction else [])


def test_an_unknown_language_has_selections_only() -> None:
    titles = [offer.title for offer in offered("some $0words$0 here\n", language="plaintext", path="a.txt")]
    assert titles == [
        "Explain the selection",
        "Simplify the selection",
        "Handle errors and edge cases in the selection",
        "Extract a function from the selection",
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "has no `prompt`"),
        ({"prompt": 3}, "`prompt` must be a text"),
        ({"prompt": "x", "result": "burn"}, "`result` must be one of"),
        ({"prompt": "x", "targets": ["house"]}, "`targets` may hold"),
        ({"prompt": "x", "languages": "Python"}, "`languages` must be a list"),
        ({"prompt": "x", "result": "new_file"}, "needs `file`"),
        ({"prompt": "x", "titel": "x"}, "unknown key `titel`"),
    ],
)
def test_a_wrong_action_in_the_settings_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ActionError, match=message):
        user_action("mine", values)
    assert len(catalogue({"mine": values})[1]) == 1
