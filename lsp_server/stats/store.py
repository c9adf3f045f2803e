"""The counts on disk: an SQLite file in the user's state folder, readable only for the user.

Every server writes its sums in one short transaction, so several servers can write, and one that is killed leaves the
file as it was. The key of a row is a day, a language, a model, a source and an arm.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from platformdirs import user_state_path

from lsp_server.stats.counts import BUCKETS, COUNTERS, Key, Tally

KEPT_DAYS = 366
_WAIT_SECONDS = 1.0
_VERSION = 1
_KEY = ("day", "language", "model", "source", "arm")


class StoreError(Exception):
    """The counts cannot be stored. word: the reason in one word. retry: whether a later try may succeed."""

    def __init__(self, word: str, *, retry: bool = False) -> None:
        super().__init__(word)
        self.word = word
        self.retry = retry


def path() -> Path:
    return user_state_path("fimble") / "stats.sqlite"


def add(batch: Tally, today: date) -> None:
    """Adds sums to those on disk, and deletes rows older than a year. Raises StoreError."""
    with _opened() as connection, _transaction(connection):
        _prepare(connection)
        oldest = (today - timedelta(days=KEPT_DAYS)).isoformat()
        for table in ("counts", "latencies"):
            connection.execute(f"DELETE FROM {table} WHERE day < ?", (oldest,))
        for key, counts in batch.counts.items():
            names = [name for name in counts if name in COUNTERS and counts[name]]
            if names:
                columns = ", ".join((*_KEY, *map(_quoted, names)))
                marks = ", ".join("?" * (len(_KEY) + len(names)))
                sums = ", ".join(f"{_quoted(name)} = {_quoted(name)} + excluded.{_quoted(name)}" for name in names)
                connection.execute(
                    f"INSERT INTO counts ({columns}) VALUES ({marks}) "
                    f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {sums}",
                    (*_values(key), *(counts[name] for name in names)),
                )
        found = batch.latencies.items()
        rows = [(*_values(key), bucket, count) for key, buckets in found for bucket, count in buckets.items()]
        connection.executemany(
            "INSERT INTO latencies VALUES (?, ?, ?, ?, ?, ?, ?) "
            f"ON CONFLICT ({', '.join(_KEY)}, bucket) DO UPDATE SET count = count + excluded.count",
            rows,
        )


def read(since: date | None = None) -> Tally:
    """All counts on disk, or those from `since` on. Empty if there is no file; none is created. Raises StoreError."""
    found = Tally()
    if not path().exists():
        return found
    first = since.isoformat() if since is not None else ""
    with _opened(make=False) as connection, _transaction(connection, "BEGIN"):
        columns = _columns(connection)
        if not columns:
            return found
        names = [name for name in COUNTERS if name in columns]
        query = f"SELECT {', '.join((*_KEY, *map(_quoted, names)))} FROM counts WHERE day >= ?"
        for row in connection.execute(query, (first,)):
            values = zip(names, row[len(_KEY) :], strict=True)
            found.counts[Key(*row[: len(_KEY)])] = Counter({name: int(value) for name, value in values if value})
        query = f"SELECT {', '.join(_KEY)}, bucket, count FROM latencies WHERE day >= ?"
        for *key, bucket, count in connection.execute(query, (first,)):
            if 0 <= bucket <= len(BUCKETS):
                found.latencies.setdefault(Key(*key), Counter())[int(bucket)] += int(count)
    return found


def claim(week: str) -> bool:
    """Notes that the summary of a week is being shown. Returns whether no other server has done so before. Raises
    StoreError."""
    with _opened() as connection, _transaction(connection):
        _prepare(connection)
        connection.execute("CREATE TABLE IF NOT EXISTS shown (week TEXT PRIMARY KEY) WITHOUT ROWID")
        connection.execute("DELETE FROM shown WHERE week <> ?", (week,))
        return connection.execute("INSERT OR IGNORE INTO shown VALUES (?)", (week,)).rowcount == 1


def clear() -> bool:
    """Deletes all counts, also a damaged file. Returns whether there was a file. Raises OSError."""
    was = path().exists()
    for end in ("", "-journal", "-wal", "-shm"):
        path().with_name(path().name + end).unlink(missing_ok=True)
    return was


def _quoted(name: str) -> str:
    """A counter's name as a column name: some are SQL keywords."""
    return f'"{name}"'


def _values(key: Key) -> tuple[str, ...]:
    return key.day, key.language, key.model, key.source, key.arm


@contextlib.contextmanager
def _opened(*, make: bool = True) -> Iterator[sqlite3.Connection]:
    """A connection, which is closed by the thread that opens it. Turns SQLite's errors into StoreErrors."""
    try:
        if make:
            _make_private()
        elif not stat.S_ISREG(path().lstat().st_mode):
            raise OSError("not a file")
        connection = sqlite3.connect(path(), timeout=_WAIT_SECONDS, isolation_level=None)
    except (OSError, sqlite3.Error):
        raise StoreError("unwritable") from None
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        yield connection
    except sqlite3.Error as error:
        raise _complaint(error) from None
    except (ValueError, TypeError, OverflowError):  # values that no version of fimble writes
        raise StoreError("damaged") from None
    finally:
        connection.close()


def _make_private() -> None:
    """Creates the file if needed, and makes sure that it is a regular file and only the user's. Raises OSError."""
    folder = path().parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path(), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    mode = path().lstat().st_mode
    if not stat.S_ISREG(mode):
        raise OSError("not a file")
    if os.name == "posix" and stat.S_IMODE(mode) != 0o600:
        path().chmod(0o600)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _prepare(connection: sqlite3.Connection) -> None:
    """Creates the tables, or adds the columns that this version has in addition. Raises StoreError if a later version
    has made the file."""
    columns = _columns(connection)
    if not columns:
        key = ", ".join(f"{name} TEXT NOT NULL" for name in _KEY)
        unique = ", ".join(_KEY)
        connection.execute(f"CREATE TABLE counts ({key}, PRIMARY KEY ({unique})) WITHOUT ROWID")
        connection.execute(
            f"CREATE TABLE latencies ({key}, bucket INTEGER NOT NULL, count INTEGER NOT NULL, "
            f"PRIMARY KEY ({unique}, bucket)) WITHOUT ROWID"
        )
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    for name in COUNTERS:
        if name not in columns:
            connection.execute(f"ALTER TABLE counts ADD COLUMN {_quoted(name)} INTEGER NOT NULL DEFAULT 0")


def _columns(connection: sqlite3.Connection) -> set[str]:
    """The columns of the counts; empty for an empty file. Raises StoreError if a later version has made the file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise StoreError("newer")
    return {row[1] for row in connection.execute("PRAGMA table_info(counts)")}


def _complaint(error: sqlite3.Error) -> StoreError:
    words = str(error).lower()
    if "locked" in words or "busy" in words:
        return StoreError("busy", retry=True)
    if "full" in words:
        return StoreError("full")
    if "readonly" in words or "unable to open" in words or "i/o" in words:
        return StoreError("unwritable")
    return StoreError("damaged")
