"""A worker in this process: what stops it, and what stands. The store is real; the executors are the test's."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from sqlmodel import Session, select

from orchestrator.brokers.memory import MemoryBroker
from orchestrator.dispatch import Dispatch
from orchestrator.executors.task import as_result
from orchestrator.waking import Waking
from orchestrator.worker import Claims, Worker
from state.commands import Claimed, ClaimedMany, ClaimNext, Command, Complete, NewTodo, Outcome, Release, SubmitRun
from state.errors import StoreUnavailable
from state.limits import POLL_SECONDS
from state.ports import Failure, Reporter, Result, Worked
from state.records import QUEUE, Evidence, Output, new_id
from state.room import Room
from state.sqlite import SqliteStore
from state.tables import Outbox, Todo

PATIENCE = 30.0


def done(*outputs: Output) -> Worked:
    evidence = Evidence(
        subject="s", item="{}", item_hash="h", passed=True, command="true", exit_code=0, output_tail="", digest="d",
        verifier="test", seconds=0.0,
    )  # fmt: skip
    return Worked([evidence], list(outputs))


OUTPUT = Output("a", "file:///a", "file:///staged/a", "sha256:x", 1, False, None)


class Does:
    """An executor that does what it is given."""

    def __init__(self, work: Callable[[Claimed], Awaitable[Result]]) -> None:
        self._work = work
        self.started = asyncio.Event()

    async def execute(self, claim: Claimed, report: Reporter) -> Result:
        self.started.set()
        return await self._work(claim)


class Gate(Dispatch):
    """Lets commands of one kind through when it is opened; `reached` when the first of them came."""

    def __init__(self, store: SqliteStore, broker: MemoryBroker, held: type[Command] | None = None) -> None:
        super().__init__(store, broker)
        self._held = held
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        self.count = Counter[type[Command]]()

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        self.count.update(type(command) for command in commands)
        outcomes_first = self._held is ClaimNext and any(isinstance(command, ClaimNext) for command in commands)
        outcomes = await super().apply(commands) if outcomes_first else []
        if self._held and any(isinstance(command, self._held) for command in commands):
            self.reached.set()
            await self.open.wait()
        return outcomes if outcomes_first else await super().apply(commands)


class Rig:
    def __init__(
        self, path: Path, executor: Does, held: type[Command] | None = None, room: Room | None = None,
        kind: type[Gate] = Gate, far: MemoryBroker | None = None,
    ) -> None:  # fmt: skip
        self.store, broker = SqliteStore(path), MemoryBroker()
        self.dispatch = kind(self.store, broker, held)
        self.published: list[str] = []
        self.publishing = asyncio.Event()
        self.publish_takes = 0.0
        claims = Claims(boot="boot", placement=QUEUE, slots=5, room=room)
        self.worker = Worker(self.dispatch, Waking(broker, far), {"task": executor}, claims, self._publish)

    async def submit(self, *todos: NewTodo) -> None:
        """A run of these, or of one TODO, then the worker: its first look finds it."""
        todo = NewTodo(id=new_id(), key="t", title="t", kind="task", document="{}")
        run = SubmitRun(new_id(), "r", None, QUEUE, 9, "person", "test", "{}", "{}", "h", todos or [todo])
        await self.dispatch.one(run)
        self.running = asyncio.create_task(self.worker.run())

    async def end(self) -> str:
        """The TODO's state once the worker has ended."""
        await asyncio.wait_for(self.running, PATIENCE)
        states = await self.store.read(lambda session: [todo.state for todo in session.exec(select(Todo))])
        waking = await self.store.read(lambda session: len(session.exec(select(Outbox)).all()))
        assert waking == (states == ["ready"]), "a claimed TODO has nothing left to deliver, a ready one has"
        await self.store.close()
        return states[0]

    async def _publish(self, claim: Claimed) -> None:
        self.publishing.set()
        await asyncio.sleep(self.publish_takes)
        self.published.append(claim.key)


