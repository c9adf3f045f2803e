"""What a suggestion brings: only that counts, whatever stands there already, and no text takes long."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

from lsp_server.core.danger.check import Checked, check, check_range
from lsp_server.core.danger.reading import MOST_NODES
from lsp_server.core.danger.search import LANGUAGES, MOST_FINDINGS
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.shape import Suggestion
from tests.core.danger.cases import FILES, cases
from tests.support.cursor import parse_cursor
from tests.support.effort import scaled


def checked(source: str, text: str, *, language: str = "python", replaced: int = 0, rules: bool = True) -> Checked:
    document, offset = parse_cursor(source, language_id=language, path="")
    return check(document, Suggestion(text, offset, offset + replaced), rules=rules)


def ids(found: Checked) -> list[str]:
    return [each.id for each in found.findings]


def test_what_a_suggestion_brings_is_found_by_its_own_bytes() -> None:
    text = "x = 'ü'\n    os.system('rm ' + path)"
    found = checked("import os\ndef f(path):\n    $0\n", text)
    (finding,) = found.findings
    encoded = text.encode()
    assert encoded[finding.start : finding.end] == b"os.system('rm ' + path)"
    assert finding.statement == finding.start
    assert not finding.never
    assert found.whole


@pytest.mark.parametrize(
    ("source", "text"),
    [
        pytest.param("def f(path):\n    os.system('rm ' + path)\n    $0\n", "return path", id="above"),
        pytest.param("def f(path):\n    $0\n    os.system('rm ' + path)\n", "path = g(path)", id="below"),
        pytest.param("os.system('rm ' + path$0)\n", ".strip()", id="around"),
        pytest.param("os.system('rm ' + path)$0\n", "  # done", id="on the line"),
    ],
)
def test_what_stands_there_already_does_not_count(source: str, text: str) -> None:
    assert ids(checked(source, text)) == []


@pytest.mark.parametrize(
    ("source", "text"),
    [
        pytest.param("os.system('rm ' + $0)\n", "path", id="inside a call"),
        pytest.param("os.sys$0\n", "tem('rm ' + path)", id="inside a name"),
        pytest.param("requests.get(url, verify=$0)\n", "False", id="a keyword's value"),
        pytest.param("x = 1; os.system('rm $0')\n", "' + path + '", id="inside a string"),
    ],
)
def test_what_a_suggestion_makes_of_the_beginning_that_stands_there_counts(source: str, text: str) -> None:
    (finding,) = checked(source, text).findings
    assert finding.start < 0


@pytest.mark.parametrize(
    ("language", "source", "text"),
    [
        pytest.param("javascript", "$0\n", "e.insertAdjacentHTML('a', `<b>${name}`, () => {\n  f();", id="a call"),
        pytest.param("javascript", "f(() => {\n  g(element.innerHTML = $0\n", "name, [1", id="an assignment"),
        pytest.param("python", "x = f($0\n", "eval(y), [", id="inside another"),
        pytest.param("python", "import os\nos.system($0", "'rm ' +", id="a concatenation"),
        pytest.param("python", "import os\n$0\n", "os.system(\n    'rm %s' %", id="a format"),
        pytest.param("javascript", "$0\n", "element.innerHTML =", id="an assignment without its value"),
        pytest.param("php", "<?php\n$0\n", "exec('rm ' .", id="a concatenation in PHP"),
    ],
)
def test_brackets_may_still_be_open(language: str, source: str, text: str) -> None:
    assert ids(checked(source, text, language=language)) != []


def test_what_is_replaced_is_not_there_any_more() -> None:
    assert ids(checked("x = f($0)\n", "eval(text))", replaced=1)) == ["code"]


def test_a_name_is_followed_into_the_context() -> None:
    source = "def f(dir):\n    command = 'ls ' + dir\n    $0\n"
    assert ids(checked(source, "os.system(command)")) == ["shell"]
    assert ids(checked(source.replace("+ dir", "+ shlex.quote(dir)"), "os.system(command)")) == []
    assert ids(checked(source.replace("'ls ' + dir", "'ls'"), "os.system(command)")) == []


def test_switched_off_only_names_that_look_like_others_are_found() -> None:
    assert ids(checked("$0\n", "eval(x)", rules=False)) == []
    found = checked("$0\n", "\u0430dmin = eval(x)", rules=False)
    assert ids(found) == ["lookalike"]
    assert found.findings[0].never


@pytest.mark.parametrize(
    ("source", "text", "found"),
    [
        pytest.param("$0\n", "\u0430dmin = 1", ["lookalike"], id="a name"),
        pytest.param("\u0430dmin = 1\n$0\n", "f(\u0430dmin)", [], id="a name that stands there"),
        pytest.param("\u0430dmin2 = 1\n$0\n", "f(\u0430dmin)", ["lookalike"], id="another stands there"),
        pytest.param("x\u0430$0\n", "b = 1", [], id="a name that the user has begun so"),
        pytest.param("$0\n", "x = '\u0430dmin'", [], id="a string"),
        pytest.param("$0\n", "# \u0430dmin", [], id="a comment"),
        pytest.param("$0\n", "x = f'{\u0430dmin}'", ["lookalike"], id="code in a string"),
        pytest.param("$0\n", "имя = 1", [], id="a name in one script"),
        pytest.param("exec = 1\n$0\n", "\u0435\u0445\u0435\u0441 = 2", ["lookalike"], id="it looks like one"),
        pytest.param("$0\n", "x =\u00a01", ["space"], id="an odd space that is left"),
        pytest.param("$0\n", "x = '\u00a0'", [], id="an odd space in a string"),
    ],
)
def test_names_and_spaces_that_look_like_others(source: str, text: str, found: list[str]) -> None:
    assert ids(checked(source, text)) == found


def test_prose_and_data_have_no_names() -> None:
    for language in ("markdown", "json", "yaml", "html", "plaintext"):
        assert ids(checked("$0\n", "\u0430dmin \u00a0 eval(x)", language=language)) == []


def test_scripts_in_a_page_are_checked() -> None:
    page = "<html>\n<script>\n$0\n</script>\n</html>\n"
    assert ids(checked(page, "element.innerHTML = name;", language="html")) == ["html"]


def test_a_function_is_checked_by_its_range() -> None:
    source = b"def f(x):\n    return eval(x)\n\ndef g(x):\n    return eval(x)\n"
    document = DocumentSnapshot.of("file:///x.py", source, language_id="python")
    (finding,) = check_range(document, source.index(b"def g"), len(source)).findings
    assert finding.start + source.index(b"def g") == source.rindex(b"eval")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        pytest.param(5_000, ["lookalike", "code"], id="longer than what a suggestion is checked of"),
        pytest.param(20_000, [], id="longer than what is parsed"),
    ],
)
def test_it_is_told_whether_all_of_a_long_range_was_looked_at(lines: int, found: list[str]) -> None:
    source = "value = 'some text'\n" * lines + "\u0430dmin = eval(value)\n"
    document = DocumentSnapshot.of("file:///x.py", source.encode(), language_id="python")
    checked = check_range(document, 0, len(document.source))
    assert (ids(checked), checked.whole) == (found, bool(found))


@pytest.mark.parametrize("rules", [True, False])
def test_it_is_told_whether_all_of_a_long_suggestion_was_looked_at(rules: bool) -> None:
    assert not checked("$0\n", "x = 'ü'\n" * 10_000, rules=rules).whole


# Hostile texts ------------------------------------------------------------------------------------------------

_DEEP = {
    "brackets": "f(" * 20_000,
    "closed brackets": "(" * 5_000 + ")" * 5_000,
    "lists": "[" * 50_000,
    "calls": "eval(" * 3_000 + "x" + ")" * 3_000,
    "a long sum": "os.system('a' " + "+ b" * 50_000 + ")",
    "a long line": "x = eval(y); " * 80_000,
    "a long string": "x = '" + "a" * 1_000_000 + "'",
    "a long name": "x" * 1_000_000,
    "a long f-string": "x = f'" + "{a}" * 100_000 + "'",
    "SQL without end": "x = 'SELECT a FROM b WHERE " + "c = 1 AND " * 20_000 + "' + y",
    "names that name each other": "".join(f"a{n} = a{n - 1} + a{n + 1}\n" for n in range(3_000)) + "open(a3)",
    "odd letters": "\u0430b = " * 50_000,
    "blocks": "".join(" " * n + "if x:\n" for n in range(1_000)),
    "NULs": "x = 'SELECT \0 FROM \0 WHERE a = \0' % b\n" * 2_000,
}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many nodes each search has left."""
    from lsp_server.core.danger import search

    left: list[int] = []

    class Counted(search.Search):
        def findings(self, *arguments: Any) -> Any:
            found = super().findings(*arguments)
            left.append(self._reader.left)
            return found

    monkeypatch.setattr("lsp_server.core.danger.check.Search", Counted)
    return left


