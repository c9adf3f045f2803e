"""Restricts the beginning of a line in languages where indentation marks the block, by the lines around it.

A small model often gets the indentation of a new line wrong, or writes a statement where the code below needs the
header of a block. Both make the file invalid, and no later text can repair it. So the first tokens are limited to those
with which the line can be valid. Python's rules: a header is followed by a deeper line, no other line is, and a dedent
goes back to the column of an open block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lsp_server.core.brackets import open_brackets
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole, HoleKind, sides
from lsp_server.core.indentation import IndentStyle, style_around
from lsp_server.core.languages.entry import Language
from lsp_server.core.text import indent_width

# How many bytes above and below a place are read.
_BYTES = 4000

_WORD = re.compile(r"\w*")
# Python: the words that begin a function, and the words of statements that are only valid in functions.
_FUNCTION_HEADERS, _ENDS_OF_FUNCTIONS = ("def", "async"), ("return", "yield")
_CODE = re.compile(r"""(?:"[^"]*"|'[^']*'|[^#"'])*""")  # the part of a line before its comment
_LONG_QUOTE = re.compile(r'"""|\'\'\'')
_QUOTES = "\"'"


@dataclass(frozen=True, slots=True)
class Opening:
    """The possible beginnings of a line. left: the white space that is already before the text. anything: the
    indentations at which any statement is valid. headers_only: the indentations at which only a line that opens a block
    is valid, that is, one that begins with one of `headers` and ends with a colon. blank: whether blank lines may come
    first. body: whether the line above is a header without a block, so that a line must follow. documented: whether the
    line above is a string by itself, mostly a docstring, after which no other string may follow. at_margin: the headers
    that are valid at the margin; None for all. Only those of functions are if the code below returns something."""

    left: str
    anything: tuple[str, ...]
    headers_only: tuple[str, ...]
    headers: tuple[str, ...]
    blank: bool = False
    body: bool = False
    documented: bool = False
    at_margin: tuple[str, ...] | None = None

    def allows(self, text: str, *, partly: bool = False) -> bool:
        """Whether a valid line can begin with `text`.

        White space alone must be a whole indentation, or an indentation without its last space, which may belong to the
        token of the first word. partly: whether the beginning of an indentation is enough, for a vocabulary without
        tokens of that length.
        """
        white, rest = self._parts(text)
        if not rest and partly:
            return any(indent.startswith(white) for indent in (*self.anything, *self.headers_only))
        if not rest:
            return any(white in (indent, indent[:-1]) for indent in (*self.anything, *self.headers_only))
        is_blank = rest[0] in "\r\n"
        if (is_blank and self.body) or (rest[0] in _QUOTES and self.documented):
            return False
        if white in self.anything or (is_blank and self.blank):
            return True
        if white not in self.headers_only:
            return False
        word = _word(rest)
        headers = self.headers if white or self.at_margin is None else self.at_margin
        if word == rest:
            return any(header.startswith(word) for header in headers)
        return word in headers and _may_open(rest)

    def may_end(self, text: str) -> bool:
        """Whether the line may consist of `text` alone."""
        white, rest = self._parts(text)
        if not rest and self.body:
            return False
        if not rest or white in self.anything:
            return bool(self.anything)
        return rest.rstrip().endswith(":")

    def is_settled(self, text: str) -> bool:
        """Whether the restriction is over: every continuation of `text` is allowed."""
        white, rest = self._parts(text)
        return bool(rest) and (white in self.anything or "\n" in rest)

    def _parts(self, text: str) -> tuple[str, str]:
        line = self.left + text
        rest = line.lstrip(" \t")
        return line[: len(line) - len(rest)], rest


