"""Several processes on one SQLite file: fair among themselves, and unharmed by each other's deaths."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlmodel import Session, select

from state.sqlite import SqliteStore
from state.tables import Event, Run, Todo

ROOT = Path(__file__).resolve().parents[2]


def _writer(path: Path, name: str, seconds: float, failpoint: str = "") -> subprocess.Popen[str]:
    argv = [sys.executable, "-P", "-m", "tests.contract.store_writer", str(path), name, str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ATLAS_FAILPOINTS": failpoint}
    return subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def _check(session: Session) -> int:
    """Every run is whole: its TODO, its counters, its events. Returns how many there are."""
    runs = session.exec(select(Run)).all()
    todos = {row.run_id: row for row in session.exec(select(Todo)).all()}
    events: dict[str, list[int]] = {run.id: [] for run in runs}
    for run_id, seq in session.exec(select(Event.run_id, Event.seq)).all():
        events[run_id].append(seq)
    assert todos.keys() == {run.id for run in runs}
    for run in runs:
        state = todos[run.id].state
        assert getattr(run, f"n_{state}") == 1
        assert run.state == ("completed" if state == "completed" else "in_progress")
        assert sorted(events[run.id]) == list(range(1, run.last_event + 1))
    return len(runs)


async def test_three_writers_are_fair(tmp_path: Path) -> None:
    path = tmp_path / "atlas.db"
    await SqliteStore(path).close()
    writers = [_writer(path, f"w{n}", 4.0) for n in range(3)]
    told = [writer.communicate(timeout=60.0)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 3
    longest = [float(words[0]) for words in told]
    carried_out = [int(words[1]) for words in told]
    assert max(longest) < 2.5  # measured: 0.2
    assert min(carried_out) > 0.1 * max(carried_out)
    store = SqliteStore(path)
    assert await store.read(_check) == sum(carried_out)
    await store.close()


@pytest.mark.parametrize("place", ["store.before_commit", "store.after_commit"])
async def test_a_writer_that_is_killed_leaves_nothing_half_written(tmp_path: Path, place: str) -> None:
    path = tmp_path / "atlas.db"
    await SqliteStore(path).close()
    others = [_writer(path, f"w{n}", 3.0) for n in range(2)]
    for hit in (1, 5, 20):
        victim = _writer(path, f"victim{hit}", 60.0, f"{place}=kill@{hit}")
        victim.communicate(timeout=60.0)
        assert victim.returncode == -signal.SIGKILL
    told = [writer.communicate(timeout=60.0)[0].split() for writer in others]
    assert [writer.returncode for writer in others] == [0, 0]
    assert all(int(words[1]) > 0 for words in told)
    store = SqliteStore(path)
    whole = await store.read(_check)
    assert whole >= sum(int(words[1]) for words in told)
    await store.close()
