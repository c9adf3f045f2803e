"""How a small model's answer begins: with what is known of the code, so that it writes the rest and nothing else."""

from __future__ import annotations

from lsp_server.core.document import DocumentSnapshot
from lsp_server.features.actions.catalogue import catalogue
from lsp_server.features.actions.offers import Offer, subject_at
from lsp_server.features.actions.prompts import Question, again, build

PYTHON = '''\
class Box:
    @cached
    def area(self, scale: int) -> int:
        """The area."""
        return self.width * scale$0
'''
GO = "package m\n\nfunc (b *Box) Area(scale int) int {\n\treturn b.width$0 * scale\n}\n"
TYPESCRIPT = "class Box {\n  area<T>(scale: T): T {\n    return scale$0;\n  }\n}\n"


def asked(source: str, path: str, action: str) -> Question:
    text, cursor = source.replace("$0", "").encode(), source.index("$0")
    document = DocumentSnapshot.of(f"file:///{path}", text, path=path, language_id="")
    subject = subject_at(document, cursor, cursor)
    assert subject is not None
    return build(document, Offer(catalogue({})[0][action], subject, action), 4096)


def check(source: str, path: str, action: str, lead: str) -> None:
    """The answer to `action` at `$0` begins with `lead`, behind the fence."""
    assert asked(source, path, action).lead.partition("\n")[2] == lead


def test_a_function_whose_header_stays_is_given_up_to_its_body() -> None:
    check(PYTHON, "m.py", "simplify", '@cached\ndef area(self, scale: int) -> int:\n    """The area."""\n')
    check(
        PYTHON.replace('        """The area."""\n', ""),
        "m.py",
        "errors",
        "@cached\ndef area(self, scale: int) -> int:\n",
    )
    check(GO, "m.go", "simplify", "func (b *Box) Area(scale int) int {\n")
    check(TYPESCRIPT, "m.ts", "errors", "area<T>(scale: T): T {\n")


def test_a_function_whose_header_may_change_is_given_up_to_its_name() -> None:
    check(PYTHON, "m.py", "types", "@cached\ndef area")
    check(PYTHON, "m.py", "fix", "@cached\ndef area")
    check(PYTHON.replace("@cached", "@area.setter"), "m.py", "fix", "@area.setter\ndef area")
    check(GO, "m.go", "fix", "func (b *Box) Area")
    check(TYPESCRIPT, "m.ts", "types", "area")


def test_the_name_is_found_behind_decorators_and_types() -> None:
    check("#[retry(times = 3)]\nfn retry(a: u8) {\n    a$0;\n}\n", "a.rs", "fix", "#[retry(times = 3)]\nfn retry")
    check(
        "std::optional<int> optional(int a = f(1)) {\n  return a$0;\n}\n", "a.cpp", "fix", "std::optional<int> optional"
    )
    check("@deco('def f(x)')\ndef f(x=f(1)):\n    return x$0\n", "m.py", "fix", "@deco('def f(x)')\ndef f")


def test_only_a_docstring_on_lines_of_its_own_is_given() -> None:
    check('def f(x): """It."""; return x$0\n', "m.py", "simplify", "def f(x):\n")
    check('def f(x):\n    """It."""; y = 1\n    return x$0\n', "m.py", "simplify", "def f(x):\n")


def test_an_instruction_may_want_anything_in_front() -> None:
    check(PYTHON, "m.py", "edit", "")


def test_tests_are_named_after_the_function() -> None:
    check(PYTHON.replace("area", "__init__"), "m.py", "tests", "\n\n\ndef test_init")
    check(GO, "m.go", "tests", "\n\nfunc TestArea")


def test_a_second_answer_begins_inside_the_first_line_of_the_body() -> None:
    """It begins with another token than the first would, which must not be another indentation."""
    second = again(asked(PYTHON, "m.py", "simplify"), "def area(", "it does not parse", 4096)
    assert second.lead.endswith('"""The area."""\n   ')
    second = again(asked(GO, "m.go", "simplify"), "func (", "it does not parse", 4096)
    assert second.lead.endswith("int {\n")
    second = again(asked(PYTHON, "m.py", "types"), "def area(", "it does not parse", 4096)
    assert second.lead.endswith("def area")
