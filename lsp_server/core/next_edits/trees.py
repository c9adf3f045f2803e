"""Keeps the syntax trees of whole documents, updates them from version to version, and checks if an edit is valid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.languages.entry import Language
from lsp_server.core.parsing import parse_whole
from lsp_server.core.syntax import error_spans

if TYPE_CHECKING:
    from tree_sitter import Node
    from tree_sitter import Tree as SyntaxTree

# A tree takes about thirty times the memory of its text. So only the last `MOST_TREES` are kept, and only of texts of
# at most `MOST_BYTES` bytes.
MOST_TREES, MOST_BYTES = 3, 400_000
# The limit of parser steps: per KB, and in addition. Whole files of ordinary code take 2 to 13 steps per KB; a file
# that takes more is broken in many places. After a failed parse some requests are skipped before the next attempt:
# first `_SKIPPED`, then twice as many after each further failure.
_STEPS_PER_KB, _LEAST_STEPS = 20, 400
_SKIPPED, _MOST_SKIPPED, _MOST_HARD = 2, 64, 16
# With more errors than this, no statement about a text is possible.
MOST_ERRORS = 40


class Tree:
    """The tree of a document. root: None without a grammar, for data and prose, or if parsing takes too many steps."""

    def __init__(self, document: DocumentSnapshot, tree: SyntaxTree | None) -> None:
        self.document = document
        self.language = language_of(document)
        self._tree = tree
        self._errors: list[tuple[int, int]] | None = None

    @property
    def root(self) -> Node | None:
        """A new object each time, because a node keeps all of its children that were ever asked for."""
        return None if self._tree is None else self._tree.root_node

    @property
    def errors(self) -> list[tuple[int, int]]:
        if self._errors is None:
            root = self.root
            self._errors = [] if root is None else error_spans(root)
        return self._errors

    @property
    def syntax(self) -> SyntaxTree | None:
        return self._tree

    def node_at(self, start: int, end: int | None = None) -> Node | None:
        """The smallest node that contains the bytes `start:end`."""
        root = self.root
        return None if root is None else root.descendant_for_byte_range(start, start if end is None else end)

    def text(self, node: Node) -> bytes:
        return self.document.source[node.start_byte : node.end_byte]

    def is_code(self, start: int, end: int) -> bool:
        """Whether the bytes `start:end` are neither in a comment nor in a string."""
        language = self.language
        for node in above(self.node_at(start, end)):
            if node.type in language.code_in_strings:
                return True
            if node.type in language.strings or node.type in language.comments:
                return False
        return True

    def edited(self, start: int, end: int, text: bytes) -> Tree:
        """The tree after `start:end` was replaced by `text`."""
        after = self.document.edited(start, end, text)
        if self._tree is None:
            return Tree(after, None)
        return Tree(after, parse_whole(self.language, after, _steps(after), (self._tree, self.document)))

    def errors_with(self, start: int, end: int, text: bytes) -> int | None:
        """The number of errors after `start:end` was replaced by `text`; None if it cannot be determined."""
        tree = self.edited(start, end, text)
        return None if tree.root is None else len(tree.errors)

    def stays_whole(self, start: int, end: int, text: bytes) -> bool:
        """Whether replacing `start:end` by `text` adds no error. False if that cannot be determined."""
        if self._tree is None or len(self.errors) > MOST_ERRORS:
            return False
        errors = self.errors_with(start, end, text)
        return errors is not None and errors <= len(self.errors)


# The trees that were requested last, by URI, the latest last. Each has one owner: a caller takes the tree out and puts
# it, or a newer one, back, so threads never share one. `_FAILED` has the last versions that could not be parsed.
_KEPT: dict[str, Tree] = {}
_FAILED: dict[str, Tree] = {}
# For documents whose parse failed: how many requests are still to be skipped, and how many were skipped last time.
_HARD: dict[str, tuple[int, int]] = {}


def tree_of(document: DocumentSnapshot) -> Tree:
    """The tree of a document. It is updated from the tree of an earlier version if that is kept."""
    uri = document.uri
    failed = _FAILED.get(uri)
    if failed is not None and failed.document is document:
        return failed
    kept = _KEPT.pop(uri, None)
    tree = kept if kept is not None and kept.document is document else Tree(document, _parsed(document, kept))
    keeping = tree if tree.root is not None else kept  # the earlier tree helps when the document parses again
    if keeping is not None and keeping.root is not None:
        _KEPT[uri] = keeping
        for other in list(_KEPT)[:-MOST_TREES]:
            _KEPT.pop(other, None)
    if tree.root is None:
        _FAILED[uri] = tree
        for other in list(_FAILED)[:-MOST_TREES]:
            _FAILED.pop(other, None)
    return tree


def forget_tree(uri: str) -> None:
    """Drops the tree of a closed document."""
    _KEPT.pop(uri, None)
    _FAILED.pop(uri, None)
    _HARD.pop(uri, None)


def _parsed(document: DocumentSnapshot, kept: Tree | None) -> SyntaxTree | None:
    language = language_of(document)
    if len(document.source) > MOST_BYTES or not language.imports | language.strings or not language.reindents:
        return None  # prose, data and web pages
    passing, passed = _HARD.get(document.uri, (0, 0))
    if passing:
        _HARD[document.uri] = passing - 1, passed
        return None
    before = None
    if kept is not None and kept.syntax is not None and kept.language is language:
        before = kept.syntax, kept.document
    tree = parse_whole(language, document, _steps(document), before)
    _HARD.pop(document.uri, None)
    if tree is None:
        passed = min(_MOST_SKIPPED, 2 * passed or _SKIPPED)
        _HARD[document.uri] = passed, passed
        for other in list(_HARD)[:-_MOST_HARD]:
            _HARD.pop(other, None)
    return tree


def _steps(document: DocumentSnapshot) -> int:
    return _LEAST_STEPS + _STEPS_PER_KB * len(document.source) // 1024


def language_of(document: DocumentSnapshot) -> Language:
    return find_language(document.language_id, document.path)


def above(node: Node | None) -> Iterator[Node]:
    """`node` and the nodes around it, from the innermost to the outermost."""
    while node is not None:
        yield node
        node = node.parent


def nodes_in(root: Node | None, start: int, end: int, most: int = 4000) -> Iterator[Node]:
    """The named nodes under `root` that overlap `start:end`, in order, outer ones first; at most `most` of them."""
    stack, seen = [] if root is None else [root], 0
    while stack and seen < most:
        node = stack.pop()
        if node.start_byte < end and start < node.end_byte:
            seen += 1
            yield node
            stack.extend(reversed(node.named_children))