def opening_at(document: DocumentSnapshot, hole: Hole, language: Language) -> Opening | None:
    """The restriction for a line at `hole`. None if the language has none, or the lines around do not imply one."""
    left, right = sides(document, hole.cursor)
    if not language.headers or hole.kind is not HoleKind.BLOCK or left.strip() or right.strip():
        return None
    line = document.line_at(hole.cursor)
    above = _logical_lines(document, document.line_start(line), language)
    if not above:
        return None
    columns: list[int] = []  # of the open blocks
    for column, _ in above:
        while columns and columns[-1] > column:
            columns.pop()
        if not columns or columns[-1] < column:
            columns.append(column)
    last, statement = above[-1]
    opens = _opens_block(statement, language)
    below = _column_below(document, hole, language)
    style = style_around(document, line, language) or IndentStyle(4, tabs=False)
    step = 4 if style.tabs else style.columns
    above_block = [column for column in ([last + step] if opens else columns) if column < below]
    # A block is one step deeper than its header. If no header has that column, any header above the block may be meant.
    headers_only = [column for column in above_block if column + step == below] or above_block
    if opens and below == last + 2 * step:
        anything = []  # a header is missing between the lines
    elif opens:
        anything = [below] if below > last else [last + step]
    else:
        anything = [column for column in columns if column >= below]
    outer = _fitting(headers_only, left, style)
    found = Opening(
        left,
        _fitting(anything, left, style),
        outer,
        language.headers,
        blank=not opens and below <= 0,
        body=opens and below <= last,
        documented=statement[0] in _QUOTES and statement[-1] == statement[0],
        at_margin=_FUNCTION_HEADERS if "" in outer and _returns(document, hole) else None,
    )
    return found if found.anything or found.headers_only else None


def _fitting(columns: list[int], left: str, style: IndentStyle) -> tuple[str, ...]:
    indents = (style.indent(column) for column in columns)
    return tuple(indent for indent in indents if indent.startswith(left))


def _logical_lines(document: DocumentSnapshot, end: int, language: Language) -> list[tuple[int, str]]:
    """The column and the text of each statement above `end`, starting with the last one at the margin. Empty if `end`
    is inside a statement, or if no statement at the margin is near."""
    found: list[tuple[int, str]] = []
    begun = ""
    for line in _lines(document.source[max(0, end - _BYTES) : end].removesuffix(b"\n"), whole=end <= _BYTES):
        if not begun and (not line.strip() or line.lstrip().startswith(language.comment[0])):
            continue
        begun += line + "\n"
        if len(_LONG_QUOTE.findall(begun)) % 2 or line.endswith("\\"):
            continue
        if open_brackets(begun, language.quotes, language.comment[0]):
            continue
        column = indent_width(begun.encode(), 4)
        if column == 0:
            found.clear()
        if found or column == 0:
            found.append((column, begun.strip()))
        begun = ""
    return [] if begun else found


def _opens_block(statement: str, language: Language) -> bool:
    code = _CODE.match(statement.rpartition("\n")[2])
    return _word(statement) in language.headers and code is not None and code[0].rstrip().endswith(":")


def _column_below(document: DocumentSnapshot, hole: Hole, language: Language) -> int:
    """The column of the first code line below the hole; -1 if there is none."""
    for line in _lines(document.source[hole.line_end : hole.line_end + _BYTES], whole=True):
        if line.strip() and not line.lstrip().startswith(language.comment[0]):
            return indent_width(line.encode(), 4)
    return -1


def _returns(document: DocumentSnapshot, hole: Hole) -> bool:
    """Whether the code below, up to the next line at the margin, belongs to a function whose header is missing: it
    returns or yields something outside any function in it."""
    for line in _lines(document.source[hole.line_end : hole.line_end + _BYTES], whole=True):
        if line.strip() and not line[:1].isspace():
            return False
        word = _word(line.strip())
        if word in _FUNCTION_HEADERS:
            return False
        if word in _ENDS_OF_FUNCTIONS:
            return True
    return False


def _may_open(line: str) -> bool:
    """Whether a line with this beginning can still open a block: only a comment follows its colon, and it does not end
    without a colon."""
    code = _CODE.match(line.partition("\n")[0])
    text = code[0] if code is not None else line
    colons = [index for index, character in enumerate(text) if character == ":"]
    ends = [index for index in colons if not open_brackets(text[:index]) and "lambda" not in text[:index]]
    if ends and text[ends[0] + 1 :].strip():
        return False
    return "\n" not in line or bool(ends)


def _lines(source: bytes, *, whole: bool) -> Iterator[str]:
    """The lines of a part of a document, without the first one unless `whole`."""
    lines = source.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    yield from lines if whole else lines[1:]


def _word(text: str) -> str:
    match = _WORD.match(text)
    return match[0] if match else ""
