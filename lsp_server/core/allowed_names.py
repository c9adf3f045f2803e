"""The names that may stand behind a dot, or in an import, where all of them are known: what a limit of a text says.

Everything that might be a name is one, since a limit that is wrong is worse than none.
"""

from __future__ import annotations

import codecs
import math
import re
from dataclasses import dataclass, replace

_WORD, _NOT_WORD, _LINE_END = re.compile(r"\w+"), re.compile(r"\W"), re.compile(r"\r\n?")
_CHAIN = re.compile(r"(?<![\w.)\]}\"'])[^\W\d]\w*(?:\.[^\W\d]\w*)*\.?\Z")
# Receivers that are no names: a text, and the bases of the class.
TEXT, SUPER = '"', "super()"
_CALLED = re.compile(r"""(["']|(?<![\w.])super\(\))\.(\w*)\Z""")
_IMPORT_LINE = re.compile(r"\s*from\s+[\w.]+\s+import\b")
_IMPORT = re.compile(r"\s*from\s+([\w.]+)\s+import\s+\(?\s*(?:\w+(?:\s+as\s+\w+)?\s*,\s*)*(\w*)\Z")
_STRINGS = re.compile(r"""[rbuRBU]{0,2}(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_LONG_QUOTE = re.compile(r"\"\"\"|'''")
# Of a line in front of an access: the names there are being given values.
_DEFINES = re.compile(r"\s*(?:\(?\s*(?:[\w.]+\s*,\s*)*|(?:async\s+)?for\s+(?:[\w.]+\s*,\s*)*|.*\bas\s+|del\s+)\Z")
_OTHER_SCOPE = re.compile(r"^\s*(?:@|(?:async\s+)?def\b|class\b)|\blambda\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Receiver:
    """What stands in front of a dot, such as `self` or `os.path`, and the names that may stand behind it. grows:
    whether a statement may give it further ones. special: whether names such as `__file__` stand there as others do. In
    `from os import`, it is `from os`."""

    text: str
    names: frozenset[str]
    grows: bool = False
    special: bool = False


@dataclass(frozen=True, slots=True)
class Bare:
    """A name by itself, which has to be one of `names`. at: the length of the text in front of it, in characters.
    begun: what of it stands in front of the text. doubt: the logarithm of how probable its first token has to be; for
    the others, of which there are fewer to choose among, a third of that is enough. The text ends in front of one that
    is less probable."""

    at: int
    begun: str
    names: frozenset[str]
    doubt: float = -math.inf

    def within(self, written: str, shown: str) -> Bare | None:
        """The name as it stands in what a model has `written`, of which `shown`, whose line ends count as one character
        each, is made. None if it stands elsewhere there."""
        begins = _LINE_END.sub("\n", shown)[: self.at]
        if not _LINE_END.sub("\n", written).startswith(begins):
            return None
        at = 0
        for _ in begins:
            at += 2 if written.startswith("\r\n", at) else 1
        return replace(self, at=at)

    def so_far(self, text: str) -> str | None:
        """What of the name is there at the end of `text`; None if that is in front of it, or behind it."""
        word = self.begun + text[self.at :]
        return word if len(text) >= self.at and _NOT_WORD.search(word) is None else None


@dataclass(frozen=True, slots=True)
class Members:
    """left: the line in front of the text, as far as it is there. receivers: those whose members are known. special:
    the names such as `__doc__` that stand there though the user has not begun them. in_line: whether the line was read
    as code up to the place. bare: another name that is limited. The text is what is written at the place."""

    left: str
    receivers: tuple[Receiver, ...]
    special: frozenset[str] = frozenset()
    in_line: bool = True
    bare: Bare | None = None

    def words(self, text: str) -> tuple[str, ...]:
        """What may go on behind `text`, which is limited: the rest of each name, in front of a dot none."""
        access = self._access(text)
        if access is None or access.names is None:
            return ()
        begun = access.begun
        return tuple(sorted(name[len(begun) :] for name in access.names if name.startswith(begun) and name != begun))

    def known(self, text: str) -> frozenset[str] | None:
        """The names that may stand in the access that `text` ends in; None if it ends in none that is limited."""
        access = self._access(text)
        return access.names if access is not None and self.limits(text) else None

    def limits(self, text: str) -> bool:
        """Whether not everything may go on behind `text`: it ends with a receiver, or inside an access to it whose name
        is one of those known, as far as it is there."""
        access = self._access(text)
        if access is None:
            return False
        names = access.names
        return access.behind is not None or (names is not None and any(each.startswith(access.begun) for each in names))

    def allows(self, text: str, piece: bytes) -> bool:
        """Whether `piece`, which may end inside a character, may go on behind `text`, which is limited."""
        access = self._access(text)
        if access is None:
            return True
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        added = decoder.decode(piece)
        begun_character, _ = decoder.getstate()
        word = _WORD.match(added)
        end = word.end() if word is not None else 0
        if access.names is not None and (added or begun_character):
            name = access.begun + added[:end]
            if end < len(added):
                if name not in access.names:
                    return False
            elif not _begins(access.names, name, begun_character):
                return False
        # A dot may follow, and the name behind it.
        if end or access.behind is None or added[:1] != ".":
            return True
        word = _WORD.match(added, 1)
        end = word.end() if word is not None else 1
        if end < len(added):
            return added[1:end] in access.behind
        return _begins(access.behind, added[1:], begun_character)

    def may_end(self, text: str) -> bool:
        """Whether nothing more need come behind `text`, which is limited."""
        access = self._access(text)
        return access is None or access.names is None or access.begun in access.names

    def doubt(self, text: str) -> float:
        """The logarithm of how probable what comes behind `text` has to be."""
        if self.bare is None or (begun := self.bare.so_far(text)) is None:
            return -math.inf
        return self.bare.doubt if begun == self.bare.begun else self.bare.doubt - math.log(3)

    def _access(self, text: str) -> _Access | None:
        """The access that `text` ends with; inside the bare name, that name."""
        if self.bare is not None and (bare := self.bare.so_far(text)) is not None:
            return _Access(self.bare.names, bare, None)
        if _OTHER_SCOPE.search(text) or _LONG_QUOTE.search(text):
            return None
        line = text[text.rfind("\n") + 1 :] if "\n" in text else self.left + text
        if not line or (not (line[-1].isalnum() or line[-1] in "_.") and not _IMPORT_LINE.match(line)):
            return None
        imported = _IMPORT.match(line)
        if imported is not None:
            names = self._names(f"from {imported[1]}", text, "", imported.start(2))
            return None if names is None else _Access(names, imported[2], None)
        found = _CHAIN.search(line) or _CALLED.search(line)
        if found is None:
            return None
        before = line[: found.start()]
        if found.re is _CALLED:
            receiver = SUPER if found[1] == SUPER else TEXT
            if receiver == TEXT and (_is_quoted(line[: found.end(1)]) or before[-1:] in ("b", "B")):
                return None
            names = self._names(receiver, text, "", found.start(2))
            return None if names is None else _Access(names, found[2], None)
        chain, _, begun = found[0].rpartition(".")
        names = self._names(chain, text, before, found.end() - len(begun)) if chain else None
        behind = self._names(found[0], text, before, found.end() + 1) if begun else None
        return _Access(names, begun, behind) if names is not None or behind is not None else None

    def _names(self, text_of_receiver: str, text: str, before: str, start: int) -> frozenset[str] | None:
        """The names behind a receiver that stands behind `before` in the line, and from `start` on in it."""
        receiver = next((each for each in self.receivers if each.text == text_of_receiver), None)
        if receiver is None or (receiver.grows and _DEFINES.match(before)):
            return None
        is_read = self.in_line and "\n" not in text and len(before) < len(self.left)
        if not is_read and _is_quoted(before):
            return None
        first = receiver.text.partition(".")[0]
        if first not in ("self", "cls") and re.search(rf"(?<![\w.]){re.escape(first)}\s*(?:[:=,)]|in\b)", text):
            return None  # what the text has made of it
        names = receiver.names
        if receiver.grows:  # what the text has used is known, too: it may have defined it
            used = re.finditer(rf"(?<![\w.]){re.escape(receiver.text)}\.(\w+)(?!\w|\Z)", text)
            names |= {each[1] for each in used}
        if not receiver.special and ("\n" in text or not self.left[start:].startswith("__")):
            names = frozenset(name for name in names if not _is_special(name) or name in self.special)
        return names


@dataclass(frozen=True, slots=True)
class _Access:
    """Where a text ends. names: those that may stand there; None for any. begun: what of one is there. behind: the
    names that may stand behind a dot, if that comes next; None for any."""

    names: frozenset[str] | None
    begun: str
    behind: frozenset[str] | None


def _begins(names: frozenset[str], begun: str, begun_character: bytes) -> bool:
    """Whether one of the names begins so, and goes on with the first bytes of a character."""
    if begun_character:
        return any(each.encode().startswith(begun.encode() + begun_character) for each in names)
    return not begun or any(each.startswith(begun) for each in names)


def _is_special(name: str) -> bool:
    """Whether a name is one to which Python gives a meaning, such as `__doc__`."""
    return name.startswith("__") and name.endswith("__")


def _is_quoted(line: str) -> bool:
    """Whether the end of `line` is in a string or a comment, or may be."""
    rest = _STRINGS.sub("", line)
    return any(mark in rest for mark in "\"'#")
