"""What a SQLite file can suffer from: locks, a full disk, no directory, rubbish. Nothing is ever half written."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
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
from state.turnstile import Turnstile
from tests.contract.store_world import submission, task
from tests.services.small_disk import small_disk

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


async def test_a_process_that_is_stopped_while_it_writes_does_not_stop_the_others_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They can look at everything, and are told why they can't write; once it goes on, so do they."""
    path = tmp_path / "atlas.db"
    await SqliteStore(path).close()
    stopped = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITES, str(path), stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    try:
        assert stopped.stdout
        assert await stopped.stdout.readline() == b"inside\n"
        stopped.send_signal(signal.SIGSTOP)
        monkeypatch.setattr("state.turnstile._SAY_SECONDS", 0.1)
        store = SqliteStore(path, busy=0.5)
        assert await _names(store) == set()
        for name in ("r1", "r2"):
            with pytest.raises(StoreBusy, match="another process has been writing"):
                await store.apply([_run(name)])
        assert "does not end; waiting" in caplog.text
        other = SqliteStore(path)
        later = asyncio.ensure_future(other.apply([_run("r3")]))
        stopped.send_signal(signal.SIGCONT)
        await stopped.communicate(b"")
        await later
        await store.apply([_run("r4")])
        assert await _names(store) == {"r3", "r4"}
        await asyncio.gather(store.close(), other.close())
    finally:
        if stopped.returncode is None:
            stopped.kill()
            await stopped.wait()


_WRITES = """
import sys
from pathlib import Path
from state.turnstile import Turnstile
with Turnstile(Path(sys.argv[1])):
    print("inside", flush=True)
    sys.stdin.read()
"""


def test_a_turn_that_nobody_waits_for_any_more_goes_to_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "atlas.db"
    first, second, third = Turnstile(path), Turnstile(path, busy=0.05), Turnstile(path)
    with first:
        for _ in range(2):
            with pytest.raises(StoreBusy), second:
                pass
        second.close()
    with third:
        pass
    with first:
        pass
    for each in (first, third):
        each.close()


async def test_many_threads_with_turnstiles_of_their_own_are_inside_one_at_a_time(tmp_path: Path) -> None:
    inside, most = 0, 0

    def write() -> None:
        nonlocal inside, most
        turnstile = Turnstile(tmp_path / "atlas.db")
        for _ in range(100):
            with turnstile:
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1
        turnstile.close()

    await asyncio.gather(*(asyncio.to_thread(write) for _ in range(8)))
    assert (inside, most) == (0, 1)


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


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Generator[Path]:
    with small_disk(tmp_path / "disk", megabytes=2) as directory:
        yield directory


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
    def opened() -> tuple[int, set[threading.Thread]]:
        threads = {each for each in threading.enumerate() if not each.name.startswith("asyncio_")}
        return len(list(Path("/proc/self/fd").iterdir())), threads

    await SqliteStore(tmp_path / "atlas.db").close()
    (tmp_path / "rubbish.db").write_bytes(b"rubbish " * 1000)
    files, threads = opened()
    for _ in range(5):
        store = SqliteStore(tmp_path / "atlas.db")
        await store.apply([])
        await _names(store)
        await store.close()
        with pytest.raises(StoreUnavailable):
            SqliteStore(tmp_path / "rubbish.db")
    deadline = time.monotonic() + 20
    while opened()[0] > files or opened()[1] - threads:
        assert time.monotonic() < deadline, (files, threads, opened())
        await asyncio.sleep(0.05)


async def test_another_process_s_commit_is_noticed(tmp_path: Path) -> None:
    mine, other = SqliteStore(tmp_path / "atlas.db"), SqliteStore(tmp_path / "atlas.db")
    number = await mine.changed(0, 0.0)
    waiting = asyncio.ensure_future(mine.changed(number, 60.0))
    await other.apply([_run("r1")])
    assert await asyncio.wait_for(waiting, 20.0) > number
    await mine.close()
    await other.close()