@pytest.mark.parametrize("language", FILES)
@pytest.mark.parametrize("name", _DEEP)
def test_a_hostile_text_is_bounded(language: str, name: str, counted: list[int]) -> None:
    found = checked("<?php\n$0\n" if language == "php" else "$0\n", _DEEP[name], language=language)
    assert len(found.findings) <= 2 * MOST_FINDINGS
    assert all(MOST_NODES >= left > -MOST_NODES for left in counted)


def test_fuzzed_texts_are_checked_and_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    told = {"exec", "compile", "open", "import", "os.system", "subprocess.Popen", "socket.connect"}
    listening = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if listening and event in told:
            events.append(f"{event} {arguments[:1]}")

    known = cases()
    for case in known:  # so that all is imported
        check_range(DocumentSnapshot.of("file:///x", case.code.encode(), language_id=case.language), 0, len(case.code))
    chance = random.Random(21)
    pieces = [
        "\0",
        "\u202e",
        "\u0430",
        "'",
        '"',
        '"""',
        "`",
        "{",
        "}",
        "(",
        ")",
        "\\",
        "\n",
        "    ",
        "#",
        "//",
        "/*",
        "%s",
    ]
    sys.addaudithook(hook)
    try:
        for _ in range(scaled(2000)):
            case = chance.choice(known)
            text = case.code
            for _ in range(chance.randrange(1, 6)):
                at = chance.randrange(len(text) + 1)
                kind = chance.randrange(3)
                if kind == 0:
                    text = text[:at] + chance.choice(pieces) + text[at:]
                elif kind == 1:
                    text = text[:at] + text[at + chance.randrange(20) :]
                else:
                    text = text[:at] + chance.choice(known).code[: chance.randrange(60)] + text[at:]
            cut = chance.randrange(len(text) + 1)
            document = DocumentSnapshot.of("file:///x", text[:cut].encode(), language_id=case.language)
            size = len(document.source)
            found = check(document, Suggestion(text[cut:], size, size))
            for each in found.findings:
                assert each.start < each.end
                assert -size <= each.statement <= each.start
                assert each.end > 0
    finally:
        listening = False
    assert events == []


def test_all_languages_with_rules_are_known_ones() -> None:
    names = {find_language(id).name for id in FILES}
    assert set(LANGUAGES) == names
