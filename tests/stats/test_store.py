"""The file of counts: nothing is lost, nobody else can read it, and what is wrong with it stops counting, in a word."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from lsp_server.stats import store
from lsp_server.stats.counts import BUCKETS, COUNTERS, Key, Tally, bucket_of
from tests.support.effort import scaled

TODAY = date(2026, 11, 28)
KEY = Key("2026-11-28", "Python", "a model", "memory")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "fimble"


def tally(key: Key = KEY, ms: float = 3.0, **counts: int) -> Tally:
    found = Tally()
    found.add(key, **counts)
    found.took(key, ms)
    return found


def test_sums_are_added_to_those_that_are_there() -> None:
    other = Key("2026-11-28", "Rust", "a model", "model", "an arm")
    assert not store.read()
    store.add(tally(suggestions=2, accepted=1), TODAY)
    store.add(tally(suggestions=3, accepted=-1), TODAY)
    store.add(tally(other, ms=99999, keys=7), TODAY)
    found = store.read()
    assert found.counts[KEY] == {"suggestions": 5}
    assert found.counts[other] == {"keys": 7}
    assert found.latencies == {KEY: Counter({bucket_of(3): 2}), other: Counter({len(BUCKETS): 1})}


def test_every_counter_has_its_column() -> None:
    store.add(tally(**{name: number for number, name in enumerate(COUNTERS, 1)}), TODAY)
    assert list(store.read().counts[KEY].values()) == list(range(1, len(COUNTERS) + 1))


def test_a_file_of_an_earlier_version_is_read_and_gets_the_counters_that_it_lacks() -> None:
    store.add(tally(keys=3, accepted=2), TODAY)
    with sqlite3.connect(store.path()) as connection:
        connection.execute("ALTER TABLE counts DROP COLUMN accepted")
    connection.close()
    assert store.read().counts[KEY] == {"keys": 3}
    store.add(tally(accepted=1), TODAY)
    assert store.read().counts[KEY] == {"keys": 3, "accepted": 1}


def test_counts_are_read_where_nothing_can_be_written(state: Path) -> None:
    store.add(tally(keys=3), TODAY)
    with sqlite3.connect(store.path(), isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")  # another server is about to write
        assert store.read().counts[KEY] == {"keys": 3}
    connection.close()
    store.path().write_bytes(b"")  # a server that was killed when it had made the file
    assert not store.read()
    store.add(tally(keys=1), TODAY)


def test_the_file_is_for_the_user_alone_whatever_the_umask_is(state: Path) -> None:
    old = os.umask(0)
    try:
        store.add(tally(keys=1), TODAY)
        store.path().chmod(0o666)
        store.add(tally(keys=1), TODAY)
    finally:
        os.umask(old)
    assert [stat.S_IMODE(each.stat().st_mode) for each in state.iterdir()] == [0o600]
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_a_year_is_kept() -> None:
    days = [TODAY - timedelta(days=number) for number in range(0, 800, 100)]
    for day in days:
        store.add(tally(Key(day.isoformat()), keys=1), day)
    store.add(tally(keys=1), TODAY)
    assert {key.day for key in store.read().counts} == {day.isoformat() for day in days[:4]}
    assert {key.day for key in store.read(TODAY - timedelta(days=100)).counts} == {day.isoformat() for day in days[:2]}


def test_a_million_keys_leave_a_small_file() -> None:
    """Those of a hundred days of ten thousand each, in three languages, with everything counted that can be."""
    found = Tally()
    for number in range(100):
        day = (TODAY - timedelta(days=number)).isoformat()
        for language in ("Python", "TypeScript", "Markdown"):
            for source in ("memory", "model", "adopted", ""):
                key = Key(day, language, "Qwen2.5 Coder 0.5B Instruct", source)
                found.add(key, **dict.fromkeys(COUNTERS, 12345))
                for ms in BUCKETS[:20]:
                    found.took(key, ms)
    store.add(found, TODAY)
    assert store.path().stat().st_size < 5_000_000
    assert len(store.read().counts) == 100 * 12


def test_several_servers_at_once_lose_nothing() -> None:
    failures: list[Exception] = []

    def write() -> None:
        for _ in range(25):
            try:
                store.add(tally(keys=1, typed=3), TODAY)
            except store.StoreError as error:
                if not error.retry:
                    failures.append(error)
                done[0] -= error.retry

    done = [4 * 25]
    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert store.read().counts[KEY] == {"keys": done[0], "typed": 3 * done[0]}


def write(folder: str, count: int) -> None:
    """Writes one key at a time as a server does it: what cannot be written now is written with the next."""
    os.environ["XDG_STATE_HOME"] = folder
    sums = Tally()
    for number in range(count):
        sums.add(KEY, keys=1, typed=3)
        batch, last = sums.take(), number == count - 1
        while batch:
            try:
                store.add(batch, TODAY)
                break
            except store.StoreError as error:
                assert error.retry
                if not last:
                    sums.merge(batch)
                    break


def test_two_processes_that_write_at_the_same_time_lose_nothing(state: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    writers = [context.Process(target=write, args=(str(state.parent), scaled(40))) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert store.read().counts[KEY] == {"keys": 2 * scaled(40), "typed": 6 * scaled(40)}


def test_a_server_that_is_killed_while_it_writes_leaves_the_file_whole() -> None:
    store.add(tally(keys=1), TODAY)
    code = (
        "import os, sqlite3\nfrom lsp_server.stats import store\n"
        "connection = sqlite3.connect(store.path(), isolation_level=None)\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "connection.execute('UPDATE counts SET keys = 1000')\n"
        "connection.execute('PRAGMA cache_spill = 1')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    store.add(tally(keys=1), TODAY)
    assert store.read().counts[KEY] == {"keys": 2}


def no_database(path: Path) -> None:
    path.write_bytes(b"this is no database, and it is longer than a page of one " * 100)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200:] = os.urandom(len(content) - 200)
    path.write_bytes(content)


def another_programs(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE counts (day BLOB, x)")
        connection.execute("CREATE TABLE latencies (y)")
    connection.close()


def of_a_later_version(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_link(path: Path) -> None:
    target = path.with_name("elsewhere")
    path.rename(target)
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (no_database, "damaged"),
        (cut_short, "damaged"),
        (overwritten, "damaged"),
        (another_programs, "damaged"),
        (of_a_later_version, "newer"),
        (a_folder, "unwritable"),
        (a_link, "unwritable"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_in_a_word(spoil: Callable[[Path], None], word: str) -> None:
    store.add(tally(keys=1), TODAY)
    spoil(store.path())
    for use in (lambda: store.add(tally(keys=1), TODAY), store.read):
        with pytest.raises(store.StoreError) as caught:
            use()
        assert (caught.value.word, caught.value.retry) == (word, False)


def test_a_full_disk_is_said_to_be_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite says the same of a database that may have no more pages."""
    store.add(tally(keys=1), TODAY)
    connect = sqlite3.connect

    def small(*arguments: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)  # type: ignore[call-overload]
        connection.execute("PRAGMA max_page_count = 1")
        return connection

    monkeypatch.setattr(sqlite3, "connect", small)
    many = Tally()
    for number in range(5000):
        many.add(Key("2026-11-28", f"language {number}"), keys=1)
    with pytest.raises(store.StoreError) as caught:
        store.add(many, TODAY)
    assert caught.value.word == "full"
    monkeypatch.undo()


def test_a_damaged_file_is_cleared_and_counting_begins_anew() -> None:
    store.add(tally(keys=1), TODAY)
    no_database(store.path())
    assert store.clear()
    assert not store.clear()
    store.add(tally(keys=4), TODAY)
    assert store.read().counts[KEY] == {"keys": 4}
