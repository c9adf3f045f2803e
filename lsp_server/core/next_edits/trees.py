"""The syntax of whole documents, kept and parsed on from version to version, and whether an edit leaves it whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.language_entry import Language
from lsp_server.core.languages import find_language
from lsp_server.core.syntax import error_spans, parse, parse_again

if TYPE_CHECKING:
    from tree_sitter import Node
    from tree_sitter import Tree as SyntaxTree

# A tree takes about thirty times the memory of its text: so many are kept, of texts of so many bytes at most.
MOST_TREES, MOST_BYTES = 3, 400_000
# A parse from nothing takes so many steps at most: 10 to 26 for a KB of code, more of what is broken.
_MOST_STEPS = 12_000
# With more errors nothing can be said of a text.
MOST_ERRORS = 40


class Tree:
    """The tree of a document. root: None without a grammar, of data and prose, or if it is too much to parse."""

    def __init__(self, document: DocumentSnapshot, tree: SyntaxTree | None) -> None:
        self.document = document
        self.language = language_of(document)
        self._tree = tree
        self._errors: list[tuple[int, int]] | None = None

    @property
    def root(self) -> Node | None:
        """Another one each time: a node keeps all of its children that were ever asked for."""
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
        """The smallest node that holds `start:end`."""
        root = self.root
        return None if root is None else root.descendant_for_byte_range(start, start if end is None else end)

    def text(self, node: Node) -> bytes:
        return self.document.source[node.start_byte : node.end_byte]

    def is_code(self, start: int, end: int) -> bool:
        """Whether the bytes are neither in a comment nor in a string."""
        language = self.language
        for node in above(self.node_at(start, end)):
            if node.type in language.code_in_strings:
                return True
            if node.type in language.strings or node.type in language.comments:
                return False
        return True

    def edited(self, start: int, end: int, text: bytes) -> Tree:
        """The tree with `text` for `start:end`."""
        after = self.document.edited(start, end, text)
        tree = None if self._tree is None else parse_again(self.language, self._tree, self.document, after)
        return Tree(after, tree)

    def errors_with(self, start: int, end: int, text: bytes) -> int | None:
        """How many errors there would be with `text` for `start:end`; None if that cannot be told."""
        tree = self.edited(start, end, text)
        return None if tree.root is None else len(tree.errors)

    def stays_whole(self, start: int, end: int, text: bytes) -> bool:
        """Whether `text` for `start:end` brings no error in. False if that cannot be told."""
        if self._tree is None or len(self.errors) > MOST_ERRORS:
            return False
        errors = self.errors_with(start, end, text)
        return errors is not None and errors <= len(self.errors)


# The trees that were asked for last, by URI, the latest last. Each has one owner: who asks takes it out and puts the
# newer one in, so that threads do not share one.
_KEPT: dict[str, Tree] = {}


def tree_of(document: DocumentSnapshot) -> Tree:
    """The tree of a document; made from that of its last version, if that is kept."""
    kept = _KEPT.pop(document.uri, None)
    if kept is None or kept.document is not document:
        kept = Tree(document, _parsed(document, kept))
    if kept.syntax is not None:
        _KEPT[document.uri] = kept
        for uri in list(_KEPT)[:-MOST_TREES]:
            _KEPT.pop(uri, None)
    return kept


def forget_tree(uri: str) -> None:
    """A document is closed: its tree goes."""
    _KEPT.pop(uri, None)


def _parsed(document: DocumentSnapshot, kept: Tree | None) -> SyntaxTree | None:
    language = language_of(document)
    if len(document.source) > MOST_BYTES or not language.statements or not language.reindents:
        return None
    if kept is not None and kept.syntax is not None and kept.language is language:
        return parse_again(language, kept.syntax, kept.document, document)
    return parse(language, document.source, _MOST_STEPS)[0]


def language_of(document: DocumentSnapshot) -> Language:
    return find_language(document.language_id, document.path)


def above(node: Node | None) -> Iterator[Node]:
    """`node` and the nodes around it, from the inside out."""
    while node is not None:
        yield node
        node = node.parent


def nodes_in(root: Node | None, start: int, end: int, most: int = 4000) -> Iterator[Node]:
    """The named nodes under `root` of which some part lies in `start:end`, in order, outer ones first; of `most`."""
    stack, seen = [] if root is None else [root], 0
    while stack and seen < most:
        node = stack.pop()
        if node.start_byte < end and start < node.end_byte:
            seen += 1
            yield node
            stack.extend(reversed(node.named_children))
