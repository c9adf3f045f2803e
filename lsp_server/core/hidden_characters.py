"""Characters that hide what a text does: none of them is ever shown or written, and terminals get them spelt out.

Controls that reorder a line, that move a terminal's cursor or ring its bell, that end a line for a compiler but not for
a reader, and those that cannot be seen at all. Such a character stays only where writing needs it: a joiner inside an
emoji or between letters of a script that joins, and the sign that makes a symbol an emoji.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# All controls but tab, line feed, carriage return and form feed.
_CONTROLS = "\x00-\x08\x0b\x0e-\x1f\x7f-\x9f"
# Line ends that editors do not show as such; LSP knows none of them.
_LINE_ENDS = "\u2028\u2029"
# What reorders a text.
_REORDERING = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# What cannot be seen: Unicode's ignorable characters, fillers, tags, halves of pairs, and what is no character.
_INVISIBLE = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_HIDDEN = re.compile(f"[{_CONTROLS}{_LINE_ENDS}{_REORDERING}{_INVISIBLE}]")

# A terminal's escape sequences; one that a text ends in the middle of, too.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*(?:[@-~]|\Z)"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c|\x1b\Z|\Z)"
    r"|\x1b[ -/]*(?:[0-~]|\Z)"
)
# What fimble itself sends to a terminal: colours and styles, but not the one that hides, and a line begun anew.
_STYLE = re.compile(r"\x1b\[(?!(?:[\d;]*;)?0*8[;m])[\d;]*m|\r\x1b\[K")

_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21ff\u2300-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935"
    "\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
# Letters and marks of the scripts in which a joiner tells how they are written.
_JOINING = "\u0600-\u08ff\u0900-\u0dff\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u1800-\u18af\ufb50-\ufdff\ufe70-\ufefc"
_NEEDED = re.compile(
    f"(?<=[{_EMOJI}])\ufe0f?\u200d(?=[{_EMOJI}])"  # an emoji made of several
    f"|(?<=[{_JOINING}])[\u200c\u200d](?=[{_JOINING}])"
    f"|(?<=[{_EMOJI}])[\ufe0e\ufe0f]"
    "|(?<=[0-9#*])\ufe0f(?=\u20e3)"  # a key with a digit
)


def without_hidden(text: str) -> str:
    """`text` without hidden characters, and without escape sequences. Of a beginning of `text` it makes a beginning of
    what it makes of the whole."""
    if text.isascii() and text.isprintable():
        return text
    return _cleaned(_SEQUENCE.sub("", text), lambda character: "")


def escaped(text: str, *, styled: bool = False) -> str:
    """`text` for a terminal or a message, with each hidden character spelt out. styled: colours stay, and what begins a
    line anew."""
    if text.isascii() and text.isprintable():
        return text
    if not styled:
        return _cleaned(text, _spelt)
    parts = re.split(f"({_STYLE.pattern})", text)
    parts[::2] = [_cleaned(re.sub(r"\r(?!\n)", r"\\r", part), _spelt) for part in parts[::2]]
    return "".join(parts)


def keeping_lines(old: str, new: str) -> str:
    """`new`, with those of its lines that differ from lines of `old` in hidden characters only as they stand there:
    what a user has written is not cleaned in passing."""
    lines = {without_hidden(line): line for line in old.split("\n") if _HIDDEN.search(line)}
    return "\n".join(lines.get(line, line) for line in new.split("\n")) if lines else new


def _cleaned(text: str, replaced: Callable[[str], str]) -> str:
    if not _HIDDEN.search(text):
        return text
    kept = [match.span() for match in _NEEDED.finditer(text)]
    parts, behind = [], 0
    for start, end in kept:
        parts += [_HIDDEN.sub(lambda match: replaced(match.group()), text[behind:start]), text[start:end]]
        behind = end
    parts.append(_HIDDEN.sub(lambda match: replaced(match.group()), text[behind:]))
    return "".join(parts)


def _spelt(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
