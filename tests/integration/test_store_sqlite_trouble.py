"""What a SQLite file can suffer from: locks, a full disk, no directory, rubbish. Nothing is ever half written."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlmodel import select

from state.commands import Done, SubmitRun
from state.errors import StoreBusy, StoreError, StoreFull, StoreUnavailable
from state.migrations import upgrade
from state.sqlite import SqliteStore
from state.tables import Run
from tests.contract.store_world import submission, task

ROOT = Path(__file__).resolve().parents[2]


def _run(name: str, size: int = 10) -> SubmitRun:
    command = submission(task("a", run=name), run=name)
    command.spec = "x" * size
    return command


async def _names(store: SqliteStore) -> set[str]:
    return set(await store.read(lambda session: session.exec(select(Run.id)).all()))


@contextmanager
def _held(path: Path) -> Generator[sqlite3.Connection]:
    """Another program that holds the lock and knows nothing of turnstiles."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield connection
    finally:
        connection.close()


async def test_a_lock_is_waited_for_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SqliteStore(tmp_path / "atlas.db")
    warned = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: warned.set()
    logging.getLogger("state.sqlite_writer").addHandler(handler)
    try:
        with _held(tmp_path / "atlas.db") as other:
            waiting = asyncio.ensure_future(store.apply([_run("r1")]))
            assert await asyncio.to_thread(warned.wait, 30.0)
            assert not waiting.done()
            other.execute("COMMIT")
            assert [type(outcome) for outcome in await waiting] == [Done]
    finally:
        logging.getLogger("state.sqlite_writer").removeHandler(handler)
        await store.close()
    assert len([record for record in caplog.records if "locked by another program" in record.message]) == 1


async def test_a_lock_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "atlas.db", busy=0.0)
    with _held(tmp_path / "atlas.db"):
        calls = await asyncio.gather(*(store.apply([_run(f"r{n}")]) for n in range(3)), return_exceptions=True)
        assert [type(error) for error in calls] == [StoreBusy] * 3
    await store.apply([_run("r9")])
    assert await _names(store) == {"r9"}
    await store.close()


async def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "atlas.db")
    await store.apply([_run("r1")])
    writer = sqlite3.connect(tmp_path / "atlas.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert await _names(store) == {"r1"}
    writer.close()
    await store.close()


async def test_a_reader_sees_one_moment(tmp_path: Path) -> None:
    """Two queries of one read, with a commit between them."""
    store = SqliteStore(tmp_path / "atlas.db")
    await store.apply([_run("r1")])
    first, commit = threading.Event(), threading.Event()

    def query(session: object) -> tuple[int, int]:
        counts: list[int] = []
        for _ in range(2):
            counts.append(len(session.exec(select(Run.id)).all()))  # type: ignore[attr-defined]
            first.set()
            assert commit.wait(30.0)
        return counts[0], counts[1]

    reading = asyncio.ensure_future(store.read(query))
    await asyncio.to_thread(first.wait)
    await store.apply([_run("r2")])
    commit.set()
    assert await reading == (1, 1)
    assert await _names(store) == {"r1", "r2"}
    await store.close()


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "atlas.db")
    with pytest.raises(StoreError):
        await store.read(lambda session: session.connection().exec_driver_sql("DELETE FROM run"))
    await store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of two megabytes."""
    directory = tmp_path / "disk"
    directory.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(directory)]
    if shutil.which("mount") is None or subprocess.run(argv, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


async def test_a_full_disk_loses_nothing_and_heals(small_disk: Path) -> None:
    store = SqliteStore(small_disk / "atlas.db")
    filler = small_disk / "filler"
    committed: set[str] = set()
    await store.apply([_run("r")])
    committed.add("r")
    filler.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 200_000))

    async def fill() -> None:
        for number in range(1000):
            await store.apply([_run(f"r{number}", 20_000)])
            committed.add(f"r{number}")

    with pytest.raises(StoreFull, match=r"atlas\.db"):
        await fill()
    calls = await asyncio.gather(*(store.apply([_run(f"s{n}", 300_000)]) for n in range(5)), return_exceptions=True)
    assert [type(error) for error in calls] == [StoreFull] * 5
    assert await _names(store) == committed
    filler.unlink()
    await store.apply([_run("after")])
    assert await _names(store) == {*committed, "after"}
    await store.close()


@pytest.mark.parametrize(
    "rubbish", [b"not a database at all, but long enough to look at" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
async def test_rubbish_is_not_a_database(tmp_path: Path, rubbish: bytes) -> None:
    path = tmp_path / "atlas.db"
    path.write_bytes(rubbish)
    with pytest.raises(StoreUnavailable, match=r"atlas\.db"):
        SqliteStore(path)
    assert path.read_bytes() == rubbish


async def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    (tmp_path / "atlas.db").touch()
    store = SqliteStore(tmp_path / "atlas.db")
    await store.apply([_run("r1")])
    await store.close()


async def test_directories_are_made(tmp_path: Path) -> None:
    await SqliteStore(tmp_path / "a" / "b" / "atlas.db").close()
    assert (tmp_path / "a" / "b" / "atlas.db").exists()


async def test_no_directory_can_be_made_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot open"):
        SqliteStore(tmp_path / "file" / "atlas.db")


async def test_the_file_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "atlas.db").mkdir()
    with pytest.raises(StoreUnavailable):
        SqliteStore(tmp_path / "atlas.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreUnavailable):
            SqliteStore(tmp_path / "atlas.db")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")
async def test_a_new_file_is_opened_by_many_at_once(tmp_path: Path) -> None:
    """To change a file to WAL while another does is refused at once, whatever the busy timeout."""
    made = tmp_path / "made.db"
    upgrade(f"sqlite:///{made}")
    for number in range(100):
        path = tmp_path / f"{number}.db"
        shutil.copy(made, path)
        together = threading.Barrier(4)

        def open_it(path: Path = path, together: threading.Barrier = together) -> SqliteStore:
            together.wait(30.0)
            return SqliteStore(path)

        with ThreadPoolExecutor(4) as pool:
            stores = [each.result() for each in [pool.submit(open_it) for _ in range(4)]]
        for store in stores:
            await store.close()


async def test_nothing_is_left_open(tmp_path: Path) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    await SqliteStore(tmp_path / "atlas.db").close()
    (tmp_path / "rubbish.db").write_bytes(b"rubbish " * 1000)
    before, threads = descriptors(), threading.active_count()
    for _ in range(5):
        store = SqliteStore(tmp_path / "atlas.db")
        await store.apply([])
        await _names(store)
        await store.close()
        with pytest.raises(StoreUnavailable):
            SqliteStore(tmp_path / "rubbish.db")
    assert (descriptors(), threading.active_count()) == (before, threads)


async def test_another_process_s_commit_is_noticed(tmp_path: Path) -> None:
    mine, other = SqliteStore(tmp_path / "atlas.db"), SqliteStore(tmp_path / "atlas.db")
    number = await mine.changed(0, 0.0)
    waiting = asyncio.ensure_future(mine.changed(number, 60.0))
    await other.apply([_run("r1")])
    assert await asyncio.wait_for(waiting, 20.0) > number
    await mine.close()
    await other.close()
