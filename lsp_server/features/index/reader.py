"""Queries the database of a workspace folder: candidates for a place, by name, by module and by words."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lsp_server.core.declarations import Declaration
from lsp_server.core.index_choice import Candidate
from lsp_server.core.index_listing import words_of
from lsp_server.core.index_query import Query
from lsp_server.core.modules import related, shares_folder
from lsp_server.features.index.store import database_path, members_of

# How many definitions of one name are used, from how many on the name counts as meaningless, and how many
# definitions of all names are read at once.
_MOST_PER_NAME, _MOST_SHARED, _MOST_NAMED = 24, 200, 1000
# How many files a module's name may match, and how many of their definitions are candidates without being named.
_MOST_FILES, _MOST_VISIBLE, _MOST_FROM_FILES = 400, 600, 100
# A word in more definitions than this is not searched for; and how many of the most similar definitions are taken.
_MOST_WORD_USES, _MOST_ALIKE = 80, 16
# For how many words it is remembered in how many definitions they are.
_MOST_KEPT = 2000
# How many of the words before the hole a similar definition is searched for by, the rarest, and the fewest.
_MOST_ALIKE_WORDS, _LEAST_ALIKE = 4, 3
# How many definitions are read for one query, and how many more for lists of their names.
_MOST_ROWS, _MOST_LISTED = 130, 160
_COLUMNS = "d.id, f.path, d.defines, d.head, d.whole, d.members, d.tail, d.doc, d.place, d.line, d.receiver, f.library"
_BUSY_SECONDS = 0.05
# How much of a database SQLite may keep in memory.
_CACHE_KB = 8000
# The files of Go that only tests see, and the functions in them that nothing calls: they must not take others' places.
_GO_TEST, _GO_TESTS = "_test.go", ("Test[A-Z]*", "Benchmark[A-Z]*", "Example[A-Z]*", "Fuzz[A-Z]*")
# The characters with a meaning in a pattern of GLOB.
_GLOB = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class Summary:
    """The content of a database. languages: the number of the folder's files in each. libraries: the number of package
    files."""

    files: int
    declarations: int
    languages: dict[str, int]
    libraries: int
    bytes: int
    root: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A file in a database: its path, and its declarations, each with its line (from 1), its signature and its doc
    line."""

    path: str
    language: str
    declarations: tuple[tuple[int, str, str], ...]


@dataclass(slots=True)
class _Visible:
    """A definition that the document can see, without its text. receiver: the type that a method belongs to. files: how
    many other files use its name. near: whether a word of its name stands near the hole."""

    id: int
    path: str
    defines: list[str]
    place: int
    receiver: str
    files: int = 0
    near: bool = False


