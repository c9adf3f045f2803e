"""Finds look-alike names and odd spaces: letters of another script, letters in another form, unusual spaces.

A name with such a letter looks like another name. Not reported: a name that is written in one script
throughout, and a name that mixes Latin letters with a script that has no similar letters, as readers of Chinese or
Arabic often write. An odd space in code is an error in most languages, and part of a name in some.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

from lsp_server.core.languages.entry import Language

# Letters that look like Latin letters in most fonts: the first code point of a run, and the Latin letter for each code
# point from there on. A dot stands for a letter that looks like none.
_RUNS = (
    (0x0391, "AB..EZH.IK.MN.O.P..TY.X"),  # Greek capitals
    (0x03B1, "a.....n.i...v.o.p...u.x"),
    (0x03F2, "cj"),
    (0x03F9, "C"),
    (0x0405, "SI.J"),  # Cyrillic
    (0x0410, "A.B..E....K.MHO.PCTY.X"),
    (0x0430, "a....e....k...o.pc.y.x"),
    (0x0455, "si.j"),
    (0x0474, "Vv"),
    (0x04AE, "Yy"),
    (0x04BA, "Hh"),
    (0x04C0, "I"),
    (0x04CF, "l"),
    (0x0501, "d"),
    (0x050C, "G"),
    (0x051A, "QqWw"),
    (0x054D, "U"),  # Armenian
    (0x0555, "O"),
    (0x0561, "w"),
    (0x0570, "h"),
    (0x0578, "n"),
    (0x057D, "u"),
    (0x0581, "g"),
    (0x0585, "o"),
    (0x13A0, "DRT"),  # Cherokee
    (0x13AA, "A"),
    (0x13B7, "M"),
    (0x13BB, "H"),
    (0x13E2, "P"),
    (0x0251, "a"),  # letters of phonetics and clicks, which count as Latin
    (0x0261, "g"),
    (0x0269, "i"),
    (0x01C0, "l"),
    (0x01C3, "!"),
)
LOOKALIKES = {first + step: letter for first, letters in _RUNS for step, letter in enumerate(letters) if letter != "."}
# Scripts with letters that look like Latin ones: nobody has a good reason to mix them with Latin letters in a name.
_ALIKE = frozenset({"GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"})
# Prefixes of Unicode decompositions of superscripts and subscripts, which nobody confuses with the plain letter.
_RAISED = ("<super>", "<sub>")

_NAME = re.compile(r"[^\W\d]\w*")
_PART = re.compile(r"[^\W\d_]+")
ODD_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")

Match = re.Match[str]

# Languages of data and prose, where text may stand outside strings and comments.
_NO_CODE = frozenset({"HTML", "CSS", "JSON", "YAML", "TOML", "Markdown"})

CWE = 1007
SAFE = "write the name in the letters of one script"


def suspicious_names(text: str, known: Collection[str]) -> list[tuple[int, int, str]]:
    """The start and end of each look-alike name in `text`, with the reason in words for the user. known: names that the
    user has written; they are not reported, and no other name may look like one of them."""
    if text.isascii():
        return []
    found = []
    for match in _NAME.finditer(text):
        name = match.group()
        if not name.isascii() and name not in known and (why := why_suspicious(name, known)):
            found.append((match.start(), match.end(), why))
    return found


def has_names(language: Language) -> bool:
    """Whether a text of `language` is code: outside strings and comments it has only names and signs."""
    return not language.prose and language.name not in _NO_CODE


def names_in(text: str) -> frozenset[str]:
    """All names in `text`."""
    return frozenset(_NAME.findall(text))


def why_suspicious(name: str, known: Collection[str] = ()) -> str:
    """The reason why `name` looks like another name, or an empty string. known: names that it must not look like."""
    letters = [letter for letter in name if letter.isalpha()]
    if any(map(_in_other_form, name)):
        return f"the name {_spelt(name)} has letters that are another form of plain ones"
    if any(ord(letter) in LOOKALIKES and _script(letter) == "LATIN" for letter in letters):
        return f"the name {_spelt(name)} has letters that look like other ones"
    for part in _PART.findall(name):
        scripts = {_script(letter) for letter in part}
        foreign = scripts & _ALIKE
        alike = any(ord(letter) in LOOKALIKES for letter in part)
        # In mathematical names a Greek letter may stand beside a Latin one, unless the two look alike.
        if foreign and len(scripts) > 1 and (alike or foreign - {"GREEK"}):
            return f"the name {_spelt(name)} mixes scripts whose letters look alike"
    foreign = {_script(letter) for letter in letters} & _ALIKE
    latin = any("a" <= letter.lower() <= "z" for letter in letters)
    if latin and any(ord(letter) in LOOKALIKES and _script(letter) in _ALIKE - {"GREEK"} for letter in letters):
        return f"the name {_spelt(name)} mixes scripts whose letters look alike"
    plain = "".join(LOOKALIKES.get(ord(letter), letter) for letter in name)
    if foreign and len(letters) > 1 and plain.isascii() and plain in known:
        return f"the name {_spelt(name)} looks like {plain}, which is another one"
    return ""


def _in_other_form(letter: str) -> bool:
    """Whether a character is another form of an ASCII letter or digit: full-width, mathematical, circled, ligature."""
    if letter.isascii() or letter in "\u00aa\u00ba" or unicodedata.decomposition(letter).startswith(_RAISED):
        return False
    plain = unicodedata.normalize("NFKC", letter)
    return plain != letter and plain.isascii() and plain.isalnum()


@lru_cache(maxsize=1024)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "?").partition(" ")[0]


def _spelt(name: str) -> str:
    """The name with each non-ASCII character as an escape, so that the user sees the difference."""
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04x}" for letter in name[:60])


def with_plain_spaces(
    text: str, left: str, quotes: str = "\"'", long_quotes: Collection[str] = (), comment: str = ""
) -> str:
    """`text` with plain spaces instead of odd ones, except in strings and comments. left: the text before it in its
    line.

    For a prefix of `text` the result is a prefix of the result for all of `text`.
    """
    if text.isascii() or not ODD_SPACE.search(text):
        return text
    line = left + text
    parts, behind = [], 0
    for match in _literals(quotes, tuple(long_quotes), comment).finditer(line):
        parts += [ODD_SPACE.sub(" ", line[behind : match.start()]), match.group()]
        behind = match.end()
    parts.append(ODD_SPACE.sub(" ", line[behind:]))
    return "".join(parts)[len(left) :]


@lru_cache(maxsize=64)
def _literals(quotes: str, long_quotes: tuple[str, ...], comment: str) -> re.Pattern[str]:
    """Matches strings and comments. One without an end reaches to the end of the line, or of the text."""
    parts = [rf"{re.escape(mark)}[\s\S]*?(?:{re.escape(mark)}|\Z)" for mark in long_quotes]
    parts += [rf"{mark}(?:\\.|[^{mark}\\\n])*(?:{mark}|\\?$)" for mark in map(re.escape, quotes)]
    if comment:
        parts.append(rf"{re.escape(comment)}.*")
    if comment in ("//", "--"):
        parts.append(r"/\*[\s\S]*?(?:\*/|\Z)")
    return re.compile("|".join(parts), re.MULTILINE)
