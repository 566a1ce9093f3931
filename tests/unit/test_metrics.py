"""What a worker counts: one claim, one outcome. The store and the worker are real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlmodel import Session

from orchestrator.brokers.memory import MemoryBroker
from orchestrator.dispatch import Dispatch
from orchestrator.measured_store import MeasuredStore
from orchestrator.metering import settled_as
from orchestrator.metrics import ProcessMetrics
from orchestrator.waking import Waking
from orchestrator.worker import Claims, Worker
from state.commands import Cancel, Claimed, Command, Done, NewTodo, Outcome, Say, SubmitRun
from state.errors import StoreUnavailable
from state.ports import Asked, Blockage, Deferral, Failure, Reporter, Result
from state.records import QUEUE, new_id
from state.sqlite import SqliteStore
from state.tables import Todo
from tests.unit.test_worker import OUTPUT, PATIENCE, done

T = TypeVar("T")
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: bytes) -> Samples:
    """(name, labels) -> value"""
    families = text_string_to_metric_families(text.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def outcomes(metrics: ProcessMetrics) -> dict[str, float]:
    """Of tasks."""
    found = samples(metrics.text())
    return {
        dict(labels)["outcome"]: value for (name, labels), value in found.items() if name == "atlas_todos_settled_total"
    }


class Plays:
    """An executor: what it answers is what the TODO's key says, first to last."""

    def __init__(self, parts: dict[str, list[Result | Exception]]) -> None:
        self._parts = parts
        self.waiting = asyncio.Event()

    async def execute(self, claim: Claimed, report: Reporter) -> Result:
        if not self._parts[claim.key]:
            self.waiting.set()
            await asyncio.sleep(3600)
        part = self._parts[claim.key].pop(0)
        if isinstance(part, Exception):
            raise part
        return part


class Rig:
    """A worker with its metrics, and what was asked of it."""

    def __init__(self, path: Path, **parts: Sequence[Result | Exception]) -> None:
        self.metrics = ProcessMetrics(slots=5)
        self.store = MeasuredStore(SqliteStore(path), self.metrics)
        self.broker = MemoryBroker()
        self.dispatch = Dispatch(self.store, self.broker)
        self.executor = Plays({key: list(part) for key, part in parts.items()})
        claims = Claims(boot="boot", placement=QUEUE, slots=5)
        self.worker = Worker(
            self.dispatch,
            Waking(self.broker, woken=self.metrics.woken),
            {"task": self.executor},
            claims,
            meter=self.metrics,
        )
        self.run = new_id()
        self._keys = list(parts)

    async def begin(self) -> None:
        document = '{"retries": 1, "backoff": 0.0}'
        todos = [NewTodo(id=new_id(), key=key, title="t", kind="task", document=document) for key in self._keys]
        await self.dispatch.one(SubmitRun(self.run, "r", None, QUEUE, 9, "person", "test", "{}", "{}", "h", todos))
        self.running = asyncio.create_task(self.worker.run())

    async def until(self, true: Callable[[Todo], bool]) -> None:
        """All TODOs are so, and the worker has let go of them."""
        async with asyncio.timeout(PATIENCE):
            number = 0
            while not all(map(true, await self.store.read(_todos))) or self.worker.busy:
                number = await self.store.changed(number, 0.05)

    async def end(self, grace: float = PATIENCE) -> None:
        await self.worker.drain(grace)
        await asyncio.wait_for(self.running, PATIENCE)
        await self.store.close()


def _todos(session: Session) -> list[Todo]:
    from sqlmodel import select

    return list(session.exec(select(Todo)))


def _at_rest(todo: Todo) -> bool:
    return todo.state not in ("pending", "ready", "in_progress", "verifying")


BROKEN = Failure("exit", "it broke")


async def test_what_became_of_each_claim_is_counted_once(tmp_path: Path) -> None:
    rig = Rig(
        tmp_path / "a.db",
        works=[done(OUTPUT)], again=[BROKEN, done()], fails=[BROKEN, BROKEN], breaks=[ValueError("no"), done()],
        blocks=[Blockage("image", "no such image")], waits=[Deferral("waiting"), done()],
        asks=[Asked("k", "q?", ["a"])],
    )  # fmt: skip
    await rig.begin()
    await rig.until(_at_rest)
    assert outcomes(rig.metrics) == {"completed": 4, "retried": 3, "failed": 1, "blocked": 1, "released": 2}
    found = samples(rig.metrics.text())
    task = (("kind", "task"),)
    assert found["atlas_todos_claimed_total", task] == 11
    assert found["atlas_attempt_seconds_count", task] == 11
    assert found["atlas_todos_in_progress", ()] == 0
    assert found["atlas_worker_slots", ()] == 5
    assert found["atlas_wake_ups_total", ()] >= 1
    assert found["atlas_store_commit_seconds_count", ()] >= 11
    assert 0 < found["atlas_store_commit_seconds_sum", ()] < PATIENCE
    assert found["atlas_store_commit_failures_total", ()] == 0
    await rig.end()