async def test_outputs_are_published_after_they_are_settled(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "a.db", Does(lambda claim: asyncio.sleep(0, done(OUTPUT))))
    await rig.submit()
    await asyncio.wait_for(rig.publishing.wait(), PATIENCE)
    await rig.worker.drain(PATIENCE)
    assert await rig.end() == "completed"
    assert rig.published == ["t"]


async def test_what_is_in_progress_asks_for_no_more_than_there_is(tmp_path: Path) -> None:
    """Six that ask for a core, two of which there are, and one that asks for nothing."""
    at_work: set[str] = set()
    together: list[int] = []

    async def work(claim: Claimed) -> Result:
        at_work.add(claim.key)
        together.append(len(at_work - {"free"}))
        await asyncio.sleep(0.02)
        at_work.remove(claim.key)
        return done()

    rig = Rig(tmp_path / "a.db", Does(work), room=Room(2, 1 << 30))
    asks = [NewTodo(new_id(), f"t{n}", "t", "task", "{}", cpus=1.0, memory=1 << 29) for n in range(6)]
    await rig.submit(*asks, NewTodo(new_id(), "free", "t", "task", "{}"))

    def ended(session: Session) -> int:
        return len(session.exec(select(Todo).where(Todo.state == "completed")).all())

    async with asyncio.timeout(PATIENCE):
        while await rig.store.read(ended) < 7:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await rig.worker.drain(PATIENCE)
    assert await rig.end() == "completed"
    assert max(together) == 2


async def test_for_a_place_that_is_free_already_nobody_looks_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "a.db", Does(lambda claim: asyncio.sleep(0, done())), held=Complete, far=MemoryBroker())
    await rig.submit()
    await asyncio.wait_for(rig.dispatch.reached.wait(), PATIENCE)
    await asyncio.sleep(0.1)
    before, began = rig.dispatch.count[ClaimNext], time.monotonic()
    rig.dispatch.open.set()
    async with asyncio.timeout(PATIENCE):
        while rig.worker.busy:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    polls = 1 if time.monotonic() - began > POLL_SECONDS / 2 else 0
    assert 2 <= before <= rig.dispatch.count[ClaimNext] <= before + polls, "looked for when only the settling was left"
    await rig.worker.drain(PATIENCE)
    assert await rig.end() == "completed"


async def test_drained_work_is_given_back(tmp_path: Path) -> None:
    executor = Does(lambda claim: asyncio.sleep(3600, done()))
    rig = Rig(tmp_path / "a.db", executor)
    await rig.submit()
    await asyncio.wait_for(executor.started.wait(), PATIENCE)
    await rig.worker.drain(0.0)
    assert await rig.end() == "ready"


async def test_work_that_takes_a_cancellation_for_its_own_is_cancelled_again(tmp_path: Path) -> None:
    async def work(claim: Claimed) -> Result:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()
        return done()

    executor = Does(work)
    rig = Rig(tmp_path / "a.db", executor)
    await rig.submit()
    await asyncio.wait_for(executor.started.wait(), PATIENCE)
    await rig.worker.drain(0.0)
    assert await rig.end() == "ready"


async def test_what_was_lost_may_come_back_before_its_old_work_has_ended(tmp_path: Path) -> None:
    over, again = asyncio.Event(), asyncio.Event()

    async def work(claim: Claimed) -> Result:
        if claim.fence > 1:
            again.set()
            await asyncio.Event().wait()
        try:
            await asyncio.Event().wait()
        finally:  # what it had begun takes its time
            await over.wait()
        return done()

    executor = Does(work)
    rig = Rig(tmp_path / "a.db", executor)
    await rig.submit()
    await asyncio.wait_for(executor.started.wait(), PATIENCE)
    (todo,) = await rig.store.read(lambda session: [todo.id for todo in session.exec(select(Todo))])
    await rig.dispatch.one(Release(todo, 1, "lease_lost", "another"))
    await asyncio.wait_for(again.wait(), PATIENCE)
    assert rig.worker.busy == 2
    over.set()
    async with asyncio.timeout(PATIENCE):
        while rig.worker.busy == 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not rig.running.done()
    await rig.worker.drain(0.0)
    assert await rig.end() == "ready", "the second is known, and given back"


