"""Results that come too late, by the dozen: workers are frozen with results in their hands, others do the work again,
and what the thawed say then changes nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.command_line import Atlas, Running, wait_until
from tests.acceptance.effects import Effects
from tests.chaos.fleet.aftermath import Row, query

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

SLOTS = 2
PATIENCE = 90.0
TABLES = ("run", "todo", "attempt", "evidence", "event", "artifact", "outbox", "message", "budget")
REFUSED = "its result was refused"
Record = Callable[[str, object], None]


def _stopped(process: int) -> bool:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _rows(database: str) -> dict[str, list[Row]]:
    return {table: query(database, f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}  # noqa: S608 - ours


def _up(atlas: Atlas, slots: int, failpoint: str = "") -> Running:
    worker = atlas.start("worker", "--concurrency", str(slots), ATLAS_FAILPOINTS=failpoint)
    wait_until(lambda: "at a time" in worker.err, f"it is up: {worker.err}", PATIENCE)
    return worker


def _late(atlas: Atlas, effects: Effects, number: int, workers: int) -> int:
    """How many results came too late in this round: one of each worker at least, which stands still when it has its
    first. Nothing of what is in the database has changed by them."""
    database = atlas.variables["ATLAS_DATABASE_URL"]
    frozen = [_up(atlas, SLOTS, "worker.before_settle=stop@1") for _ in range(workers)]
    names = [f"{number}-{each}" for each in range(workers * SLOTS)]
    todos = [effects.todo(name, [], 0.5) for name in names]
    atlas("run", atlas.plan(todos, f"p{number}", concurrency=len(todos)), "--detach", code=0)
    wait_until(lambda: all(_stopped(worker.pid) for worker in frozen), "all of them stand still", PATIENCE)
    again = _up(atlas, len(todos))
    atlas("watch", "last", code=0)
    again.send(signal.SIGTERM)
    assert again.ended().code == 0, again.err
    before = _rows(database)

    for worker in frozen:
        worker.send(signal.SIGCONT)
    for worker in frozen:
        wait_until(lambda: "the lease ran out" in worker.err, f"it notices: {worker.err}", PATIENCE)  # noqa: B023
        worker.send(signal.SIGTERM)
        assert worker.ended().code == 0, worker.err
    assert _rows(database) == before
    starts = effects.starts()
    assert all(starts[name] == 2 for name in names), "each was carried out again"
    late = [worker.err.count(REFUSED) for worker in frozen]
    assert all(late)
    return sum(late)


@pytest.fixture
def fleet(atlas: Atlas, postgres_database: str, rabbitmq_alone: str) -> Atlas:
    """An installation on a database and a broker of its own."""
    atlas.variables |= {"ATLAS_DATABASE_URL": postgres_database, "ATLAS_BROKER_URL": rabbitmq_alone}
    return atlas


def test_late_results_change_nothing(fleet: Atlas, effects: Effects) -> None:
    assert _late(fleet, effects, 0, workers=3) >= 3


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_hundred_late_results_change_nothing(fleet: Atlas, effects: Effects, record_property: Record) -> None:
    begun = time.monotonic()
    late = sum(_late(fleet, effects, number, workers=10) for number in range(10))
    record_property("trial", f"late results: {late}, all refused, in {time.monotonic() - begun:.0f} s")
    assert late >= 100
