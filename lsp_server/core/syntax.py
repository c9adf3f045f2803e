"""Parses the code around a place with tree-sitter, and checks whether a text inserted there adds errors.

Grammars are loaded on first use; a language without one has no tree. A parse covers at most a window: the top-level
nodes around the place, found by their lines. A parse that takes too many of the parser's own steps is stopped, so
results do not depend on the speed of the machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.embedded import language_at
from lsp_server.core.languages.entry import Language
from lsp_server.core.parsing import PARSE_STEPS, parse
from lsp_server.core.text import indent_width

if TYPE_CHECKING:
    from tree_sitter import Node

# A document of at most this size is parsed whole. Of a longer one, the window has the top-level nodes within an eighth
# to a half of this size on either side of the place.
WINDOW_BYTES = 8 << 10

# In broken code the parser's recovery depends on distant text. There the result is checked in a wider window: for most
# files the whole file, or one of the second size if that takes too many steps. Sizes in bytes.
WIDE_BYTES = 128 << 10, 24 << 10

# The limits of steps for all parses in a wider window together (see `parsing.PARSE_STEPS`), by window.
WIDE_STEPS, WIDE_STEPS_AMONG_ERRORS = (6000, 800), (600, 120)
MANY_ERRORS = 8
# With more errors than this in a window no wider one is parsed, because its result would be random.
_HOPELESS_ERRORS = 64

# In the text form of a tree: hidden missing nodes, and the parts that show which node is a child of which.
_HIDDEN_MISSING = "(MISSING _"
_IN_WRITING = re.compile(r"""\(MISSING (?:"[^\n]+?"|\w+)\)|\(UNEXPECTED (?:'(?:\\.|[^\n])'|\w+)\)|[()]""")

_LINE_BREAK = re.compile(rb"\r?\n")

# How many lines above a window are searched for enclosing headers, and below it for a line that is not blank.
_ENCLOSING_LINES = 2000


def text_of(node: Node, source: bytes) -> bytes:
    """The text of a node in the tree of `source`. `Node.text` is no alternative, because a tree does not keep its
    text."""
    return source[node.start_byte : node.end_byte]


def error_spans(root: Node, *, nested: bool = True) -> list[tuple[int, int]]:
    """The byte ranges of the ERROR and MISSING nodes under `root`. nested: whether also of those inside others."""
    found, nodes = [], [root]
    hides = root.has_error and _HIDDEN_MISSING in str(root)
    while nodes:
        node = nodes.pop()
        is_wrong = node.is_error or node.is_missing
        if is_wrong:
            found.append((node.start_byte, node.end_byte))
        if node.has_error and (nested or not is_wrong):
            nodes.extend(node.children)
            if hides:
                found.extend((offset, offset) for offset in _hidden_missing(node))
    return found


def _hidden_missing(node: Node) -> Iterator[int]:
    """The offsets of missing children of `node` that are not in its list of children, because the grammar hides them,
    as many grammars do with line endings. Only the text form of the tree shows them."""
    written = str(node)
    inner = sum(str(child).count(_HIDDEN_MISSING) for child in node.children if child.has_error)
    if written.count(_HIDDEN_MISSING) == inner:
        return
    children, before, depth = node.named_children, 0, 0
    for match in _IN_WRITING.finditer(written):
        part = match[0]
        if depth == 1 and part.startswith(_HIDDEN_MISSING):
            yield children[min(before, len(children)) - 1].end_byte if before and children else node.start_byte
        elif depth == 1 and part != ")" and not part.startswith('(MISSING "'):
            before += 1
        depth += {"(": 1, ")": -1}.get(part, 0)


@dataclass(frozen=True, slots=True)
class SyntaxWindow:
    """The bytes `start:end` of a document, parsed as `language` between head and tail. These open and close the blocks
    around the window that begin or end outside it."""

    language: Language
    start: int
    end: int
    head: bytes = b""
    tail: bytes = b""


class SyntaxView:
    """The tree of a window of a document in its current state.

    root: None without a grammar, or if parsing takes too many steps. errors: the byte ranges of errors. steps: the
    steps of all parses so far.
    """

    def __init__(self, document: DocumentSnapshot, window: SyntaxWindow, most_steps: int = PARSE_STEPS) -> None:
        self.language = window.language
        self.is_whole = window.end - window.start == len(document.source)
        # Grammars treat a single carriage return as white space.
        only_returns = document.newline == b"\r"
        self._source = document.source.replace(b"\r", b"\n") if only_returns else document.source
        self._window = window
        tree, self.steps = parse(window.language, self._with(window.start, window.start, b""), most_steps)
        self.root = None if tree is None else tree.root_node
        self.errors = [] if self.root is None else error_spans(self.root)

    def ancestors(self, offset: int) -> Iterator[tuple[str, int, int]]:
        """The types of the nodes that contain the byte before `offset` of the document, innermost first, each with its
        start and end in the document."""
        if self.root is None:
            return
        moved = self._moved
        at = max(0, offset + moved - 1)
        node = self.root.descendant_for_byte_range(at, at)
        while node is not None:
            yield node.type, node.start_byte - moved, node.end_byte - moved
            node = node.parent

    def errors_apart_from(self, start: int, end: int) -> int:
        """The number of errors that lie entirely outside the bytes `start:end` of the document."""
        moved = self._moved
        return sum(last < start + moved or first > end + moved for first, last in self.errors)

    @property
    def is_broken(self) -> bool:
        """Whether there are so many errors that every parse is slow."""
        return len(self.errors) > MANY_ERRORS

    def errors_with(self, start: int, end: int, text: bytes, most_steps: int = PARSE_STEPS) -> int | None:
        """The number of errors after the bytes `start:end` were replaced by `text`. None if parsing takes too many
        steps, or if the text begins a string or comment that swallows the lines below."""
        source = self._with(start, end, text)
        if any(
            text.count(quote) % 2 and source.count(quote) % 2 for quote in map(str.encode, self.language.long_quotes)
        ):
            return None
        tree, steps = parse(self.language, source, most_steps)
        self.steps += steps
        if tree is None:
            return None
        root = tree.root_node
        first, last = start + self._moved, start + self._moved + len(text)
        node = root.descendant_for_byte_range(last, last)
        while node is not None:
            is_text = node.type in self.language.strings or node.type in self.language.comments
            if is_text and first <= node.start_byte < last and b"\n" in source[last : node.end_byte - 1]:
                return None
            node = node.parent
        return len(error_spans(root))

    def stays_inside(self, offset: int, text: bytes) -> bool:
        """Whether `text`, inserted at `offset`, adds no errors and stays inside the string or comment around the byte
        before `offset`; for several lines also in further comments, which must end where the first one ended before.
        """
        if self.root is None:
            return True
        before = self._holder(self.root, offset + self._moved)
        tree, steps = parse(self.language, self._with(offset, offset, text))
        self.steps += steps
        if tree is None or len(error_spans(tree.root_node)) > len(self.errors):
            return False
        if before is None:
            return True  # the comment or docstring has no end yet, so the grammar does not recognise it
        at = offset + self._moved
        ends = [at + match.start() for match in _LINE_BREAK.finditer(text) if match.start()] + [at + len(text)]
        holders = [self._holder(tree.root_node, end) for end in ends]
        last = holders[-1]
        return None not in holders and last is not None and last[1] - ends[-1] == before[1] - at

    def _holder(self, root: Node, offset: int) -> tuple[int, int] | None:
        """The start and end of the string or comment that contains the byte before `offset` of the tree's text."""
        node = root.descendant_for_byte_range(offset - 1, offset - 1)
        while node is not None and node.type not in self.language.strings | self.language.comments:
            node = node.parent
        return None if node is None else (node.start_byte, node.end_byte)

    @property
    def _moved(self) -> int:
        return len(self._window.head) - self._window.start

    def _with(self, start: int, end: int, text: bytes) -> bytes:
        window, source = self._window, self._source
        return b"".join((window.head, source[window.start : start], text, source[end : window.end], window.tail))