async def test_a_claim_that_arrives_during_a_drain_is_given_back(tmp_path: Path) -> None:
    executor = Does(lambda claim: asyncio.sleep(3600, done()))
    rig = Rig(tmp_path / "a.db", executor, held=ClaimNext)
    await rig.submit()
    await asyncio.wait_for(rig.dispatch.reached.wait(), PATIENCE)
    await rig.worker.drain(0.0)
    rig.dispatch.open.set()
    assert await rig.end() == "ready"


async def test_what_is_being_settled_stands(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "a.db", Does(lambda claim: asyncio.sleep(0, done(OUTPUT))), held=Complete)
    await rig.submit()
    await asyncio.wait_for(rig.dispatch.reached.wait(), PATIENCE)
    draining = asyncio.create_task(rig.worker.drain(0.0))
    rig.worker.lease_lost()
    rig.dispatch.open.set()
    await asyncio.wait_for(draining, PATIENCE)
    assert await rig.end() == "completed"
    assert rig.published == [], "that is left to whoever goes on"


async def test_what_must_be_done_again_when_it_is_to_stop_is_given_back(tmp_path: Path) -> None:
    """Its settlement was under way: it could have stood, but the run's head has moved."""

    async def again() -> Result:
        raise AssertionError("it was told to stop")

    async def work(claim: Claimed) -> Result:
        result = done()
        result.head, result.again = ("elsewhere", "commit"), again
        return result

    rig = Rig(tmp_path / "a.db", Does(work), held=Complete)
    await rig.submit()
    await asyncio.wait_for(rig.dispatch.reached.wait(), PATIENCE)
    draining = asyncio.create_task(rig.worker.drain(0.0))
    rig.worker.lease_lost()
    rig.dispatch.open.set()
    await asyncio.wait_for(draining, PATIENCE)
    assert await rig.end() == "ready"


@pytest.mark.parametrize("outputs", [[], [OUTPUT]])
async def test_a_settlement_that_nothing_can_follow_needs_no_place(tmp_path: Path, outputs: list[Output]) -> None:
    """Five places, six TODOs: the sixth is taken while the others are being settled, unless they have to be published
    afterwards."""
    begun: list[str] = []
    sixth = asyncio.Event()

    async def work(claim: Claimed) -> Result:
        begun.append(claim.key)
        if len(begun) == 6:
            sixth.set()
        return done(*outputs)

    rig = Rig(tmp_path / "a.db", Does(work), Complete)
    await rig.submit(*(NewTodo(id=new_id(), key=f"t{n}", title="t", kind="task", document="{}") for n in range(6)))
    await asyncio.wait_for(rig.dispatch.reached.wait(), PATIENCE)
    if outputs:
        with suppress(TimeoutError):
            await asyncio.wait_for(sixth.wait(), 2 * POLL_SECONDS)
        assert len(begun) == 5
    else:
        await asyncio.wait_for(sixth.wait(), PATIENCE)
    rig.dispatch.open.set()
    await asyncio.wait_for(sixth.wait(), PATIENCE)
    await rig.worker.drain(PATIENCE)
    assert await rig.end() == "completed"


async def test_a_drain_does_not_wait_for_a_publication(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "a.db", Does(lambda claim: asyncio.sleep(0, done(OUTPUT))))
    rig.publish_takes = 3600.0
    await rig.submit()
    await asyncio.wait_for(rig.publishing.wait(), PATIENCE)
    await rig.worker.drain(0.0)
    assert await rig.end() == "completed"
    assert rig.published == []


