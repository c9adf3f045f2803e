"""Removes or escapes hidden characters. They are never shown or written to a file; terminals get them as escapes.

Hidden characters are: controls that reorder a line, move a terminal's cursor or ring its bell; line endings for
compilers that editors do not show; and invisible characters. Such a character is kept only where the script needs it:
a joiner inside an emoji or between letters of a joining script, and the selector that turns a symbol into an emoji.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# All control characters except tab, line feed, carriage return and form feed.
_CONTROLS = "\x00-\x08\x0b\x0e-\x1f\x7f-\x9f"
# Line endings that editors do not show as such and that LSP does not recognise.
_LINE_ENDS = "\u2028\u2029"
# Controls that reorder text.
_REORDERING = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# Invisible code points: Unicode's ignorable characters, fillers, tags, surrogates and noncharacters.
_INVISIBLE = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_HIDDEN = re.compile(f"[{_CONTROLS}{_LINE_ENDS}{_REORDERING}{_INVISIBLE}]")

# Escape sequences of terminals, including one that is cut off at the end of the text.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*(?:[@-~]|\Z)"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c|\x1b\Z|\Z)"
    r"|\x1b[ -/]*(?:[0-~]|\Z)"
)
# Sequences that fimble itself sends to a terminal: colours and styles except "hidden", and the restart of a line.
_STYLE = re.compile(r"\x1b\[(?!(?:[\d;]*;)?0*8[;m])[\d;]*m|\r\x1b\[K")

_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21ff\u2300-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935"
    "\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
# Letters and marks of the scripts in which a joiner changes how letters are written.
_JOINING = "\u0600-\u08ff\u0900-\u0dff\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u1800-\u18af\ufb50-\ufdff\ufe70-\ufefc"
_NEEDED = re.compile(
    f"(?<=[{_EMOJI}])\ufe0f?\u200d(?=[{_EMOJI}])"  # an emoji that consists of several
    f"|(?<=[{_JOINING}])[\u200c\u200d](?=[{_JOINING}])"
    f"|(?<=[{_EMOJI}])[\ufe0e\ufe0f]"
    "|(?<=[0-9#*])\ufe0f(?=\u20e3)"  # a keycap emoji
)


def without_hidden(text: str) -> str:
    """`text` without hidden characters and escape sequences. For a prefix of `text` the result is a prefix of the
    result for all of `text`."""
    if text.isascii() and text.isprintable():
        return text
    return _cleaned(_SEQUENCE.sub("", text), lambda character: "")


def before_hidden(text: str) -> str:
    """`text` up to its first hidden character or escape sequence. In code, removing one may join two names."""
    shown = without_hidden(text)
    if shown == text:
        return text
    same = next((at for at, (one, other) in enumerate(zip(text, shown, strict=False)) if one != other), len(shown))
    return without_hidden(shown[:same])  # a character that the hidden one made necessary goes with it


def escaped(text: str, *, styled: bool = False) -> str:
    """`text` for a terminal or a message, with each hidden character as an escape. styled: whether colours and the
    restart of a line are kept."""
    if text.isascii() and text.isprintable():
        return text
    if not styled:
        return _cleaned(text, _spelt)
    parts = re.split(f"({_STYLE.pattern})", text)
    parts[::2] = [_cleaned(re.sub(r"\r(?!\n)", r"\\r", part), _spelt) for part in parts[::2]]
    return "".join(parts)


def keeping_lines(old: str, new: str) -> str:
    """`new`, but a line that differs from a line of `old` only in hidden characters is taken from `old`: hidden
    characters in the user's own text stay."""
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
