"""Which part of an answer is the code: fences and indentation that belong to the code stay in it, to the letter."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.features.actions.catalogue import catalogue
from lsp_server.features.actions.offers import subject_at
from lsp_server.features.actions.results import read_rewriting

ACTIONS, _ = catalogue({})
FENCED_TEXT = "```python\nx = 1\n```"
BARE_FENCES = "```\nx = 1\n```"


@dataclass(frozen=True)
class Held:
    """A file with a function or a selection, whose text holds lines at column 0 that `{}` stands for. old, new: what the
    edit changes in it."""

    path: str
    source: str
    code: str
    old: str
    new: str

    def document(self, inner: str) -> DocumentSnapshot:
        text = self.source.replace("@@", self.code).replace("{}", inner)
        return DocumentSnapshot.of(f"file:///w/{self.path}", text.encode(), path=self.path)

    def edited(self, inner: str, answer: str) -> str:
        """The document after an answer, or the problem behind `!`."""
        document = self.document(inner)
        code = self.code.replace("{}", inner)
        start = document.source.index(code.encode())
        subject = subject_at(document, start, start + len(code.encode()))
        assert subject is not None
        found = read_rewriting(answer, document, subject, ACTIONS["edit"])
        if found.problem:
            return f"!{found.problem}"
        return document.edited(found.start, found.end, found.text).source.decode()

    def expected(self, inner: str) -> str:
        return self.document(inner).source.decode().replace(self.old, self.new)

    def answer(self, inner: str, *, shallow: bool = False) -> str:
        """The code as a model writes it: at the left margin, or only its first line."""
        margin = "" if shallow else self.source.partition("@@")[0].rpartition("\n")[2]
        lines = (line.removeprefix(margin) for line in self.code.split("\n"))
        return "\n".join(lines).replace("{}", inner).replace(self.old, self.new)


HELD = {
    "python": Held("a.py", "import os\n\n\n@@\n", 'def page(x):\n    text = """\n{}\n"""\n    return text + x', "+ x", "+ str(x)"),
    "python_method": Held("a.py", "class A:\n    @@\n", 'def page(self, x):\n        text = """\n{}\n"""\n        return text + x', "+ x", "+ str(x)"),
    "javascript": Held("a.js", "use(page);\n\n@@\n", "function page(x) {\n  const text = String.raw`\n{}\n`;\n  return text + x;\n}", "+ x", "+ `${x}`"),
    "typescript_method": Held("a.ts", "class A {\n  @@\n}\n", 'page(x: number) {\n    return `\n{}\n${x}`;\n  }', "${x}", "${x + 1}"),
    "go": Held("a.go", "package a\n\n@@\n", 'func page(x string) string {\n\ttext := "" + /*\n{}\n*/ x\n\treturn text\n}', "return text", "return text + x"),
    "rust": Held("a.rs", "use std::fs;\n\n@@\n", 'fn page(x: &str) -> String {\n    let text = r#"\n{}\n"#;\n    format!("{text}{x}")\n}'.replace("{text}{x}", "[text]"), "[text]", "[text]!"),
    "java_method": Held("A.java", "class A {\n    @@\n}\n", 'String page(String x) {\n        /*\n{}\n*/\n        return x;\n    }', "return x", "return x + x"),
    "c": Held("a.c", "#include <stdio.h>\n\n@@\n", "int page(int x) {\n    /*\n{}\n*/\n    return x;\n}", "return x", "return x + 1"),
    "cpp": Held("a.cpp", "#include <string>\n\n@@\n", 'int page(int x) {\n    auto text = R"(\n{}\n)";\n    return x;\n}', "return x", "return x + 1"),
    "kotlin": Held("a.kt", "import a.b\n\n@@\n", 'fun page(x: Int): String {\n    val text = """\n{}\n"""\n    return text\n}', "return text", "return text + x"),
    "bash": Held("a.sh", "set -e\n\n@@\n", "page() {\n    cat <<'EOF'\n{}\nEOF\n    echo $1\n}", "echo $1", 'echo "$1"'),
    "markdown": Held("a.md", "# Top\n\n@@\n\n# End\n", "## Use\n\nRun it:\n\n{}\n\nand look.", "and look", "then look"),
    "toml": Held("a.toml", "@@\n\n[other]\nx = 1\n", 'text = """\n{}\n"""\nname = "x"', 'name = "x"', 'name = "y"'),
    "text": Held("a.txt", "Top\n\n@@\n\nEnd\n", "Run it:\n\n{}\n\nand look", "and look", "then look"),
    "elixir": Held("a.ex", "use A\n\n@@\n", 'def page(x) do\n  text = """\n{}\n"""\n  text <> x\nend', "<> x", "<> x <> x"),
}  # fmt: skip


def wrappings(code: str, tag: str) -> dict[str, str]:
    return {
        "fence": f"```{tag}\n{code}\n```",
        "prose_around": f"Here is the new code:\n\n```{tag}\n{code}\n```\n\nIt now does what you asked for.",
        "longer_fence": f"````{tag}\n{code}\n````",
        "other_fence": f"~~~{tag}\n{code}\n~~~",
        "no_tag": f"```\n{code}\n```",
        "bare": code,
        "prose_in_front": f"Sure! Here is the updated version of the code:\n\n{code}",
        "no_end": f"```{tag}\n{code}",
        "thinks_first": f"The old code:\n\n```{tag}\nx = 0\n```\n\nThe new code:\n\n```{tag}\n{code}\n```",
    }


CASES = [
    (name, inner)
    for name in HELD
    for inner in (FENCED_TEXT, BARE_FENCES, "~~~\nx\n~~~", f"{BARE_FENCES}\n\n{FENCED_TEXT}")
    if not (name.endswith(("script", "script_method")) and "`" in inner)  # they would end the string
]


@pytest.mark.parametrize(("name", "inner"), CASES)
def test_fences_in_the_code_stay_in_it_or_there_is_no_edit(name: str, inner: str) -> None:
    held = HELD[name]
    tag = {"javascript": "js", "markdown": "markdown", "bash": "sh"}.get(name, name.partition("_")[0])
    for wrapping, answer in wrappings(held.answer(inner), tag).items():
        after = held.edited(inner, answer)
        assert after.startswith("!") or after == held.expected(inner), wrapping
        if wrapping in {"longer_fence"} or (wrapping in {"fence", "prose_around"} and name not in {"text", "elixir"}):
            assert after == held.expected(inner), wrapping


@pytest.mark.parametrize("inner", ["left", "  left\n\n deeper\t", "\ttab\n    four"])
@pytest.mark.parametrize(
    "name", [name for name in HELD if name not in {"markdown", "text", "elixir", "go", "java_method", "c"}]
)
def test_what_stands_left_of_the_code_in_a_string_stays_there(name: str, inner: str) -> None:
    held = HELD[name]
    for shallow in (False, True):
        answer = held.answer(inner, shallow=shallow)
        assert held.edited(inner, f"```\n{answer}\n```") == held.expected(inner)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("a.py", '1: "a",\n2: "b",', '1: "a",\n2: "c",'),
        ("a.md", "> quoted\n> text", "> other\n> text"),
        ("a.md", "two spaces  \nbreak a line", "two spaces  \nbreak lines"),
        ("a.txt", "1 | a\n2 | b", "1 | a\n2 | c"),
        ("a.txt", "- old\n+ new", "- old\n+ newer"),
    ],
)
def test_marks_that_the_code_itself_has_are_not_taken_off(path: str, old: str, new: str) -> None:
    held = Held(path, "x = {\n@@\n}\n", old, old, new)
    assert held.edited("", f"Here:\n```\n{new}\n```") == held.expected("")


def test_a_diff_in_a_string_is_no_diff_of_the_code() -> None:
    held = Held(
        "a.py", "import os\n\n@@\n", 'def page():\n    return """\n@@ -1 +1 @@\n-a\n+b\n"""', '+b\n"""', '+c\n"""'
    )
    source = held.source.replace("@@", held.code, 1)
    document = DocumentSnapshot.of("file:///w/a.py", source.encode(), path="a.py")
    subject = subject_at(document, source.index("page"), source.index("page"))
    assert subject is not None
    answer = held.code.replace(held.old, held.new)
    found = read_rewriting(f"```python\n{answer}\n```", document, subject, ACTIONS["edit"])
    assert found.text.decode() == answer


def test_an_example_in_front_of_the_code_is_not_the_code() -> None:
    """Where nothing but the text tells: the block that is most like what it replaces."""
    held = Held("a.sh", "set -e\n\n@@\n", "page() {\n    echo $1\n}", "echo $1", 'echo "$1"')
    answer = f"Call it like this:\n```sh\npage x\n```\nThe function:\n```sh\n{held.answer('')}\n```"
    assert held.edited("", answer) == held.expected("")