@lru_cache(maxsize=4)
def view_of(document: DocumentSnapshot, line: int) -> SyntaxView:
    """The syntax around `line`. The last results are cached, because a request needs them more than once."""
    return SyntaxView(document, window_at(document, line))


@lru_cache(maxsize=2)
def _wide_view_of(document: DocumentSnapshot, line: int, size: int, most_steps: int) -> SyntaxView:
    return SyntaxView(document, window_at(document, line, size), most_steps)


def raises_errors(document: DocumentSnapshot, line: int, start: int, end: int, text: bytes) -> bool:
    """Whether replacing the bytes `start:end` of `line` by `text` adds errors in a wider window than that of `view_of`,
    or that cannot be determined."""
    near = view_of(document, line)
    if near.is_whole:
        return False
    if len(near.errors) > _HOPELESS_ERRORS:
        return True
    for size, most_steps in zip(WIDE_BYTES, WIDE_STEPS_AMONG_ERRORS if near.is_broken else WIDE_STEPS, strict=True):
        view = _wide_view_of(document, line, size, most_steps // 2)
        errors = None if view.root is None else view.errors_with(start, end, text, most_steps // 2)
        if errors is None:
            continue
        # With many errors, or with code outside the window, the count may be random. So if there are errors at the
        # place, the text must remove one of them.
        elsewhere = view.errors_apart_from(document.line_start(line), document.line_end(line))
        if (near.is_broken or not view.is_whole) and elsewhere < len(view.errors):
            return errors >= len(view.errors)
        return errors > len(view.errors)
    return True


def window_at(document: DocumentSnapshot, line: int, size: int = WINDOW_BYTES) -> SyntaxWindow:
    """The part of `document` that is parsed for a place in `line`: about `size` bytes at most."""
    language, first, last = language_at(document, line)
    start = document.line_start(first)
    end = document.line_start(last) if last < document.line_count else len(document.source)
    if end - start <= size:
        return SyntaxWindow(language, start, end, language.prologue if first else b"")
    top = _boundary(document, language, range(line, first - 1, -1), size // 2)
    top = max(first, _above_text(document, language, top))
    bottom = _boundary(document, language, range(line + 1, last), size // 2)
    head = b"".join(document.source[a:b] for a, b in enclosing_headers(document, language, top))
    tail = b""
    if bottom < last:
        end = document.line_start(bottom)
        opened = [document.source[a:b].rstrip() for a, b in enclosing_headers(document, language, bottom)]
        tail = b"".join(_closer(language, header) for header in reversed(opened))
    # A region of PHP after the first one begins outside PHP, in the page.
    prologue = language.prologue if top and language_at(document, top)[0] is language else b""
    return SyntaxWindow(language, document.line_start(top), end, prologue + head, tail)


def enclosing_headers(document: DocumentSnapshot, language: Language, line: int) -> list[tuple[int, int]]:
    """The byte ranges, with line endings, of the headers of the blocks around `line`, outermost first.

    They are found by indentation: each is the nearest line above with less indentation. A header of several lines
    reaches to the line that closes its brackets.
    """
    lowest = max(0, line - _ENCLOSING_LINES)
    below = range(line, min(line + _ENCLOSING_LINES, document.line_count))
    line = next((number for number in below if document.line(number).strip()), -1)
    if line < 0:
        return []
    indent = indent_width(document.line(line))
    closing: int | None = None
    found = []
    for above in range(line - 1, lowest - 1, -1):
        if indent == 0:
            break
        content = document.line(above)
        width = indent_width(content)
        if not content.strip() or width >= indent:
            continue
        text = content.decode("utf-8", "replace")
        if text.strip()[0] in ")]}" and closing is None and language.opens_block(text):
            closing, limit = above, width  # the end of a header of several lines, or an `else`
            continue
        if closing is not None and width > limit:
            continue
        end = above if closing is None else closing
        found.append((document.line_start(above), document.line_start(end + 1)))
        indent, closing = width, None
    return found[::-1]


def _boundary(document: DocumentSnapshot, language: Language, lines: range, reach: int) -> int:
    """A line where a window may begin or end, searched along `lines` away from the place: the start of a top-level
    node, else the least indented line within `reach` bytes."""
    origin = document.line_start(lines.start) if lines.start < document.line_count else len(document.source)
    best, best_indent = lines.start, 1 << 30
    for line in lines:
        distance = abs(document.line_start(line) - origin)
        if distance > reach:
            return best
        content = document.line(line)
        if not content.strip() or language.closes_block(content.decode("utf-8", "replace")):
            continue
        indent = indent_width(content)
        if indent <= best_indent and (line != lines.start or lines.step < 0):
            best, best_indent = line, indent
        if indent == 0 and distance >= reach // 4:
            return line
    return lines.stop - lines.step if lines.step < 0 else lines.stop


def _above_text(document: DocumentSnapshot, language: Language, line: int) -> int:
    """`line`; if it is inside a multi-line string or comment, the line where that begins, found by counting quotes."""
    source, offset = document.source, document.line_start(line)
    lowest = max(0, offset - WINDOW_BYTES)
    starts = [
        source.rfind(q, lowest, offset) for q in map(str.encode, language.long_quotes) if source.count(q, 0, offset) % 2
    ]
    if source.rfind(b"/*", lowest, offset) > source.rfind(b"*/", lowest, offset) and language.comment[0][:1] == "/":
        starts.append(source.rfind(b"/*", lowest, offset))
    begun = min((start for start in starts if start >= 0), default=offset)
    return document.line_at(begun)


def _closer(language: Language, header: bytes) -> bytes:
    """The text that closes the block of `header`."""
    for opener, closer in ((b"{", b"}\n"), (b"(", b")\n"), (b"[", b"]\n")):
        if header.endswith(opener):
            return closer
    return b"end\n" if "end" in language.closers else b""