async def test_what_is_in_progress_is_shown_and_what_is_given_back_is_released(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "a.db", waits=[])
    await rig.begin()
    await asyncio.wait_for(rig.executor.waiting.wait(), PATIENCE)
    assert samples(rig.metrics.text())["atlas_todos_in_progress", ()] == 1
    assert outcomes(rig.metrics) == {}
    await rig.end(grace=0.0)
    found = outcomes(rig.metrics)
    assert set(found) == {"released"}
    assert found["released"] in (1, 2), "twice, when another claim was on its way"
    assert samples(rig.metrics.text())["atlas_todos_in_progress", ()] == 0


async def test_a_cancelled_todo_counts_as_refused(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "a.db", waits=[])
    await rig.begin()
    await asyncio.wait_for(rig.executor.waiting.wait(), PATIENCE)
    await rig.dispatch.one(Cancel(rig.run, "ada"))
    await rig.until(_at_rest)
    assert outcomes(rig.metrics) == {"refused": 1}
    await rig.end()


async def test_a_result_that_the_database_will_not_have_counts_as_refused(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "a.db", works=[done(OUTPUT, OUTPUT), done()])
    await rig.begin()
    await rig.until(_at_rest)
    assert outcomes(rig.metrics) == {"refused": 1, "completed": 1}
    await rig.end()


async def test_work_that_is_merged_again_counts_once(tmp_path: Path) -> None:
    """The head had moved: that is not the end of it."""
    late = done()

    async def again() -> Result:
        return done()

    late.head, late.again = ("not the head", "commit"), again
    rig = Rig(tmp_path / "a.db", works=[late])
    await rig.begin()
    await rig.until(_at_rest)
    assert outcomes(rig.metrics) == {"completed": 1}
    await rig.end()


class Away:
    """A store whose database does not answer."""

    def __init__(self) -> None:
        self.away = True

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        if self.away:
            raise StoreUnavailable("gone")
        return [Done() for _ in commands]

    async def read(self, query: Callable[[Session], T]) -> T:
        raise StoreUnavailable("gone")

    async def queued(self, after: int, timeout: float) -> int:
        raise AssertionError

    async def changed(self, after: int, timeout: float) -> int:
        return after

    async def close(self) -> None:
        return


async def test_a_database_that_does_not_answer_is_noticed() -> None:
    metrics, inner, now = ProcessMetrics(slots=1), Away(), [100.0]
    store = MeasuredStore(inner, metrics, lambda: now[0])
    assert store.silent == 0
    now[0] = 107.0
    with pytest.raises(StoreUnavailable):
        await store.apply([Cancel("r", "ada")])
    with pytest.raises(StoreUnavailable):
        await store.read(lambda session: None)
    found = samples(metrics.text())
    assert (store.silent, found["atlas_store_commit_failures_total", ()]) == (7.0, 1)
    assert found["atlas_store_commit_seconds_count", ()] == 0
    inner.away = False
    await store.apply([Cancel("r", "ada")])
    assert store.silent == 0
    assert samples(metrics.text())["atlas_store_commit_seconds_count", ()] == 1


def test_numbers_of_the_process_are_asked_for_at_each_scrape() -> None:
    metrics, ages, up = ProcessMetrics(slots=3), iter((1.5, 2.5)), [True]
    metrics.lease_age(lambda: next(ages))
    metrics.broker_connected(lambda: up[0])
    first = samples(metrics.text())
    up[0] = False
    second = samples(metrics.text())
    assert (first["atlas_lease_age_seconds", ()], second["atlas_lease_age_seconds", ()]) == (1.5, 2.5)
    assert (first["atlas_broker_connected", ()], second["atlas_broker_connected", ()]) == (1.0, 0.0)


def test_two_workers_of_one_process_count_apart() -> None:
    """Nothing is global: a second one could not even be made otherwise."""
    one, other = ProcessMetrics(slots=1), ProcessMetrics(slots=2)
    one.woken()
    name: Any = ("atlas_wake_ups_total", ())
    assert (samples(one.text())[name], samples(other.text())[name]) == (1, 0)


def test_a_command_that_lets_go_of_nothing_has_no_outcome() -> None:
    with pytest.raises(ValueError, match="Say"):
        settled_as(Say("t", 1, "todo.log", "{}"), Done())


def test_no_module_of_it_loads_the_library_before_it_is_used() -> None:
    """`atlas` starts in a third of a second."""
    import subprocess
    import sys

    program = (
        "import sys, orchestrator.metrics, orchestrator.fleet_metrics, orchestrator.health, orchestrator.worker;"
        "sys.exit(any(name in sys.modules for name in ('prometheus_client', 'starlette', 'uvicorn')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
