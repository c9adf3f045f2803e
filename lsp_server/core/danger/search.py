"""Finds dangerous patterns in a part of a syntax tree, by the rules of its language. Pure and bounded; runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from lsp_server.core.danger.finding import Finding
from lsp_server.core.danger.node_kinds import CALLS, FUNCTIONS, SETS, TEXTS
from lsp_server.core.danger.reading import MOST_NODES, Hole, Piece, Reader, is_known
from lsp_server.core.danger.rule import ANY, LAST, WEAKNESSES, Pattern, Rules
from lsp_server.core.languages.entry import Language

if TYPE_CHECKING:
    from tree_sitter import Node

# The module of each language's rules.
_MODULES = {
    "Python": "python",
    "JavaScript": "javascript",
    "TypeScript": "javascript",
    "TSX": "javascript",
    "Go": "go",
    "Java": "java",
    "C": "c",
    "C++": "c",
    "PHP": "php",
    "Ruby": "ruby",
    "Rust": "rust",
}
LANGUAGES = tuple(_MODULES)
MOST_FINDINGS = 100
# How many names are followed at most to find out whether a value comes from a user.
_MOST_FOLLOWED = 40
# How many nodes a call counts as.
_CALL_NODES = 4

# Expressions whose value is harmless in any language, because it is a number or was escaped.
_CLEAN = re.compile(
    r"(?i)(?:^|[.\[(!\s>:])(?:int|float|bool|len|round|ord|hash|hex|bin|number|parseint|parsefloat|itoa|atoi|intval|count"
    r"|\w*quote\w*|\w*escape\w*|\w*saniti[sz]e\w*|to_i|to_f|secure_filename|basename|base|abs|encodeuri\w*|uuid\w*"
    r"|placeholders?|realpath|normalize|validate\w*|is_?safe\w*|allow_?list\w*|whitelist\w*)\s*\("
    r"|(?i:place_?holders?|markers|qmarks|\bparams$|[\"']\?[\"']|[\"']%s[\"']\s*\]?\s*\*|escaped|quoted|sanitized)"
)
# The usual names of variables that hold the name of a table or a column.
_SQL_NAMES = re.compile(r"(?i)(?:table|column|col|field|schema|sql|subquery|clause|condition)s?(?:_?names?)?\)?$")
_NAMES = re.compile(r"[$@]?[^\W\d]\w*")


@lru_cache(maxsize=16)
def rules_of(language: str) -> Rules | None:
    """The rules of a language, by the language's name; None if there are none."""
    module = _MODULES.get(language)
    if module is None:
        return None
    found = import_module(f"lsp_server.core.danger.rules_{module}").RULES
    assert isinstance(found, Rules)
    return found


