"""The database of one workspace folder: the declarations in its files, found by name, by module and by words.

It is in the user's cache folder, and only the user may read it. A process of low priority writes it; the server and the
command line read it. A database that is damaged or has another version is deleted and built again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from types import TracebackType

from platformdirs import user_cache_path

from lsp_server.core.declarations import Declaration, Member
from lsp_server.core.index_listing import words_of
from lsp_server.core.modules import module_parts
from lsp_server.core.pieces import identifiers_in

# Databases with another number are deleted.
VERSION = 3
# How many databases are kept; the least recently used one is deleted first.
MOST_DATABASES = 32
_BUSY_SECONDS = 5.0
_MEMBER, _DEFINED = 1, 0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS file (
    id INTEGER PRIMARY KEY, library INTEGER NOT NULL, path TEXT NOT NULL, stamp TEXT NOT NULL, language TEXT NOT NULL,
    stem TEXT NOT NULL, folder TEXT NOT NULL, imports TEXT NOT NULL, uses TEXT NOT NULL, UNIQUE (path, library));
CREATE INDEX IF NOT EXISTS file_stem ON file(stem);
CREATE INDEX IF NOT EXISTS file_folder ON file(folder);
CREATE TABLE IF NOT EXISTS declaration (
    id INTEGER PRIMARY KEY, file INTEGER NOT NULL, place INTEGER NOT NULL, line INTEGER NOT NULL, defines TEXT NOT NULL,
    head BLOB NOT NULL, whole BLOB NOT NULL, members TEXT NOT NULL, tail BLOB NOT NULL, doc TEXT NOT NULL,
    receiver TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS declaration_file ON declaration(file, place, defines, receiver);
CREATE TABLE IF NOT EXISTS name (name TEXT NOT NULL, role INTEGER NOT NULL, declaration INTEGER NOT NULL,
    file INTEGER NOT NULL, PRIMARY KEY (role, name, declaration)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS name_declaration ON name(declaration);
CREATE TABLE IF NOT EXISTS used (qualifier TEXT NOT NULL, name TEXT NOT NULL, files INTEGER NOT NULL,
    PRIMARY KEY (qualifier, name)) WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(body, detail=column);
CREATE TABLE IF NOT EXISTS fact (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class StoreError(Exception):
    """The database cannot be used. The message is one line. damaged: whether its content is the reason."""

    def __init__(self, message: str, *, damaged: bool = False) -> None:
        super().__init__(message)
        self.damaged = damaged


# Messages of SQLite that mean that the content of a file is not ours.
_DAMAGE = ("malformed", "not a database", "no such table", "no such column", "has no column", "another version")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether a database is damaged, and not only busy or on a full disk."""
    return any(words in str(error) for words in _DAMAGE)


@dataclass(frozen=True, slots=True)
class Entry:
    """The content of one file. path: below the folder, with `/`. stamp: differs after a change of the file; a file
    without declarations has one, too. imports: its import lines. library: whether it is in an installed package.
    uses: the names that it uses, each behind the name and the dot before it, if there is one."""

    path: str
    stamp: str
    language: str
    imports: tuple[str, ...]
    declarations: tuple[Declaration, ...]
    library: bool = False
    uses: frozenset[tuple[str, str]] = frozenset()


def folder() -> Path:
    return user_cache_path("fimble") / "index"


def database_path(root: Path) -> Path:
    """The path of the database of a workspace folder."""
    digest = hashlib.blake2b(os.fsencode(root.resolve()), digest_size=12).hexdigest()
    return folder() / f"{digest}.sqlite"