async def test_a_helper_that_breaks_begins_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Breaks(Waking):
        listened = 0

        async def listen(self) -> None:
            self.listened += 1
            if self.listened == 1:
                raise ZeroDivisionError
            await super().listen()

    rig = Rig(tmp_path / "a.db", Does(lambda claim: asyncio.sleep(0, done())))
    waking = Breaks(MemoryBroker())
    rig.worker = Worker(
        rig.dispatch, waking, {"task": Does(lambda claim: asyncio.sleep(0, done()))},
        Claims(boot="boot", placement=QUEUE, slots=5),
    )  # fmt: skip
    await rig.submit()
    async with asyncio.timeout(PATIENCE):
        while waking.listened < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await rig.worker.drain(PATIENCE)
    assert await rig.end() == "completed"
    assert "begins again" in caplog.text


async def test_a_broken_executor_fails_its_todo(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def breaks(claim: Claimed) -> Result:
        raise ValueError("no such thing")

    executor = Does(breaks)
    rig = Rig(tmp_path / "a.db", executor)
    await rig.submit()
    await asyncio.wait_for(executor.started.wait(), PATIENCE)
    await rig.worker.drain(PATIENCE)
    assert await rig.end() == "failed"
    assert "no such thing" in caplog.text


@pytest.mark.parametrize("result", [done(OUTPUT), Failure("exit", "1", outputs=[OUTPUT])])
async def test_publishing_is_not_taken_for_work_that_others_have_now(tmp_path: Path, result: Result) -> None:
    """The TODO has ended, so it has no owner: what is copied for it is nobody else's all the same."""
    rig = Rig(tmp_path / "a.db", Does(lambda claim: asyncio.sleep(0, result)))
    rig.publish_takes = 2.5 * POLL_SECONDS
    await rig.submit()
    await asyncio.wait_for(rig.publishing.wait(), PATIENCE)
    await rig.worker.drain(PATIENCE)
    await rig.end()
    assert rig.published == ["t"]


class AwayOnce:
    """An executor that reads while the database is away, and after that not any more."""

    def __init__(self) -> None:
        self.attempts: list[int] = []

    async def work(self, claim: Claimed) -> Result:
        self.attempts.append(claim.attempt)
        if len(self.attempts) == 1:
            return as_result(StoreUnavailable("the server restarts"))
        return done()


@pytest.mark.parametrize("where", ["as a result", "raised"])
async def test_a_database_that_is_away_says_nothing_about_the_todo(tmp_path: Path, where: str) -> None:
    away = AwayOnce()

    async def work(claim: Claimed) -> Result:
        if where == "raised" and not away.attempts:
            away.attempts.append(claim.attempt)
            raise StoreUnavailable("the server restarts")
        return await away.work(claim)

    rig = Rig(tmp_path / "a.db", Does(work))
    await rig.submit()
    async with asyncio.timeout(PATIENCE):
        while len(away.attempts) < 2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    await rig.worker.drain(PATIENCE)
    assert await rig.end() == "completed"
    assert away.attempts == [0, 0], "nothing is counted against it"


class Silent(Gate):
    """The first claim is committed, and the database breaks off before it says so."""

    silent = True

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        outcomes = await super().apply(commands)
        if self.silent and any(isinstance(outcome, ClaimedMany) and outcome.claims for outcome in outcomes):
            self.silent = False
            raise StoreUnavailable("it is not known whether it was committed")
        return outcomes


async def test_a_claim_that_nobody_has_heard_of_is_given_back(tmp_path: Path) -> None:
    """Its owner lives, so that nobody else would take it."""
    executor = Does(lambda claim: asyncio.sleep(0, done()))
    rig = Rig(tmp_path / "a.db", executor, kind=Silent)
    await rig.submit()
    await asyncio.wait_for(executor.started.wait(), PATIENCE)
    await rig.worker.drain(PATIENCE)
    assert await rig.end() == "completed"