@lru_cache(maxsize=4096)
def _search(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@lru_cache(maxsize=1024)
def _called(pattern: str) -> re.Pattern[str]:
    """A pattern that must match a whole name."""
    return re.compile(rf"(?:{pattern})\Z", re.DOTALL)


@lru_cache(maxsize=1024)
def _last(pattern: str) -> re.Pattern[str]:
    """A pattern that must match the last part of an assignment's target."""
    flags = "(?i)" if pattern.startswith("(?i)") else ""
    return re.compile(rf"{flags}(?:.*[.\[\"'])?(?:{pattern.removeprefix('(?i)')})[\"'\]]*\Z")


class Search:
    """One search. source: the text of the tree `root`. most_nodes: how many nodes may be visited."""

    def __init__(self, language: Language, source: bytes, root: Node, most_nodes: int = MOST_NODES) -> None:
        rules = rules_of(language.name)
        assert rules is not None
        self._rules = rules
        self._language = language
        self._source = source
        self._root = root
        self._reader = Reader(source, root, c_like=language.name in ("C", "C++"), left=most_nodes)
        self._whole = source.decode("utf-8", "replace")
        self._followed = 0
        self._texts_seen: set[int] = set()
        self._clean = _search(rules.clean) if rules.clean else None
        self._sources = _search(rules.sources) if rules.sources else None
        self._by_place: dict[str, list[Pattern]] = {}
        for pattern in rules.patterns:
            if not pattern.file or _search(pattern.file).search(self._whole):
                self._by_place.setdefault(pattern.on, []).append(pattern)

    @property
    def whole(self) -> bool:
        """Whether everything was visited within the limit."""
        return self._reader.left > 0

    def findings(self, start: int, end: int) -> list[Finding]:
        """The findings that overlap the bytes `start:end`, in the order of the text."""
        found: dict[tuple[str, int], Finding] = {}
        for node in self._reader.walk(self._root, start, end):
            if node.start_byte >= end or node.end_byte <= start:
                continue
            for pattern, at in self._of(node):
                if at.start_byte >= end or at.end_byte <= start or (pattern.weakness, at.start_byte) in found:
                    continue
                found[pattern.weakness, at.start_byte] = self._finding(pattern, at)
                if len(found) >= MOST_FINDINGS:
                    return list(found.values())
        return sorted(found.values(), key=lambda each: (each.start, each.id))

    def _finding(self, pattern: Pattern, node: Node) -> Finding:
        weakness = WEAKNESSES[pattern.weakness]
        safe = self._rules.safe[pattern.weakness]
        statement = self._statement(node)
        return Finding(weakness.id, weakness.cwe, weakness.sentence, safe, node.start_byte, node.end_byte, statement)

    def _statement(self, node: Node) -> int:
        """The start of the node's statement; the start of its line if the code around it is broken."""
        at: Node | None = node
        while at is not None and not at.is_error:
            if at.type in self._language.statements:
                return at.start_byte
            at = at.parent
        return self._source.rfind(b"\n", 0, node.start_byte) + 1

    # Patterns -----------------------------------------------------------------------------------------------

    def _of(self, node: Node) -> Iterator[tuple[Pattern, Node]]:
        kind = node.type
        if kind in CALLS and (patterns := self._by_place.get("call")):
            self._reader.left -= _CALL_NODES
            called = self._reader.callee(node)
            for pattern in patterns:
                if _called(pattern.name).match(called) and self._call_matches(pattern, node):
                    yield pattern, node
        if kind in SETS and (patterns := self._by_place.get("set")):
            for name, value in self._targets(node):
                for pattern in patterns:
                    if _last(pattern.name).match(name) and self._value_matches(pattern, value):
                        yield pattern, node
        if kind in TEXTS and node.start_byte not in self._texts_seen and (patterns := self._by_place.get("text")):
            yield from self._texts(node, patterns)
        if kind in FUNCTIONS and (patterns := self._by_place.get("define")):
            name = self._reader.dotted(node.child_by_field_name("name"))
            for pattern in patterns:
                if _called(pattern.name).match(name) and _search(pattern.has).search(self._reader.text(node)):
                    yield pattern, node

    def _targets(self, node: Node) -> Iterator[tuple[str, Node]]:
        """The targets and values of an assignment. Several targets with as many values are taken in pairs."""
        left, right = SETS[node.type]
        names = node.child_by_field_name(left) if left else None
        values = node.child_by_field_name(right) if right else None
        lists = ("expression_list", "pattern_list", "tuple")
        if names is not None and values is not None and names.type in lists and values.type in lists:
            if names.named_child_count == values.named_child_count:
                for each, value in zip(names.named_children, values.named_children, strict=True):
                    yield self._reader.dotted(each), value
            return
        name, given = self._reader.target(node)
        if given is not None and name:
            yield name, given

    def _texts(self, node: Node, patterns: list[Pattern]) -> Iterator[tuple[Pattern, Node]]:
        self._texts_seen.add(node.start_byte)  # the longest text that begins here comes first
        pieces = self._reader.pieces(node)
        if not any(isinstance(piece, str) for piece in pieces) or is_known(pieces):
            return
        for pattern in patterns:
            written = self._written(pieces, of_sql=pattern.weakness == "sql")
            if "\0" not in written:
                continue
            if pattern.value == "tainted" and not any(self._is_tainted(piece) for piece in pieces):
                continue
            if pattern.like and not _search(pattern.like).search(written):
                continue
            yield pattern, node

    def _call_matches(self, pattern: Pattern, node: Node) -> bool:
        given = self._reader.arguments(node)
        if pattern.count is not None and len(given) != pattern.count:
            return False
        text = self._reader.text(node)
        if pattern.has and not _search(pattern.has).search(text):
            return False
        if pattern.lacks and _search(pattern.lacks).search(text):
            return False
        if pattern.near and not self._near(pattern, node):
            return False
        if pattern.unless and _search(pattern.unless).search(self._reader.text(self._reader.around(node), 20_000)):
            return False
        if pattern.key:
            values = [value for key, value in given if key == pattern.key]
        elif pattern.arg is None:
            return True
        elif pattern.arg == ANY:
            values = [value for _, value in given]
        elif pattern.arg == LAST:
            values = [value for _, value in given[-1:]]
        else:
            plain = [value for key, value in given if not key]
            values = plain[pattern.arg : pattern.arg + 1]
        return any(self._value_matches(pattern, value, inner=True) for value in values)

    def _value_matches(self, pattern: Pattern, node: Node, *, inner: bool = False) -> bool:
        if not inner and pattern.near and not self._near(pattern, node):
            return False
        pieces = self._reader.pieces(node)
        known = is_known(pieces)
        texts = any(isinstance(piece, str) and piece.strip() for piece in pieces)
        tainted = None
        if pattern.value == "const" and not known:
            return False
        if pattern.value == "text" and not texts:
            return False
        if pattern.value in ("dynamic", "built", "open", "risky"):
            if known or "\0" not in self._written(pieces):
                return False
            if pattern.value == "built" and not texts:
                return False
            if pattern.value == "open" and texts:
                return False
            if pattern.value == "risky" and not texts:
                tainted = True
        if (tainted or pattern.value == "tainted") and not any(self._is_tainted(piece) for piece in pieces):
            return False
        written = "".join(piece if isinstance(piece, str) else "\0" for piece in pieces)
        if pattern.value == "any":
            written = self._reader.text(node)
        if pattern.like and not _search(pattern.like).search(written):
            return False
        return not (pattern.unlike and _search(pattern.unlike).search(written))

    def _written(self, pieces: list[Piece], *, of_sql: bool = False) -> str:
        """The text with a NUL for each inserted value that is neither known nor harmless. In SQL the name of a table or
        a column counts as harmless, because it cannot be given as a parameter."""
        written = []
        for piece in pieces:
            if isinstance(piece, str):
                written.append(piece.replace("\0", ""))
            else:
                harmless = self._is_clean(piece) or (of_sql and _SQL_NAMES.search(piece.text))
                written.append("0" if harmless else "\0")
        return "".join(written)

    def _is_clean(self, hole: Hole) -> bool:
        if hole.numeric or is_known([hole]) or _CLEAN.search(hole.text):
            return True
        if self._clean is not None and self._clean.search(hole.text):
            return True
        if hole.node is None:
            return False
        values = self._reader.values_of(hole.text, hole.node)
        return bool(values) and all(_CLEAN.search(self._reader.text(value, 400)) for value, _ in values)

    def _is_tainted(self, piece: Piece) -> bool:
        """Whether a value comes from a user, as far as it can be followed within the function."""
        if isinstance(piece, str) or self._sources is None or self._is_clean(piece) or piece.node is None:
            return False
        self._followed = 0
        return self._comes_from_user(piece.text, piece.node, 0)

    def _comes_from_user(self, text: str, at: Node, depth: int) -> bool:
        assert self._sources is not None
        if _CLEAN.search(text) or (self._clean is not None and self._clean.search(text)):
            return False
        if self._sources.search(text):
            return True
        if depth > 3:
            return False
        for name in dict.fromkeys(_NAMES.findall(text)):
            self._followed += 1
            if self._followed > _MOST_FOLLOWED:
                return False
            for value, _ in self._reader.values_of(name.lstrip("$@"), at)[-4:]:
                if value.start_byte <= at.start_byte < value.end_byte:
                    continue
                if self._comes_from_user(self._reader.text(value, 400), value, depth + 1):
                    return True
        return False

    def _near(self, pattern: Pattern, node: Node) -> bool:
        """Whether the name of the assignment's target, or of the enclosing function, matches the pattern's `near`."""
        at: Node | None = node
        for _ in range(12):
            at = at.parent if at is not None else None
            if at is None:
                return False
            if at.type in SETS:
                if _search(pattern.near).search(self._reader.target(at)[0]):
                    return True
            elif at.type in FUNCTIONS:
                name = self._reader.dotted(at.child_by_field_name("name") or at.child_by_field_name("declarator"))
                return _search(pattern.near).search(name.partition("(")[0]) is not None
        return False
