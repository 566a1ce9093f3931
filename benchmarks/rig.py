"""The product without a command line: a store on SQLite, the service, a worker with a no-op executor, and its sweeper
and heartbeat, put together as `orchestrator.cli.compose` does."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import text
from sqlmodel import Session

from mcp_servers.storage.artifacts import Artifacts
from mcp_servers.storage.s3_calls import S3Settings
from mcp_servers.storage.stores import ObjectStores
from orchestrator.brokers.memory import MemoryBroker
from orchestrator.dispatch import Dispatch
from orchestrator.heartbeat import Heartbeat
from orchestrator.plan.document import Plan
from orchestrator.run_spec import PinnedRepository
from orchestrator.service import Service
from orchestrator.sweeper import Sweeper
from orchestrator.waking import Waking
from orchestrator.worker import Claims, Worker
from state.commands import Claimed, Command, Complete, Done, Outcome
from state.liveness import FileCensus, FileLiveness
from state.ports import Reporter, Result, Worked
from state.records import QUEUE, Evidence
from state.sqlite import SqliteStore

NOTHING = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The digest of no output."""


class NoOp:
    """`state.ports.Executor` that does nothing, with evidence; notes when each run was first started."""

    def __init__(self) -> None:
        self.started: dict[str, float] = {}
        self.run_of: dict[str, str] = {}

    async def execute(self, claim: Claimed, report: Reporter) -> Result:
        self.started.setdefault(claim.run, time.perf_counter())
        self.run_of[claim.todo] = claim.run
        item = '{"run":["true"]}'
        evidence = Evidence(
            subject=NOTHING, item=item, item_hash=NOTHING[7:], passed=True, command="true", exit_code=0, output_tail="",
            digest=NOTHING, verifier="benchmark", seconds=0.0,
        )  # fmt: skip
        return Worked([evidence])


class Witness(Dispatch):
    """The product's dispatch; counts TODOs whose completion is durable, and tells who waits for them."""

    def __init__(self, store: SqliteStore, broker: MemoryBroker, executor: NoOp) -> None:
        super().__init__(store, broker)
        self._run_of = executor.run_of
        self._completed_of: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, tuple[int, asyncio.Future[None]]] = {}

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        """As the product's."""
        outcomes = await super().apply(commands)
        for command, outcome in zip(commands, outcomes, strict=True):
            if isinstance(command, Complete) and isinstance(outcome, Done):
                self._count(self._run_of[command.todo])
        return outcomes

    def _count(self, run: str) -> None:
        self._completed_of[run] += 1
        if run in self._waiting and self._completed_of[run] >= self._waiting[run][0]:
            self._waiting.pop(run)[1].set_result(None)

    async def completed(self, run: str, todos: int) -> None:
        """Wait until so many TODOs of the run have completed."""
        if self._completed_of[run] < todos:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[run] = (todos, future)
            await future


class _Nothing:
    """`orchestrator.heartbeat.Held` of a worker that starts no processes."""

    def pulse(self) -> None:
        return

    def kill_all(self) -> None:
        return


@dataclass(slots=True)
class Rig:
    """A house and a worker in it."""

    store: SqliteStore
    dispatch: Witness
    service: Service
    executor: NoOp
    submitted: dict[str, float] = field(default_factory=dict[str, float])

    async def submit(self, plan: Plan, placement: str = QUEUE) -> str:
        """Through the service, as every face does; notes when it was asked for."""
        asked = time.perf_counter()
        run = (await self.service.submit(plan, None, placement=placement)).run
        self.submitted[run] = asked
        return run

    def start_latencies(self) -> list[float]:
        """Milliseconds from asking to submit until the executor started."""
        return [1000 * (self.executor.started[run] - asked) for run, asked in self.submitted.items()]

    async def check(self, todos: int) -> None:
        """Everything that was counted is in the database, with evidence."""

        def counts(session: Session) -> tuple[int, int]:
            connection = session.connection()
            done = connection.execute(text("SELECT count(*) FROM todo WHERE state = 'completed'")).scalar_one()
            shown = connection.execute(text("SELECT count(DISTINCT todo_id) FROM evidence WHERE passed")).scalar_one()
            return int(done), int(shown)

        found = await self.store.read(counts)
        assert found == (todos, todos), f"(completed, with evidence) is {found}, not {todos}"


@asynccontextmanager
async def rig(place: Path, slots: int) -> AsyncGenerator[Rig]:
    """A database in `place` and a worker on its queue with so many slots."""
    store = SqliteStore(place / "atlas.db")
    stores = ObjectStores(S3Settings(), scratch=place)
    broker = MemoryBroker()
    executor = NoOp()
    dispatch = Witness(store, broker, executor)

    async def pin(repo: str, base: str | None, directory: Path | None) -> tuple[PinnedRepository, str]:
        raise NotImplementedError(repo)

    artifacts = Artifacts(stores, (place / "artifacts").as_uri() + "/", scratch=place)
    service = Service(dispatch, artifacts, pin)
    liveness = FileLiveness(place / "workers")
    worker = Worker(
        dispatch, Waking(broker), {"task": executor}, Claims(boot=liveness.boot, placement=QUEUE, slots=slots)
    )
    heartbeat = Heartbeat(liveness, _Nothing(), worker.lease_lost)
    sweeping = asyncio.create_task(Sweeper(dispatch, FileCensus(place / "workers"), liveness.boot).run())
    working = asyncio.create_task(worker.run())
    try:
        yield Rig(store, dispatch, service, executor)
    finally:
        await worker.drain(5.0)
        await working
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        await heartbeat.close()
        liveness.close()
        await broker.close()
        await stores.close()
        await store.close()
