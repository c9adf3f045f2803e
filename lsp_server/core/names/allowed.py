"""Restricts generated names to known members: the names that may follow a dot or an import, if all of them are known.

In doubt a name counts as allowed, because a wrong restriction is worse than none. This module knows how an access is
written in Python; `access_syntax` has it for other languages.
"""

from __future__ import annotations

import codecs
import math
import re
from dataclasses import dataclass, replace

from lsp_server.core.names.access_syntax import ACCESS_SYNTAX, AccessSyntax

_WORD, _NOT_WORD, _LINE_END = re.compile(r"\w+"), re.compile(r"\W"), re.compile(r"\r\n?")
_CHAIN = re.compile(r"(?<![\w.)\]}\"'])[^\W\d]\w*(?:\.[^\W\d]\w*)*\.?\Z")
# Receivers that are not names: a string, and the base classes.
TEXT, SUPER = '"', "super()"
_CALLED = re.compile(r"""(["']|(?<![\w.])super\(\))\.(\w*)\Z""")
_IMPORT_LINE = re.compile(r"\s*from\s+[\w.]+\s+import\b")
_IMPORT = re.compile(r"\s*from\s+([\w.]+)\s+import\s+\(?\s*(?:\w+(?:\s+as\s+\w+)?\s*,\s*)*(\w*)\Z")
_STRINGS = re.compile(r"""[rbuRBU]{0,2}(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_LONG_QUOTE = re.compile(r"\"\"\"|'''")
# The text before an access in a line in which values are assigned to names.
_DEFINES = re.compile(r"\s*(?:\(?\s*(?:[\w.]+\s*,\s*)*|(?:async\s+)?for\s+(?:[\w.]+\s*,\s*)*|.*\bas\s+|del\s+)\Z")
_OTHER_SCOPE = re.compile(r"^\s*(?:@|(?:async\s+)?def\b|class\b)|\blambda\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Receiver:
    """The expression before a dot, such as `self` or `os.path`, and the names that may follow it. grows: whether a
    statement may add names to it. special: whether names such as `__file__` are ordinary members of it. For
    `from os import`, the text is `from os`."""

    text: str
    names: frozenset[str]
    grows: bool = False
    special: bool = False


@dataclass(frozen=True, slots=True)
class Bare:
    """A name without a receiver that must be one of `names`. at: the length of the text before it, in characters.
    begun: the part of it that precedes the text. min_logprob: the minimum log-probability of its first token; the
    minimum for later tokens, which have fewer alternatives, is a third of that probability. The text ends before a less
    probable token. then: the text that must follow the name, such as `=` after the name of an argument."""

    at: int
    begun: str
    names: frozenset[str]
    min_logprob: float = -math.inf
    then: str = ""

    def within(self, written: str, shown: str) -> Bare | None:
        """This name with its position in `written`, the model's own text. `shown` was made of `written` and has line
        endings of one character each. None if the name stands elsewhere in `written`."""
        begins = _LINE_END.sub("\n", shown)[: self.at]
        if not _LINE_END.sub("\n", written).startswith(begins):
            return None
        at = 0
        for _ in begins:
            at += 2 if written.startswith("\r\n", at) else 1
        return replace(self, at=at)

    def so_far(self, text: str) -> str | None:
        """The part of the name at the end of `text`; None if `text` ends before the name or after it."""
        word = self.begun + text[self.at :]
        return word if len(text) >= self.at and _NOT_WORD.search(word) is None else None


@dataclass(frozen=True, slots=True)
class Members:
    """left: the text before the cursor in its line. receivers: the receivers whose members are known. special: the
    names such as `__doc__` that may be suggested although the user has not begun to type them. in_line: whether the
    line was read as code up to the cursor. bare: a restricted name without a receiver. language: the name of the
    document's language. In the methods, `text` is the text generated at the cursor."""

    left: str
    receivers: tuple[Receiver, ...]
    special: frozenset[str] = frozenset()
    in_line: bool = True
    bare: Bare | None = None
    language: str = "Python"

    def words(self, text: str) -> tuple[str, ...]:
        """The allowed continuations of `text`: the rest of each name; none if there is no restriction."""
        access = self._access(text)
        if access is None or access.names is None:
            return ()
        begun, then = access.begun, access.then
        names = (name for name in access.names if name.startswith(begun) and (then or name != begun))
        return tuple(sorted(f"{name[len(begun) :]}{then}" for name in names))

    def known(self, text: str) -> frozenset[str] | None:
        """The names that are allowed in the access at the end of `text`; None if there is no restriction."""
        access = self._access(text)
        return access.names if access is not None and self.limits(text) else None

    def limits(self, text: str) -> bool:
        """Whether the continuation of `text` is restricted: it ends with a known receiver, or inside an access to it
        whose typed part begins a known name."""
        access = self._access(text)
        if access is None:
            return False
        names = access.names
        return access.behind is not None or (names is not None and any(each.startswith(access.begun) for each in names))

    def allows(self, text: str, piece: bytes) -> bool:
        """Whether `piece`, which may end inside a character, is an allowed continuation of `text`."""
        access = self._access(text)
        if access is None:
            return True
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        added = decoder.decode(piece)
        begun_character, _ = decoder.getstate()
        word = access.word.match(added)
        end = word.end() if word is not None else 0
        if access.names is not None and (added or begun_character):
            if not access.begun and added.startswith(access.free):
                return True
            name = access.begun + added[:end]
            if end < len(added):
                if name not in access.names or (access.then and not _goes_on(added[end:], access.then)):
                    return False
            elif not _begins(access.names, name, begun_character):
                return False
        # The piece may continue with a dot and the name after it.
        separator = next((each for each in access.separators if added.startswith(each)), "")
        if end or access.behind is None or not separator:
            return True
        start = len(separator)
        if added.startswith(access.free, start):
            return True
        word = access.word.match(added, start)
        end = word.end() if word is not None else start
        if end < len(added):
            return added[start:end] in access.behind
        return _begins(access.behind, added[start:], begun_character)

    def may_end(self, text: str) -> bool:
        """Whether `text` may end here: it does not end inside an incomplete restricted name."""
        access = self._access(text)
        if access is None or access.names is None:
            return True
        return access.begun in access.names and not access.then

    def min_logprob(self, text: str) -> float:
        """The minimum log-probability of the token after `text`."""
        if self.bare is None or (begun := self.bare.so_far(text)) is None:
            return -math.inf
        return self.bare.min_logprob if begun == self.bare.begun else self.bare.min_logprob - math.log(3)

    def _access(self, text: str) -> _Access | None:
        """The access at the end of `text`; inside the bare name, that name."""
        if self.bare is not None and (bare := self.bare.so_far(text)) is not None:
            return _Access(self.bare.names, bare, None, then=self.bare.then)
        syntax = ACCESS_SYNTAX.get(self.language)
        if syntax is not None:
            return self._access_by(syntax, text)
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

    def _access_by(self, syntax: AccessSyntax, text: str) -> _Access | None:
        """The access at the end of `text`, in a language other than Python."""
        line = text[text.rfind("\n") + 1 :] if "\n" in text else self.left + text
        found = syntax.access.search(line)
        receiver = next((each for each in self.receivers if each.text == syntax.receiver), None)
        if found is None or receiver is None or syntax.other_scope.search(text) is not None:
            return None
        before = line[: found.start()]
        is_read = self.in_line and "\n" not in text and len(before) < len(self.left)
        if not is_read and syntax.is_quoted((self.left + text)[: -len(found[0])]):
            return None
        if receiver.grows and syntax.defines.match(before) is not None:
            return None
        names = receiver.names
        if receiver.grows:  # names that the text has used are allowed: it may have defined them
            used = rf"{re.escape(syntax.receiver)}(?:{'|'.join(map(re.escape, syntax.separators))})"
            names |= {each[1] for each in re.finditer(rf"(?<![\w$]){used}({syntax.word.pattern})(?!\w|\Z)", text)}
        begun = found["name"] or ""
        typed = "\n" not in text and found.end() - len(begun) < len(self.left)
        names = frozenset(each for each in names if typed or each not in syntax.specials or each in self.special)
        if found["end"]:
            return _Access(names, begun, None, syntax.word, free=syntax.free)
        return _Access(None, "", names, syntax.word, syntax.rests(found["begun"] or ""), syntax.free)

    def _names(self, text_of_receiver: str, text: str, before: str, start: int) -> frozenset[str] | None:
        """The names of a receiver whose expression follows `before` in the line; `start` is where the name begins in
        the line. None if they are not restricted there."""
        receiver = next((each for each in self.receivers if each.text == text_of_receiver), None)
        if receiver is None or (receiver.grows and _DEFINES.match(before)):
            return None
        is_read = self.in_line and "\n" not in text and len(before) < len(self.left)
        if not is_read and _is_quoted(before):
            return None
        first = receiver.text.partition(".")[0]
        if first not in ("self", "cls") and re.search(rf"(?<![\w.]){re.escape(first)}\s*(?:[:=,)]|in\b)", text):
            return None  # the text has assigned something else to it
        names = receiver.names
        if receiver.grows:  # members that the text has used are allowed, too: it may have defined them
            used = re.finditer(rf"(?<![\w.]){re.escape(receiver.text)}\.(\w+)(?!\w|\Z)", text)
            names |= {each[1] for each in used}
        if not receiver.special and ("\n" in text or not self.left[start:].startswith("__")):
            names = frozenset(name for name in names if not _is_special(name) or name in self.special)
        return names


@dataclass(frozen=True, slots=True)
class _Access:
    """The access at the end of a text. names: the allowed names; None for any. begun: the typed part of the name.
    behind: the names that are allowed after a dot, if a dot comes next; None for any. word: the
    pattern of a name or of its beginning. separators: the dot, or what else is written before a name. free: the texts
    that may follow a separator in place of a name. then: the text that must follow the name."""

    names: frozenset[str] | None
    begun: str
    behind: frozenset[str] | None
    word: re.Pattern[str] = _WORD
    separators: tuple[str, ...] = (".",)
    free: tuple[str, ...] = ()
    then: str = ""


def _begins(names: frozenset[str], begun: str, begun_character: bytes) -> bool:
    """Whether one of the names begins with `begun` and the first bytes of a character."""
    if begun_character:
        return any(each.encode().startswith(begun.encode() + begun_character) for each in names)
    return not begun or any(each.startswith(begun) for each in names)


def _goes_on(text: str, then: str) -> bool:
    """Whether `text` begins with what must follow a name, and not with a longer operator."""
    return text.startswith(then) and not text.startswith(f"{then}=")


def _is_special(name: str) -> bool:
    """Whether a name has a special meaning in Python, such as `__doc__`."""
    return name.startswith("__") and name.endswith("__")


def _is_quoted(line: str) -> bool:
    """Whether the end of `line` is, or may be, in a string or a comment."""
    rest = _STRINGS.sub("", line)
    return any(mark in rest for mark in "\"'#")
