"""Queries the database of a workspace folder: candidates for a place, by name, by module and by words."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from lsp_server.core.declarations import Declaration
from lsp_server.core.index_query import Candidate, Query
from lsp_server.core.modules import related, shares_folder
from lsp_server.features.index.store import database_path, members_of

# How many definitions of one name are used, and from how many others on the name counts as meaningless.
_MOST_PER_NAME, _MOST_SHARED = 24, 200
# How many files a module's name may match, and how many of their definitions are candidates without being named.
_MOST_FILES, _MOST_FROM_FILES = 400, 200
# A word in more definitions than this is not searched for; and how many of the most similar definitions are taken.
_MOST_WORD_USES, _MOST_ALIKE = 400, 16
# How many of the document's names are looked up in the qualifier's module, and how many definitions of it are taken.
_MOST_COUNTED, _MOST_OF_QUALIFIER = 200, 120
# How many definitions are read for one query.
_MOST_ROWS = 300
_COLUMNS = "d.id, f.path, d.defines, d.head, d.whole, d.members, d.tail, d.doc, d.place, d.line, f.library"
_BUSY_SECONDS = 0.05
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


class Reader:
    """Reads the database of `root`, even if it is replaced or damaged meanwhile: what cannot be read counts as empty.
    For one thread at a time."""

    def __init__(self, root: Path, path: Path | None = None) -> None:
        self._root, self._path = root, path or database_path(root)
        self._connection: sqlite3.Connection | None = None
        self._base = root.as_uri()
        self._inode = (0, 0)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

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
            self._inode = (stat.st_dev, stat.st_ino)
        return self._connection

    def _one(self, sql: str) -> Any:
        return self._all(sql)[0][0]

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        assert self._connection is not None
        return self._connection.execute(sql, values).fetchall()

    def _found(self, query: Query) -> list[Candidate]:
        languages = related(query.language)
        shared: dict[int, int] = {}
        for name in query.names:
            for role in (0, 1) if name in query.attributes else (0,):
                sql = f"SELECT declaration FROM name WHERE name = ? AND role = ? LIMIT {_MOST_SHARED}"
                ids = [id for (id,) in self._all(sql, [name, role])]
                for id in ids if len(ids) <= _MOST_PER_NAME else self._nearest(ids, query):
                    shared[id] = min(shared.get(id, len(ids)), len(ids) - 1)
        near = self._of_files(query, languages)
        for id in near:
            shared.setdefault(id, 0)
        alike = self._alike(query)
        for id in alike:
            shared.setdefault(id, _MOST_SHARED)
        # Names that are defined in many files must not displace the definitions that the document imports.
        ids = list(dict.fromkeys([*near, *shared]))[:_MOST_ROWS]
        rows = self._all(
            f"SELECT {_COLUMNS} FROM declaration d JOIN file f ON f.id = d.file "
            f"WHERE d.id IN ({_marks(ids)}) AND f.language IN ({_marks(languages)})",
            [*ids, *languages],
        )
        return [self._candidate(row, shared[row[0]], alike=row[0] in alike) for row in rows]

    def _nearest(self, ids: Sequence[int], query: Query) -> list[int]:
        """Those of many definitions whose files are nearest to the document."""
        sql = f"SELECT d.id, f.path FROM declaration d JOIN file f ON f.id = d.file WHERE d.id IN ({_marks(ids)})"
        rows = sorted(self._all(sql, ids), key=lambda row: (_distance(row[1], query.path), row[0]))
        return [id for id, _ in rows[:_MOST_PER_NAME]]

    def _files_of(self, query: Query, languages: Sequence[str]) -> list[int]:
        """The files that the document imports, or sees because they are in its folder."""
        marks = _marks(stems := query.imports.ends)
        rows = self._all(
            f"SELECT id, path FROM file WHERE language IN ({_marks(languages)}) "
            f"AND (stem IN ({marks}) OR folder IN ({marks})) LIMIT {_MOST_FILES}",
            [*languages, *stems, *stems],
        )
        found = [id for id, path in rows if query.imports.of(path)]
        folder = PurePosixPath(query.path).parent
        if shares_folder(query.language):
            sql = f"SELECT id, path FROM file WHERE folder = ? LIMIT {_MOST_FILES}"
            found += [id for id, path in self._all(sql, [folder.name]) if PurePosixPath(path).parent == folder]
        return found

    def _files_of_qualifier(self, query: Query) -> list[int]:
        """The files of the module whose name stands before the hole, including files that its package may re-export."""
        found = []
        for module in query.qualifying[:4]:
            below = _GLOB.sub(r"[\g<0>]", "/".join(module.parts[-3:]))
            sql = f"SELECT id, path FROM file WHERE path GLOB ? OR path GLOB ? LIMIT {_MOST_FILES}"
            rows = self._all(sql, [f"{below}[./]*", f"*/{below}[./]*"])
            found += [id for id, path in rows if query.imports.of(path) or query.imports.packages_of(path)]
        return found

    def _of_files(self, query: Query, languages: Sequence[str]) -> list[int]:
        """Definitions of the module whose name stands before the hole; and of imported files, those that are named,
        imported or used, or that have words near the hole."""
        files = self._files_of(query, languages)
        ids = self._of_qualifier(query)
        if files:
            names = dict.fromkeys([*query.names, *(name for module in query.imports.modules for name in module.names)])
            ids += self._ids(
                f"SELECT DISTINCT d.id FROM declaration d JOIN name n ON n.declaration = d.id "
                f"WHERE d.file IN ({_marks(files)}) AND n.name IN ({_marks(names)}) LIMIT {_MOST_FROM_FILES}",
                [*files, *names],
            )
            words = " OR ".join(f'"{word}"' for word in query.words if word.isalnum())
            if words:
                ids += self._ids(
                    f"SELECT w.rowid FROM words w JOIN declaration d ON d.id = w.rowid "
                    f"WHERE words MATCH ? AND d.file IN ({_marks(files)}) LIMIT {_MOST_FROM_FILES // 2}",
                    [words, *files],
                )
        return ids

    def _of_qualifier(self, query: Query) -> list[int]:
        """Definitions of the module whose name stands before the hole: those used most in the document, and the
        first ones."""
        if not (files := self._files_of_qualifier(query)):
            return []
        marks = _marks(files)
        used = sorted(query.counts, key=lambda name: -query.counts[name])[:_MOST_COUNTED]
        sql = (
            f"SELECT d.id FROM declaration d JOIN name n ON n.declaration = d.id WHERE n.role = 0 "
            f"AND n.name IN ({_marks(used)}) AND d.file IN ({marks}) LIMIT {_MOST_OF_QUALIFIER}"
        )
        first = f"SELECT id FROM declaration WHERE file IN ({marks}) LIMIT {_MOST_OF_QUALIFIER}"
        return [*self._ids(sql, [*used, *files]), *self._ids(first, files)]

    def _ids(self, sql: str, values: Sequence[Any]) -> list[int]:
        return [id for (id,) in self._all(sql, values)]

    def _alike(self, query: Query) -> list[int]:
        """Small definitions with many of the words before the hole, the best by BM25."""
        words = [word for word in query.words if word.isalnum() and self._uses(word) <= _MOST_WORD_USES]
        if len(words) < 3:
            return []
        rows = self._all(
            f"SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT {_MOST_ALIKE}",
            [" OR ".join(f'"{word}"' for word in words)],
        )
        return [id for (id,) in rows]

    def _uses(self, word: str) -> int:
        """The number of definitions with a word, counted up to one more than the limit."""
        sql = f"SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT {_MOST_WORD_USES + 1})"
        return int(self._all(sql, [f'"{word}"'])[0][0])

    def _candidate(self, row: tuple[Any, ...], shared: int, *, alike: bool) -> Candidate:
        _, path, defines, head, whole, members, tail, doc, place, line, library = row
        declaration = Declaration(tuple(defines.split()), head, whole, members_of(members), tail, doc, place, line)
        return Candidate(_uri(self._base, path), path, declaration, shared, alike, bool(library))


@lru_cache(maxsize=4096)
def _uri(base: str, path: str) -> str:
    return f"{base}/{quote(path)}"


def _marks(values: Collection[Any]) -> str:
    return ", ".join("?" * len(values))


def _distance(a: str, b: str) -> int:
    """The number of steps between two paths."""
    first, second = a.split("/"), b.split("/")
    same = 0
    while same < min(len(first), len(second)) and first[same] == second[same]:
        same += 1
    return len(first) + len(second) - 2 * same
