"""Finds Python names that a suggestion uses and that are defined nowhere, and cuts the suggestion before them.

The names of keyword arguments that a called function does not have (`keyword_arguments`) count as undefined, too.

A name counts as undefined only if that is certain. Not checked: files that may get names in ways that cannot be read (a
star import, `exec`, `globals()`), files that do not parse with the suggestion in them, and large files.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.names.allowed import Bare
from lsp_server.core.names.missing_imports import is_importable
from lsp_server.core.names.python_names import is_opaque
from lsp_server.core.names.python_trees import blocks, parsed
from lsp_server.core.overlap import contains
from lsp_server.core.shape import Suggestion
from lsp_server.core.text import encode

if TYPE_CHECKING:
    from lsp_server.core.names.python_parts import Around

# Larger files are not checked. A part of a very large document, whose head is not known, is larger than this.
MOST_BYTES = 64_000
# How many shorter versions of a suggestion are tried, and how many bytes are checked for all of them together.
_MOST_CUTS, _MOST_CUT_BYTES = 6, 256_000

Place = tuple[int, int]  # a line, from 1, and a column, in bytes

_WORD, _WORD_REST = re.compile(r"[^\W\d]\w*"), re.compile(r"\w+")
_MEMBERS = re.compile(r"\w+(?:\.\w+)*")
_LINE_ENDS = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")
_LONGEST_NAME = 200
_COMMENT = re.compile(r"[ \t]*#")
# Names defined by notebooks, translations and type checkers, and builtins of Pythons newer than the running one.
_GIVEN = frozenset({"_", "__", "display", "get_ipython", "reveal_locals", "reveal_type", "__annotate__"})
_GIVEN |= {"BaseExceptionGroup", "EncodingWarning", "ExceptionGroup", "PythonFinalizationError", "aiter", "anext"}


@dataclass(frozen=True, slots=True)
class Checked:
    """A suggestion after the check. suggestion: the part that may be shown; None if nothing. undefined: the first name
    in the original that is defined nowhere; empty if there is none. bare: where that name stands in the suggestion's
    text, and the names that are defined there; None if unknown. function: if the name is that of a keyword argument,
    the function that does not have it; else empty."""

    suggestion: Suggestion | None
    undefined: str = ""
    bare: Bare | None = None
    function: str = ""


def without_undefined(suggestion: Suggestion, document: DocumentSnapshot) -> Checked:
    """`suggestion`, cut before the innermost statement that begins on a line of its own and uses an undefined name. If
    there is no such statement, or nothing worth showing before it, only the rest of the word at the cursor is kept, or
    the names of members behind a dot there; if there are none, nothing."""
    if not _is_checked(document):
        return Checked(suggestion)
    spliced = _Spliced(document, suggestion)
    found = spliced.first_undefined(suggestion.text)
    if found is None or not found.name:
        return Checked(suggestion)
    name, bare, function, lines = found.name, found.bare, found.function, _lines(suggestion.text)
    room = _MOST_CUT_BYTES
    kept = found.statement
    for _ in range(_MOST_CUTS):
        text = _worth_showing(lines[:kept])
        room -= len(document.source)
        if not text or room < 0:
            break
        found = spliced.first_undefined(text)
        if found is not None and not found.name:
            return Checked(spliced.shortened(text), name, bare, function)
        # The shorter text does not parse, or has another undefined name.
        kept = kept - 1 if found is None else min(kept - 1, found.statement)
    rest = (_MEMBERS if spliced.behind_dot else _WORD_REST).match(suggestion.text)
    if rest is not None and (spliced.begun or spliced.behind_dot) and (bare is None or rest.end() <= bare.at):
        found = spliced.first_undefined(rest[0])
        if found is not None and not found.name:
            return Checked(spliced.shortened(rest[0]), name, bare, function)
    return Checked(None, name, bare, function)


def undefined_in(source: str) -> list[str]:
    """The undefined names of a whole file, in order, each once; none if that is not certain."""
    if len(source) > MOST_BYTES or is_opaque(source):
        return []
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return list(dict.fromkeys(missing.name for missing in _undefined(tree, "")))


def _is_checked(document: DocumentSnapshot) -> bool:
    """Whether the names of a document can be checked."""
    if len(document.source) > MOST_BYTES or document.path.endswith((".pyi", ".pyx", ".pxd")):
        return False
    language = find_language(document.language_id, document.path)
    return language.name == "Python"


def _lines(text: str) -> list[str]:
    """The lines of `text`, each with its line ending."""
    return _LINE_ENDS.split(text)


def _worth_showing(lines: Sequence[str]) -> str:
    """The text of `lines`, without blank lines and comments at the end, which belonged to what followed; empty if it
    has no word."""
    kept = list(lines)
    while kept and (not kept[-1].strip() or (len(kept) > 1 and _COMMENT.match(kept[-1]))):
        kept.pop()
    text = "".join(kept).rstrip()
    return text if _WORD.search(text) else ""


@dataclass(frozen=True, slots=True)
class _Undefined:
    """An undefined name. name: empty if there is none. statement: the number of lines of the suggestion before the
    innermost statement that uses the name; 0 if that statement begins before the suggestion. bare,
    function: as in `Checked`."""

    name: str = ""
    statement: int = 0
    bare: Bare | None = None
    function: str = ""


class _Spliced:
    """A document with a text in place of the range that a suggestion replaces."""

    def __init__(self, document: DocumentSnapshot, suggestion: Suggestion) -> None:
        self._document, self._suggestion = document, suggestion
        self._before = _plain(document.source[: suggestion.start]).removeprefix("\ufeff")
        self._replaced = _plain(document.source[suggestion.start : suggestion.end])
        self._behind = _plain(document.source[suggestion.end :])

    @property
    def begun(self) -> str:
        """The part of a name before the cursor."""
        return re.split(r"\W", self._before[-_LONGEST_NAME:])[-1]

    @property
    def behind_dot(self) -> bool:
        """Whether the cursor is in the name of a member, or where one begins."""
        return self._before[: len(self._before) - len(self.begun)].endswith(".")

    def shortened(self, text: str) -> Suggestion:
        """The suggestion cut to `text`, a prefix of it. Replaced brackets that `text` does not contain stay."""
        end = self._suggestion.end if contains(text, self._replaced) else self._suggestion.start
        return replace(self._suggestion, text=text, end=end)

    def first_undefined(self, text: str) -> _Undefined | None:
        """The first undefined name in `text`. None if the document does not parse with `text` in it."""
        if len(self._document.source) + len(text.encode("utf-8", "replace")) > MOST_BYTES:
            return _Undefined()
        put, behind = text.replace("\r\n", "\n").replace("\r", "\n"), self._behind
        if not contains(put, self._replaced):
            behind = self._replaced + behind
        whole, start = f"{self._before}{put}{behind}", len(self._before)
        # A name that begins before the cursor belongs to the suggestion as well.
        words = frozenset(_WORD.findall(self.begun + put + re.split(r"\W", behind[:_LONGEST_NAME], maxsplit=1)[0]))
        # Imported here, so that a server starts without them.
        from lsp_server.core.names.keyword_arguments import may_be_unknown
        from lsp_server.core.names.python_parts import around

        part = around(whole, start, start + len(put))
        tree = part.parsed(part.text) if part is not None else None
        if part is None or tree is None:
            return None
        if part.opaque:
            return _Undefined()
        ahead = part.line - part.first_line + 1
        first, last = _place_at(self._before), _place_at(self._before + put)
        check, given = _alone(part, tree)
        span = (first[0] - ahead, first[1]), (last[0] - ahead, last[1])
        inside = _inside(check, self._document.path, *span, words, given)
        doubtful = "=" in whole[start : start + len(put) + _LONGEST_NAME] and may_be_unknown(part, tree, *span)
        if not inside and not doubtful:
            return _Undefined()
        # The whole file is checked only now, because most suggestions pass the check of their part.
        tree = parsed(whole)
        if tree is None:
            return None
        if inside:
            inside = _inside(tree, self._document.path, first, last, words)
        # A module that can be imported is offered together with its import.
        missing = next((each for each in inside if not is_importable(self._document, each.name, put)), None)
        found = self._unknown_argument(tree, first, last, put, whole) if doubtful else None
        if missing is not None and (found is None or missing.at < found[0]):
            names = frozenset(name for scope in missing.scopes for name in scope if name.isidentifier()) - _GIVEN
            found = missing.at, _Undefined(missing.name, bare=self._bare(missing.at, missing.name, names, put, whole))
        if found is None:
            return _Undefined()
        return replace(found[1], statement=_statement(tree, first[0], found[0][0], whole))

    def _unknown_argument(
        self, tree: ast.Module, start: Place, end: Place, put: str, whole: str
    ) -> tuple[Place, _Undefined] | None:
        """The first keyword argument in `put` that does not exist, with its place."""
        from lsp_server.core.names.keyword_arguments import first_unknown

        unknown = first_unknown(tree, self._document.path, start, end)
        bare = self._bare(unknown.at, unknown.name, unknown.others, put, whole) if unknown is not None else None
        if unknown is None or bare is None:
            return None  # its position is not sure
        return unknown.at, _Undefined(unknown.name, bare=replace(bare, then="="), function=unknown.function)

    def _bare(self, place: Place, name: str, names: frozenset[str], put: str, whole: str) -> Bare | None:
        """Where in `put` a name stands that must be one of `names`."""
        line, column = place
        lines = whole.split("\n")[:line]
        offset = sum(len(each) + 1 for each in lines[:-1]) + len(encode(lines[-1])[:column].decode("utf-8", "replace"))
        at = offset - len(self._before)
        if at > len(put) or not whole.startswith(name, offset):
            return None  # inside an f-string, where some Pythons give wrong positions
        return Bare(max(0, at), self._before[at:] if at < 0 else "", names)


class _Missing(NamedTuple):
    """A name that is in none of the scopes that could define it. at: its line, from 1, and its column, in bytes."""

    at: tuple[int, int]
    name: str
    scopes: tuple[Mapping[str, Any], ...]

    @property
    def end(self) -> tuple[int, int]:
        return self.at[0], self.at[1] + len(self.name.encode())


def _plain(source: bytes) -> str:
    return source.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")


def _place_at(text: str) -> tuple[int, int]:
    """The line, from 1, and the column, in bytes, at the end of `text`, counted as `ast` does."""
    return text.count("\n") + 1, len(text[text.rfind("\n") + 1 :].encode("utf-8", "replace"))


def _inside(
    tree: ast.Module,
    path: str,
    start: tuple[int, int],
    end: tuple[int, int],
    words: frozenset[str],
    given: frozenset[str] = frozenset(),
) -> list[_Missing]:
    """The undefined names among `words` between two places, in order. Names that are also undefined elsewhere in the
    file are left out. given: names that other parts of the file define."""
    missing = list(_undefined(tree, path, given))
    mine = [each for each in missing if each.at < end and each.end > start]
    elsewhere = {each.name for each in missing if not (each.at < end and each.end > start)}
    return sorted((each for each in mine if each.name in words - elsewhere), key=lambda each: each.at)


def _alone(part: Around, tree: ast.Module) -> tuple[ast.Module, frozenset[str]]:
    """The tree to check for one part: the part with the imports of the file. With it, the names that other parts of the
    file define."""
    imports: list[ast.stmt] = [each for other in part.others for each in other.imports]
    imports.sort(key=lambda each: not (isinstance(each, ast.ImportFrom) and each.module == "__future__"))
    given = frozenset().union(*(other.bound | other.everywhere for other in part.others))
    body = tree.body
    if part.inner or part.siblings:
        beside = frozenset().union(*(other.bound for other in part.siblings))
        given = given.union(*(other.everywhere for other in part.siblings))
        if part.head is not None:
            given |= part.head.bound | part.head.everywhere
            beside |= part.head.classes[0].own
        made = ast.parse("".join(f"{name} = None\n" for name in sorted(beside))).body
        body = [_with_body(node, [*made, *node.body]) if isinstance(node, ast.ClassDef) else node for node in body]
    return ast.Module([*imports, *body], []), given.intersection(_WORD.findall(part.text))


def _with_body(node: ast.ClassDef, body: list[ast.stmt]) -> ast.ClassDef:
    made = copy(node)
    made.body = body
    return made


def _undefined(tree: ast.Module, path: str, given: frozenset[str] = frozenset()) -> Iterator[_Missing]:
    """The undefined names in `tree`."""
    kind = _checker_type()
    try:
        checker = kind(tree, path, _GIVEN | given, False)
    except Exception:  # nested too deeply, or a bug of the checker: then nothing is reported
        return
    for node, name, scopes in checker.undefined:
        if not any(name in scope for scope in scopes):
            yield _Missing((node.lineno, node.col_offset), name, scopes)


@cache
def _checker_type() -> Any:
    """A subclass of pyflakes' checker that keeps only undefined names, with the scopes around each. Made on first use,
    because the import takes some ms."""
    from pyflakes import checker, messages

    class Checker(checker.Checker):  # type: ignore[misc]
        def __init__(self, *arguments: Any) -> None:
            self.undefined: list[tuple[Any, str, tuple[Any, ...]]] = []
            super().__init__(*arguments)

        def report(self, kind: Any, *arguments: Any, **named: Any) -> None:
            if kind is messages.UndefinedName:
                node, name = arguments[:2]
                # A scope may define the name later: in a loop, in a function's body, below in the module.
                inner = [s for s in self.scopeStack[:-1] if not isinstance(s, checker.ClassScope)]
                self.undefined.append((node, name, (*inner, self.scopeStack[-1])))

    return Checker


def _statement(tree: ast.Module, first: int, line: int, source: str) -> int:
    """The number of lines from line `first` to the innermost statement that begins a later line and contains line
    `line`; 0 if there is none."""
    lines, innermost, waiting = source.split("\n"), first, [tree.body]
    while waiting:
        for node in waiting.pop():
            begins = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
            if begins <= line <= (node.end_lineno or begins):
                if begins > innermost and not lines[begins - 1][: node.col_offset].strip():
                    innermost = begins
                waiting += blocks(node)
    return innermost - first
