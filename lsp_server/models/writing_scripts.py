"""Writing systems (scripts): their characters, and the byte sequences that can occur in text of some of them."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from lsp_server.backends.base import ModelError

ASCII, ALL = "ascii", "all"

# Name prefixes of letters and marks that all scripts share, or that belong to Latin under another name (ª, º, µ).
_SHARED = {"COMBINING", "MODIFIER", "VARIATION", "FEMININE", "MASCULINE", "MICRO"}
_OTHERWISE = {"CJK": "han", "IDEOGRAPHIC": "han"}
_WIDTHS = ("FULLWIDTH", "HALFWIDTH")


def parse(names: str) -> tuple[str, ...]:
    """The scripts in a comma-separated list, sorted and without repeats. Raises ModelError for an unknown script."""
    found = sorted({name.strip().lower() for name in names.split(",")})
    for name in found:
        if not name or name not in {ASCII, ALL, *_by_script()}:
            some = "ascii, latin, greek, cyrillic, arabic, hebrew, devanagari, hangul, han, hiragana, katakana, all"
            raise ModelError(f"there is no script called {name!r}; name some of {some}, or another of Unicode's")
    if ALL in found:
        return (ALL,)
    return tuple(name for name in found if name != ASCII) or (ASCII,)


class Alphabet:
    """The characters of text in some scripts. ASCII always belongs to it. Unless it is ASCII only, so do the
    punctuation, digits and symbols that scripts share."""

    def __init__(self, scripts: Sequence[str]) -> None:
        self._characters = {chr(code) for code in range(128)}
        if tuple(scripts) != (ASCII,):
            by_script = _by_script()
            for script in ("", *scripts):
                self._characters |= by_script.get(script, frozenset())
        encoded = [character.encode() for character in self._characters if character >= "\x80"]
        self._starts = {whole[:length] for whole in encoded for length in range(1, len(whole))}
        self._ends = {whole[start:] for whole in encoded for start in range(1, len(whole))}
        self._inside = self._ends | {end[:length] for end in self._ends for length in range(1, len(end))}

    def can_hold(self, part: bytes) -> bool:
        """Whether text of these characters can contain these bytes, which may begin and end inside a character.

        If it can hold a byte string, it can hold every part of it. So a vocabulary cut by this rule keeps every merge
        that leads to a kept token.
        """
        if part.isascii():
            return True
        start = 0
        while start < len(part) and part[start] & 0xC0 == 0x80:
            start += 1
        if start == len(part):
            return part in self._inside
        end = len(part)
        lead = max(index for index in range(start, len(part)) if part[index] & 0xC0 != 0x80)
        if len(part) - lead < _length(part[lead]):
            end = lead
        try:
            whole = part[start:end].decode()
        except UnicodeDecodeError:
            return False
        if (start and part[:start] not in self._ends) or (end < len(part) and part[end:] not in self._starts):
            return False
        return self._characters.issuperset(whole)


def _length(lead: int) -> int:
    """The number of bytes of a UTF-8 character, from its first byte."""
    return 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


@lru_cache(maxsize=1)
def _by_script() -> dict[str, frozenset[str]]:
    """The non-ASCII characters by script name in lower case; those that scripts share under "".

    Python does not have the Unicode property Script, but the name of a letter begins with it.
    """
    found: dict[str, set[str]] = {}
    for code in range(128, sys.maxunicode + 1):
        character = chr(code)
        name = unicodedata.name(character, "")
        if name:
            found.setdefault(_script(character, name), set()).add(character)
    return {script: frozenset(characters) for script, characters in found.items()}


def _script(character: str, name: str) -> str:
    if unicodedata.category(character)[0] not in "LM":
        return ""
    words = name.split()
    first = words[1] if words[0] in _WIDTHS and len(words) > 1 else words[0]
    return "" if first in _SHARED else _OTHERWISE.get(first, first.partition("-")[0].lower())