def remove(path: Path) -> None:
    """Removes a database and the files that belong to it. Raises OSError."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=0.2)) as connection:
        connection.execute("PRAGMA secure_delete=ON")
        for table in ("words", "name", "declaration", "used", "file", "fact"):
            connection.execute(f"DELETE FROM {table}")
        connection.commit()
    for ending in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{ending}").unlink(missing_ok=True)


def forget_old(keep: Path) -> None:
    """Removes the least recently used databases beyond `MOST_DATABASES`, except `keep`."""
    with suppress(OSError):
        files = sorted(folder().glob("*.sqlite"), key=lambda each: each.stat().st_mtime, reverse=True)
        for old in files[MOST_DATABASES:]:
            if old != keep:
                remove(old)


class Writer:
    """Writes the database of `root`. A context manager, for one thread. Raises StoreError."""

    def __init__(self, root: Path, path: Path | None = None) -> None:
        self._root, self.path = root, path or database_path(root)
        self._connection = self._opened()
        self._inode = self._file()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    def is_current(self) -> bool:
        """Whether the file being written is still the one that readers open, and was not removed."""
        return self._file() == self._inode

    def stamps(self, *, library: bool = False) -> dict[str, str]:
        """The known files of the folder, or of installed packages, each with its stamp."""
        with self._failing():
            return dict(self._connection.execute("SELECT path, stamp FROM file WHERE library = ?", (library,)))

    def put(self, entries: Iterable[Entry]) -> None:
        """Writes files; their earlier entries are replaced."""
        with self._failing(), self._connection:
            for entry in entries:
                self._delete([entry.path], library=entry.library)
                self._insert(entry)

    def delete(self, paths: Sequence[str], *, library: bool = False) -> None:
        """Removes files. Their content is overwritten in the database."""
        with self._failing(), self._connection:
            self._delete(paths, library=library)

    def tell(self, key: str, value: str) -> None:
        with self._failing(), self._connection:
            self._connection.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (key, value))

    def _delete(self, paths: Iterable[str], *, library: bool) -> None:
        run = self._connection.execute
        for path in paths:
            found = run("SELECT id, uses FROM file WHERE path = ? AND library = ?", (path, library)).fetchone()
            if found is None:
                continue
            row = found[:1]
            uses = [tuple(line.split(" ")) for line in found[1].splitlines()]
            self._connection.executemany("UPDATE used SET files = files - 1 WHERE qualifier = ? AND name = ?", uses)
            self._connection.executemany("DELETE FROM used WHERE qualifier = ? AND name = ? AND files <= 0", uses)
            for table, key in (("name", "declaration"), ("words", "rowid")):
                run(f"DELETE FROM {table} WHERE {key} IN (SELECT id FROM declaration WHERE file = ?)", row)
            run("DELETE FROM declaration WHERE file = ?", row)
            run("DELETE FROM file WHERE id = ?", row)

    def _insert(self, entry: Entry) -> None:
        run = self._connection.execute
        parts, above = module_parts(entry.path), PurePosixPath(entry.path).parent.name
        file = run(
            "INSERT INTO file (library, path, stamp, language, stem, folder, imports, uses) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(entry.library, entry.path, entry.stamp, entry.language, parts[-1], above, "\n".join(entry.imports)),
                "\n".join(f"{qualifier} {name}" for qualifier, name in sorted(entry.uses)),
            ),
        ).lastrowid
        self._connection.executemany(
            "INSERT INTO used VALUES (?, ?, 1) ON CONFLICT (qualifier, name) DO UPDATE SET files = files + 1",
            sorted(entry.uses),
        )
        for each in entry.declarations:
            number = run(
                "INSERT INTO declaration (file, place, line, defines, head, whole, members, tail, doc, receiver) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(file, each.offset, each.line, " ".join(each.defines), each.head, each.whole),
                    *(_members_as_text(each.members), each.tail, each.doc, each.receiver),
                ),
            ).lastrowid
            roles = dict.fromkeys((name, _DEFINED, number, file) for name in each.defines)
            members = (name for member in each.members for name in member.names)
            roles.update(dict.fromkeys((name, _MEMBER, number, file) for name in members))
            self._connection.executemany("INSERT OR IGNORE INTO name VALUES (?, ?, ?, ?)", roles)
            run("INSERT INTO words (rowid, body) VALUES (?, ?)", (number, _words_of(each)))

    def _opened(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.name == "posix" and self.path.parent == folder():
                self.path.parent.chmod(0o700)
            try:
                return self._open()
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise
                remove(self.path)
                return self._open()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the index {self.path} cannot be written: {error}") from None

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        if os.name == "posix":
            self.path.chmod(0o600)
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS)
        try:
            # Deleted content is overwritten in the file, and readers do not have to wait for the writer.
            for pragma in ("secure_delete=ON", "journal_mode=WAL", "synchronous=NORMAL", "journal_size_limit=4000000"):
                connection.execute(f"PRAGMA {pragma}")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={VERSION}; COMMIT;")
            elif version != VERSION:
                raise sqlite3.DatabaseError("another version")
            connection.execute("SELECT count(*) FROM file JOIN declaration ON declaration.file = file.id").fetchone()
            with connection:
                connection.execute("INSERT OR REPLACE INTO fact VALUES ('root', ?)", (str(self._root),))
        except BaseException:
            connection.close()
            raise
        return connection

    def _file(self) -> tuple[int, int]:
        with suppress(OSError):
            found = self.path.stat()
            return found.st_dev, found.st_ino
        return 0, 0

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"the index {self.path} cannot be written: {error}", damaged=is_damage(error)) from None


def _members_as_text(members: Sequence[Member]) -> str:
    return json.dumps([[" ".join(each.names), each.text.decode("utf-8", "replace"), each.method] for each in members])


@lru_cache(maxsize=1 << 9)  # a few times what one choice reads
def members_of(text: str) -> tuple[Member, ...]:
    """Reads the result of `_members_as_text`. Raises ValueError."""
    return tuple(
        Member(tuple(names.split()), shown.encode(), bool(method)) for names, shown, method in json.loads(text)
    )


def _words_of(declaration: Declaration) -> str:
    names = [*declaration.defines, *(name for member in declaration.members for name in member.names)]
    names += identifiers_in(declaration.whole or declaration.head)
    names += identifiers_in(declaration.doc.encode())
    return " ".join(word for name in names for word in words_of(name) if len(word) > 2)
