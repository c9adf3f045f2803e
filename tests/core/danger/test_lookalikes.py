"""Names and spaces that look like others, in what a model wrote."""

from __future__ import annotations

import random
import unicodedata

import pytest

from lsp_server.core.danger.lookalikes import (
    LOOKALIKES,
    ODD_SPACE,
    names_in,
    suspicious_names,
    why_suspicious,
    with_plain_spaces,
)
from lsp_server.core.hole import find_hole
from lsp_server.core.shape import shape
from lsp_server.core.stopping import stop_rule
from tests.support.cursor import parse_cursor
from tests.support.effort import scaled


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("\u0430dmin", id="a Cyrillic a"),
        pytest.param("p\u0430ssw\u043erd", id="two Cyrillic letters"),
        pytest.param("is_\u0430dmin", id="behind an underscore"),
        pytest.param("\u0435_mail", id="a part of its own"),
        pytest.param("n\u03bfde", id="a Greek o"),
        pytest.param("\u0391lpha", id="a Greek A"),
        pytest.param("user\u0416", id="a Cyrillic letter like none, in a Latin name"),
        pytest.param("\u0430\u03bf", id="Cyrillic and Greek"),
        pytest.param("\u0585pen", id="an Armenian o"),
        pytest.param("\uff45val", id="a full-width letter"),
        pytest.param("\uff45\uff56\uff41\uff4c", id="full-width throughout"),
        pytest.param("x\uff11", id="a full-width digit"),
        pytest.param("\U0001d41e\U0001d42f\U0001d41a\U0001d425", id="mathematical letters"),
        pytest.param("\ufb01le", id="a ligature"),
        pytest.param("environment\u01c3", id="a click that looks like a mark"),
        pytest.param("\u0251dmin", id="a phonetic a"),
    ],
)
def test_a_name_that_looks_like_another(name: str) -> None:
    assert why_suspicious(name)
    assert suspicious_names(f"x = {name}(1)", {"x"}) == [(4, 4 + len(name), why_suspicious(name))]
    assert suspicious_names(f"x = {name}(1)", {name}) == []


@pytest.mark.parametrize(
    "name",
    [
        "admin",
        "имя",
        "имя_пользователя",
        "όνομα",
        "переменная2",
        "größe",
        "naïve_façade",
        "名前",
        "get名前",
        "ユーザー",
        "사용자",
        "مستخدم",
        "Δx",
        "σ_max",
        "θ1",
        "α_2",
        "x²",
        "µs",
        "aªº",
        "Ñandú",
        "ığdır",
    ],
)
def test_a_name_in_one_script_or_as_people_write_them(name: str) -> None:
    assert why_suspicious(name) == ""


def test_a_name_of_another_script_may_not_look_like_one_of_the_document() -> None:
    exec_in_cyrillic = "\u0435\u0445\u0435\u0441"
    assert why_suspicious(exec_in_cyrillic) == ""
    assert "looks like exec" in why_suspicious(exec_in_cyrillic, {"exec"})
    assert why_suspicious("\u03b1", {"a"}) == "", "a letter of mathematics stands for itself"


def test_what_is_told_of_a_name_shows_its_letters() -> None:
    told = why_suspicious("\u0430dmin")
    assert told.isascii()
    assert "\\u0430dmin" in told


def test_the_table_names_letters_by_their_shape() -> None:
    assert len(LOOKALIKES) < 200
    for code, plain in LOOKALIKES.items():
        name = unicodedata.name(chr(code))
        assert name.split()[0] in {"GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE", "LATIN"}, name
        assert len(plain) == 1
        assert plain.isascii()
        if plain.isalpha() and name.startswith(("GREEK CAPITAL", "CYRILLIC CAPITAL", "ARMENIAN CAPITAL")):
            assert plain.isupper(), name
        if plain.isalpha() and name.startswith(("GREEK SMALL", "CYRILLIC SMALL", "ARMENIAN SMALL")):
            assert plain.islower(), name


def shown(source: str, written: str, *, language: str = "python", path: str = "main.py") -> str | None:
    document, offset = parse_cursor(source, language_id=language, path=path)
    hole = find_hole(document, offset)
    suggestion = shape(written, document, hole, stop_rule(document, hole, 8))
    return suggestion and suggestion.text


@pytest.mark.parametrize("space", "\u00a0\u2003\u2009\u202f\u3000")
@pytest.mark.parametrize(
    ("source", "written", "expected"),
    [
        pytest.param("return a$0\n", "_+_b", " + b", id="code"),
        pytest.param("return a$0\n", " + 'x_y'", " + 'x_y'", id="a string stays"),
        pytest.param("x = 'a$0\n", "_b' +_c", "_b' + c", id="a string that is open in front of it"),
        pytest.param("x = 1  $0\n", "# a_b", "# a_b", id="a comment stays"),
        pytest.param("def f():\n    $0\n", "____x_= 1", "x = 1", id="an indentation"),
        pytest.param('def f():\n    """A\n    $0\n    """\n', "b_c", "b_c", id="inside a long string"),
    ],
)
def test_odd_spaces_become_plain_ones_in_code(source: str, written: str, expected: str, space: str) -> None:
    assert shown(source, written.replace("_", space)) == expected.replace("_", space)


def test_odd_spaces_stay_in_prose() -> None:
    assert shown("Ten $0\n", "\u00a0kg of it", language="markdown", path="a.md") == "\u00a0kg of it"


def test_of_a_beginning_it_makes_a_beginning() -> None:
    alphabet = ["a", " ", "\n", '"', "'", '"""', "#", "\\", "\u00a0", "\u3000", "(", ")", "/*", "*/", "//"]
    chance = random.Random(7)
    for _ in range(scaled(2000)):
        left = chance.choice(["", "x = '", "# ", "f(", '"'])
        text = "".join(chance.choices(alphabet, k=chance.randrange(30)))
        for comment in ("#", "//"):
            whole = with_plain_spaces(text, left, "\"'", ('"""', "'''"), comment)
            assert len(whole) == len(text)
            cut = chance.randrange(len(text) + 1)
            part = with_plain_spaces(text[:cut], left, "\"'", ('"""', "'''"), comment)
            begun = text[:cut].rstrip("\"'/")
            assert part[: len(begun)] == whole[: len(begun)]


def test_hostile_texts_take_no_time_to_speak_of() -> None:
    for text in ("\u0430" * 200_000, '\u00a0"' * 200_000, "a\u0430_" * 100_000, "/*" * 200_000 + "\u00a0"):
        assert len(with_plain_spaces(text, "", "\"'", ('"""',), "//")) == len(text)
        assert len(suspicious_names(text, frozenset())) <= 1 + text.count("_")
    assert ODD_SPACE.search(" \t\n") is None
    assert names_in("a b.c") == {"a", "b", "c"}
