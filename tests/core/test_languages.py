"""The table of languages: every entry is checked against its grammar and a sample of code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lsp_server.core.languages import LANGUAGES, PLAIN_LANGUAGES, UNKNOWN, find_language
from lsp_server.core.languages.entry import Language
from lsp_server.core.parsing import parser_of
from tests.support.samples import SAMPLES, sample

KINDS = ("imports", "statements", "blocks", "strings", "comments", "code_in_strings")
ROOT = Path(__file__).parents[2]
every = pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)


def kinds_in(language: Language) -> set[str]:
    """The kinds of all nodes of the language's sample, which must have no errors."""
    parser = parser_of(language)
    assert parser is not None, f"the grammar of {language.name} is not installed"
    root = parser.parse(sample(language)).root_node
    assert not root.has_error
    found, nodes = set(), [root]
    while nodes:
        node = nodes.pop()
        found.add(node.type)
        nodes.extend(node.children)
    return found


@every
def test_the_grammar_has_every_kind_of_node(language: Language) -> None:
    parser = parser_of(language)
    assert parser is not None, f"the grammar of {language.name} is not installed"
    assert parser.language is not None
    unknown = {
        kind
        for group in KINDS
        for kind in getattr(language, group)
        if parser.language.id_for_node_kind(kind, True) is None
    }
    assert not unknown


# What the samples do without.
ABSENT = {("JSON", "comments"), ("SQL", "blocks"), ("Java", "code_in_strings")}


@every
def test_the_kinds_occur_in_code(language: Language) -> None:
    found = kinds_in(language)
    for group in KINDS:
        kinds = getattr(language, group)
        assert not kinds or kinds & found or (language.name, group) in ABSENT, f"no {group} in the sample"
    assert language.statements
    assert language.blocks


@every
def test_an_entry_is_found_by_identifier_and_by_file_name(language: Language) -> None:
    for identifier in language.ids:
        assert find_language(identifier, "no.such") is language
    assert find_language("", f"src/{SAMPLES[language.name].name}") is language
    assert language.as_comment("x").startswith(language.comment[0])
    re.compile(language.openers)


def test_identifiers_and_samples_are_unambiguous() -> None:
    ids = [identifier for language in (*LANGUAGES, *PLAIN_LANGUAGES) for identifier in language.ids]
    names = [language.name for language in (*LANGUAGES, *PLAIN_LANGUAGES)]
    assert len(ids) == len(set(ids))
    assert len(names) == len(set(names))
    assert set(SAMPLES) == {language.name for language in LANGUAGES}
    assert find_language("nonsense", "a.nonsense") is UNKNOWN


@pytest.mark.parametrize("language", PLAIN_LANGUAGES, ids=lambda language: language.name)
def test_an_entry_without_a_grammar_is_found_too(language: Language) -> None:
    for identifier in language.ids:
        assert find_language(identifier, "no.such") is language
    for pattern in language.files:
        assert find_language("", pattern.replace("*", "x")) is language
    assert language.wheel is None
    assert language.as_comment("x").startswith(language.comment[0])
    for pattern in (language.openers, language.tabbed, language.untabbed):
        re.compile(f"(?:{pattern})$")


@every
def test_the_grammars_wheel_is_a_dependency(language: Language) -> None:
    assert language.wheel is not None
    wheel = language.wheel[0].replace("_", "-")
    assert f'"{wheel}>=' in (ROOT / "pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "line", "opens"),
    [
        ("Python", "def f():", True),
        ("Python", "x = [", True),
        ("Python", "x = 1", False),
        ("C", "if (x) {", True),
        ("C", "case 1:", True),
        ("C", "p->", False),
        ("C", "a ? b :", False),
        ("JavaScript", "items.map((x) =>", True),
        ("JavaScript", "{ name:", False),
        ("C++", "public:", True),
        ("Ruby", "items.each do |item|", True),
        ("Ruby", "def f(a)", True),
        ("Ruby", "x = 1", False),
        ("Lua", "if x then", True),
        ("Lua", "local function f(a)", True),
        ("Lua", "f(a)", False),
        ("Bash", "for x in a; do", True),
        ("Bash", "echo done", False),
        ("SQL", "SELECT", True),
        ("HTML", '<ul class="a">', True),
        ("HTML", "<br/>", False),
        ("YAML", "items:", True),
        ("TOML", "[tool.x]", True),
        ("Markdown", "```python", True),
        ("Markdown", "Note:", False),
        ("Elixir", "def f(x) do", True),
        ("Elixir", "x = fn a ->", True),
        ("Elixir", "x = todo", False),
        ("Haskell", "main = do", True),
        ("Haskell", "f x = x", False),
        ("Julia", "function f(x)", True),
        ("Julia", "x = functional(1)", False),
        ("Fortran", "  DO i = 1, n", True),
        ("Pascal", "begin", True),
        ("Vim script", "function! F() abort", True),
        ("LaTeX", r"\begin{itemize}", True),
        ("LaTeX", r"\end{itemize}", False),
        ("Makefile", "all: a.o b.o", True),
        ("Makefile", "CC := gcc", False),
        ("Dockerfile", "RUN a && \\", True),
        ("Vue", '<div class="a">', True),
        ("CMake", "if(A)", True),
        ("Visual Basic", "Private Sub F()", True),
    ],
)
def test_what_opens_a_block(name: str, line: str, opens: bool) -> None:
    (language,) = [language for language in (*LANGUAGES, *PLAIN_LANGUAGES) if language.name == name]
    assert language.opens_block(line) is opens
    assert language.opens_block(line + "  ") is opens


@pytest.mark.parametrize(
    ("name", "line", "closes"),
    [
        ("C", "  } else {", True),
        ("Ruby", "end", True),
        ("Ruby", "ending", False),
        ("Bash", "fi", True),
        ("C", "x", False),
        ("Elixir", "  end", True),
        ("Elixir", "ending", False),
        ("Fish", "else if a", True),
        ("Erlang", "end.", True),
    ],
)
def test_what_closes_a_block(name: str, line: str, closes: bool) -> None:
    (language,) = [language for language in (*LANGUAGES, *PLAIN_LANGUAGES) if language.name == name]
    assert language.closes_block(line) is closes