class Reader:
    """Reads the database of `root`, even if it is replaced or damaged meanwhile: what cannot be read counts as empty.
    For one thread at a time."""

    def __init__(self, root: Path, path: Path | None = None) -> None:
        self._root, self._path = root, path or database_path(root)
        self._connection: sqlite3.Connection | None = None
        self._base = root.as_uri()
        self._inode = (0, 0)
        # The number of definitions with a word, for a version of the database.
        self._counted: dict[str, int] = {}
        self._version = -1

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection, self._version = None, -1

    def candidates(self, query: Query, hidden: Collection[str] = ()) -> list[Candidate]:
        """The candidates for a query. hidden: paths to leave out, because the editor has them open."""
        with suppress(sqlite3.Error, ValueError):
            if self._open() is not None:
                found = self._found(query)
                return [each for each in found if each.path not in hidden and each.path != query.path]
        self.close()
        return []

    def present(self, paths: Iterable[str]) -> set[str]:
        """Those of `paths` that are in the database."""
        with suppress(sqlite3.Error):
            if self._open() is not None:
                return {path for path in paths if self._all("SELECT 1 FROM file WHERE path = ?", [path])}
        self.close()
        return set()

    def has(self, folder: str, names: Collection[str], hidden: Collection[str] = ()) -> bool:
        """Whether the files in a folder, those in `hidden` apart, still define all of the names."""
        above = folder.strip("/.")
        with suppress(sqlite3.Error):
            if self._open() is not None:
                rows = self._all(
                    f"SELECT n.name, f.path FROM name n JOIN file f ON f.id = n.file "
                    f"WHERE n.role = 0 AND n.name IN ({_marks(names)})",
                    list(names),
                )
                return {name for name, path in rows if path.rpartition("/")[0] == above and path not in hidden} >= {
                    *names
                }
        self.close()
        return False

    def summary(self) -> Summary | None:
        """The content of the database; None if there is no readable one."""
        with suppress(sqlite3.Error, OSError):
            if self._open() is not None:
                languages = dict(
                    self._all("SELECT language, count(*) FROM file WHERE NOT library GROUP BY language ORDER BY 2 DESC")
                )
                return Summary(
                    self._one("SELECT count(*) FROM file WHERE NOT library"),
                    self._one("SELECT count(*) FROM declaration d JOIN file f ON f.id = d.file WHERE NOT f.library"),
                    languages,
                    self._one("SELECT count(*) FROM file WHERE library"),
                    self._path.stat().st_size,
                    self._one("SELECT value FROM fact WHERE key = 'root'"),
                )
        self.close()
        return None

    def listed(self) -> list[Listed]:
        """All files in the database, by path."""
        with suppress(sqlite3.Error):
            if self._open() is not None:
                return [self._listed(*row) for row in self._all("SELECT id, path, language FROM file ORDER BY path")]
        self.close()
        return []

    def _listed(self, id: int, path: str, language: str) -> Listed:
        rows = self._all("SELECT line, head, doc FROM declaration WHERE file = ? ORDER BY place", [id])
        return Listed(
            path, language, tuple((line + 1, head.decode("utf-8", "replace"), doc) for line, head, doc in rows)
        )

    def _open(self) -> sqlite3.Connection | None:
        """The connection to the current database file; None if there is none."""
        try:
            stat = self._path.stat()
        except OSError:
            self.close()
            return None
        if self._connection is not None and self._inode != (stat.st_dev, stat.st_ino):
            self.close()
        if self._connection is None:
            uri = f"{self._path.as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)
            self._connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
            self._inode = (stat.st_dev, stat.st_ino)
        return self._connection

    def _one(self, sql: str) -> Any:
        return self._all(sql)[0][0]

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        assert self._connection is not None
        return self._connection.execute(sql, values).fetchall()

    def _found(self, query: Query) -> list[Candidate]:
        # One transaction, so that the file is locked and looked at once and not by every statement.
        self._all("BEGIN")
        try:
            return self._found_now(query)
        finally:
            self._all("COMMIT")

    def _found_now(self, query: Query) -> list[Candidate]:
        languages = related(query.language)
        shared = self._named(query)
        visible = self._visible(query, languages)
        near = self._near(query, visible)
        for id in near:
            shared.setdefault(id, 0)
        alike = self._alike(query)
        for id in alike:
            shared.setdefault(id, _MOST_SHARED)
        # Names that are defined in many files must not displace the definitions that the document imports.
        ids = _padded(list(dict.fromkeys([*near, *shared]))[:_MOST_ROWS])
        rows = self._all(
            f"SELECT {_COLUMNS} FROM declaration d JOIN file f ON f.id = d.file "
            f"WHERE d.id IN ({_marks(ids)}) AND f.language IN ({_marks(languages)})",
            [*ids, *languages],
        )
        found = [self._candidate(row, shared[row[0]], alike=row[0] in alike) for row in rows]
        listed = [each for each in visible if not each.receiver]
        return [*found, *(self._listed_only(each) for each in listed[:_MOST_LISTED])]

    def _named(self, query: Query) -> dict[int, int]:
        """The definitions of the names near the hole and those with such members, each with the number of other files
        that have a definition of that name."""
        shared: dict[int, int] = {}
        distances: dict[int, int] = {}
        for role, names in ((0, [*query.names]), (1, sorted(query.attributes.intersection(query.names)))):
            sql = f"SELECT name, declaration, file FROM name WHERE role = {role} AND name "
            asked = _padded(names)
            rows = self._all(f"{sql} IN ({_marks(asked)}) LIMIT {_MOST_NAMED}", asked) if names else []
            if len(rows) == _MOST_NAMED:  # some of the names are in too many files
                rows = [row for name in names for row in self._all(f"{sql} = ? LIMIT {_MOST_SHARED}", [name])]
            of_name: dict[str, dict[int, int]] = {}
            for name, id, file in rows:
                of_name.setdefault(name, {})[id] = file
            for found in of_name.values():
                others = len(set(found.values())) - 1
                for id in found if len(found) <= _MOST_PER_NAME else self._nearest(found, query.path, distances):
                    shared[id] = min(shared.get(id, others), others)
        return shared

    def _visible(self, query: Query, languages: Sequence[str]) -> list[_Visible]:
        """The definitions of the module whose name stands before the hole; else of the files that the document imports
        or sees. The likely ones first: those with words near the hole, then those that most other files use."""
        files = {**self._files_of_qualifier(query), **self._files_of(query, languages)}
        if query.language.name == "Go" and not query.path.endswith(_GO_TEST):
            files = {id: path for id, path in files.items() if not path.endswith(_GO_TEST)}
        asked, types = _padded(files), _padded(["", *query.types])
        tests = "".join(f"AND defines NOT GLOB '{each}' " for each in _GO_TESTS) if query.language.name == "Go" else ""
        found = [
            _Visible(id, files[file], defines.split(), place, receiver)
            for id, file, place, defines, receiver in self._all(
                f"SELECT id, file, place, defines, receiver FROM declaration WHERE file IN ({_marks(asked)}) "
                f"AND receiver IN ({_marks(types)}) {tests}LIMIT {_MOST_VISIBLE}",
                [*asked, *types],
            )
        ]
        names = _padded(dict.fromkeys(name for each in found for name in each.defines))
        qualifier = query.qualifier if query.qualifying else ""
        sql = f"SELECT name, files FROM used WHERE qualifier = ? AND name IN ({_marks(names)})"
        used = dict(self._all(sql, [qualifier, *names])) if found else {}
        if used:  # what the document itself uses is no reason
            for (uses,) in self._all("SELECT uses FROM file WHERE path = ? AND NOT library", [query.path]):
                for line in uses.splitlines():
                    own, _, name = line.partition(" ")
                    if own == qualifier and name in used:
                        used[name] -= 1
        near = frozenset(query.words)
        for each in found:
            each.files = max([used.get(name, 0) for name in each.defines], default=0)
            each.near = any(not near.isdisjoint(words_of(name)) for name in each.defines)
        return sorted(found, key=lambda each: (not each.near, -each.files))

    def _near(self, query: Query, visible: Sequence[_Visible]) -> list[int]:
        """Those of the visible definitions that are named, imported or used; then those with words near the hole and
        those that most other files use."""
        names = {*query.names, *(name for module in query.imports.modules for name in module.names)}
        named = [each for each in visible if not names.isdisjoint(each.defines)]
        others = [each for each in visible if query.qualifying or each.files > 1 or each.near]
        return [each.id for each in [*named[:_MOST_FROM_FILES], *others[: _MOST_FROM_FILES // 2]]]

    def _listed_only(self, each: _Visible) -> Candidate:
        declaration = Declaration(tuple(each.defines), b"", b"", (), b"", "", each.place, 0)
        return Candidate(_uri(self._base, each.path), each.path, declaration, files=each.files, listed=True)

    def _nearest(self, found: Mapping[int, int], path: str, distances: dict[int, int]) -> list[int]:
        """Those of many definitions, each with its file, whose files are nearest to the one at `path`. distances: of
        the files that were met before; new ones are added."""
        several = dict(islice(found.items(), _MOST_SHARED))
        if new := [file for file in dict.fromkeys(several.values()) if file not in distances]:
            new = _padded(new)
            rows = self._all(f"SELECT id, path FROM file WHERE id IN ({_marks(new)})", new)
            distances.update((file, _distance(other, path)) for file, other in rows)
        there = [id for id in several if several[id] in distances]
        return sorted(there, key=lambda id: (distances[several[id]], id))[:_MOST_PER_NAME]

    def _files_of(self, query: Query, languages: Sequence[str]) -> dict[int, str]:
        """The files that the document imports, or sees because they are in its folder, with their paths."""
        found: dict[int, str] = {}
        folder = query.path.rpartition("/")[0]
        if shares_folder(query.language):
            sql = (
                f"SELECT id, path FROM file WHERE folder = ? AND language IN ({_marks(languages)}) LIMIT {_MOST_FILES}"
            )
            rows = self._all(sql, [folder.rpartition("/")[2], *languages])
            found.update((id, path) for id, path in rows if path.rpartition("/")[0] == folder)
        marks = _marks(stems := _padded(query.imports.ends))
        rows = self._all(
            f"SELECT id, path FROM file WHERE language IN ({_marks(languages)}) "
            f"AND (stem IN ({marks}) OR folder IN ({marks})) LIMIT {_MOST_FILES}",
            [*languages, *stems, *stems],
        )
        found.update((id, path) for id, path in rows if query.imports.of(path))
        return found

    def _files_of_qualifier(self, query: Query) -> dict[int, str]:
        """The files of the module whose name stands before the hole, including files that its package may re-export."""
        found: dict[int, str] = {}
        for module in query.qualifying[:4]:
            below = _GLOB.sub(r"[\g<0>]", "/".join(module.parts[-3:]))
            sql = f"SELECT id, path FROM file WHERE path GLOB ? OR path GLOB ? LIMIT {_MOST_FILES}"
            rows = self._all(sql, [f"{below}[./]*", f"*/{below}[./]*"])
            found.update((id, path) for id, path in rows if query.imports.of(path) or query.imports.packages_of(path))
        return found

    def _alike(self, query: Query) -> list[int]:
        """Small definitions with many of the words before the hole, the best by BM25."""
        if (version := self._one("PRAGMA data_version")) != self._version or len(self._counted) > _MOST_KEPT:
            self._version, self._counted = version, {}
        uses = {word: self._uses(word) for word in query.words if word.isalnum()}
        words = sorted((word for word in uses if 0 < uses[word] <= _MOST_WORD_USES), key=lambda word: uses[word])
        if len(words) < _LEAST_ALIKE:
            return []
        rows = self._all(
            f"SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT {_MOST_ALIKE}",
            [" OR ".join(f'"{word}"' for word in words[:_MOST_ALIKE_WORDS])],
        )
        return [id for (id,) in rows]

    def _uses(self, word: str) -> int:
        """The number of definitions with a word, counted up to one more than the limit. Remembered until the database
        changes, because most words near a hole were near the one before."""
        if word not in self._counted:
            sql = f"SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT {_MOST_WORD_USES + 1})"
            self._counted[word] = int(self._all(sql, [f'"{word}"'])[0][0])
        return self._counted[word]

    def _candidate(self, row: tuple[Any, ...], shared: int, *, alike: bool) -> Candidate:
        _, path, defines, head, whole, members, tail, doc, place, line, receiver, library = row
        declaration = Declaration(
            tuple(defines.split()), head, whole, members_of(members), tail, doc, place, line, receiver
        )
        return Candidate(_uri(self._base, path), path, declaration, shared, alike, bool(library))


@lru_cache(maxsize=4096)
def _uri(base: str, path: str) -> str:
    return f"{base}/{quote(path)}"


def _padded(values: Collection[Any]) -> list[Any]:
    """The values for `IN (…)`, filled up with NULL, which equals nothing, to one of a few lengths: SQLite keeps the
    statements that it has compiled, so there must not be one for each length."""
    return [*values, *(None for _ in range((1 << len(values).bit_length()) - len(values)))]


def _marks(values: Collection[Any]) -> str:
    return ", ".join("?" * len(values))


def _distance(a: str, b: str) -> int:
    """The number of steps between two paths."""
    first, second = a.split("/"), b.split("/")
    same = 0
    while same < min(len(first), len(second)) and first[same] == second[same]:
        same += 1
    return len(first) + len(second) - 2 * same
