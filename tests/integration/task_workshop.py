"""A worker in this process that carries out tasks on this host, over a store of either engine; all parts are real."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from mcp_servers.container.host import HostSandbox
from mcp_servers.git.checkouts import Checkouts
from mcp_servers.storage.artifacts import Artifacts
from mcp_servers.storage.cache import Cache
from mcp_servers.storage.stores import ObjectStores
from orchestrator.brokers.memory import MemoryBroker
from orchestrator.cli.compose import private_directory
from orchestrator.dispatch import Dispatch
from orchestrator.executors.task import Surroundings, TaskExecutor
from orchestrator.heartbeat import Heartbeat
from orchestrator.logs import KnownSecrets
from orchestrator.plan.spec import TaskSpec
from orchestrator.plan.task import read_task
from orchestrator.publishing import Publisher
from orchestrator.run_spec import PinnedRepository, RunSpec
from orchestrator.sandboxes import Containers, Policy, Sandboxes
from orchestrator.secrets import Secrets
from orchestrator.service import Service, Submission
from orchestrator.waking import Waking
from orchestrator.worker import Claims, Worker
from state.commands import NewTodo, SubmitRun
from state.errors import SandboxUnavailable
from state.liveness import FileLiveness
from state.ports import Store
from state.records import QUEUE, RUN_ENDED, RUN_WAITING, new_id
from state.tables import ArtifactRow, Run, Todo

PATIENCE = 60.0
SECRET = "the-secret-of-this-test"


@dataclass
class TaskWorkshop:
    """`remote` is where outputs go; `stdout_bytes` bounds what is taken of a command's standard output."""

    path: Path
    store: Store
    stores: ObjectStores
    dispatch: Dispatch
    service: Service
    publisher: Publisher
    stdout_bytes: int = 1 << 30
    publishes: bool = True
    allow_host: bool = False

    @property
    def remote(self) -> Path:
        return self.path / "remote"

    def url(self, name: str) -> str:
        """Of what goes to `remote`."""
        return f"file://{self.remote}/{name}"

    def published(self) -> dict[str, bytes]:
        """What people find there."""
        files = [path for path in self.remote.rglob("*") if path.is_file() and ".atlas" not in path.parts]
        return {str(path.relative_to(self.remote)): path.read_bytes() for path in files}

    def document(self, script: str, **keys: Any) -> dict[str, Any]:
        """A task that runs a shell script."""
        return {"schema": "atlas.task/1", "source": "test", "id": "1", "command": ["sh", "-c", script], **keys}

    async def submit(self, document: Mapping[str, Any]) -> Submission:
        """As a person, so that it may run on this host."""
        return await self.service.submit_task(
            read_task(None, json.dumps(document)), provenance="person", source="test"
        )  # fmt: skip

    async def submit_spec(self, spec: TaskSpec) -> str:
        """What only plans can say; the run."""
        run, todo = new_id(), NewTodo(new_id(), "task", "T", "task", spec.to_json(), timeout=spec.timeout)
        command = SubmitRun(run, "r", None, QUEUE, 1, "person", "test", RunSpec().to_json(), "{}", "h", [todo])
        await self.dispatch.one(command)
        return run

    async def rest(self, run: str) -> str:
        """The run's state once it has ended or waits, and the worker is gone."""
        end, number = time.monotonic() + PATIENCE, 0
        async with self._working():
            while (found := await self.run(run)).state not in RUN_ENDED | RUN_WAITING:
                assert time.monotonic() < end, f"not within {PATIENCE:g} s: {found.state}"
                number = await self.store.changed(number, 0.05)
        return (await self.run(run)).state

    async def run(self, run: str) -> Run:
        return await self.store.read(lambda session: session.get_one(Run, run))

    async def todo(self, run: str) -> Todo:
        """Its only one."""
        return await self.store.read(lambda session: session.exec(select(Todo).where(Todo.run_id == run)).one())

    async def manifest(self, run: str) -> dict[str, bool]:
        """Internal path to whether it is published, of everything that any attempt listed."""
        query = select(ArtifactRow).where(ArtifactRow.run_id == run).order_by(col(ArtifactRow.fence))
        rows = await self.store.read(lambda session: session.exec(query).all())
        return {row.internal: row.published_at is not None for row in rows}

    @asynccontextmanager
    async def _working(self) -> AsyncGenerator[None]:
        liveness = FileLiveness(self.path / "workers")
        home = self.path / liveness.boot
        sandboxes = Sandboxes(
            HostSandbox(scratch=private_directory(home / "tmp")), _no_docker, Policy(allow_host=self.allow_host)
        )
        around = Surroundings(
            store=self.store, stores=self.stores, artifacts=self.service_artifacts(), sandboxes=sandboxes,
            cache=Cache(home / "cache", self.stores), checkouts=Checkouts(home / "git", self.service_artifacts()),
            secrets=Secrets(frozenset(("THE_SECRET",)), {"THE_SECRET": SECRET}), known_secrets=KnownSecrets(),
            work=private_directory(home / "work"), boot=liveness.boot, stdout_bytes=self.stdout_bytes,
        )  # fmt: skip
        claims = Claims(boot=liveness.boot, placement=QUEUE, slots=2)
        broker = MemoryBroker()
        publish = self.publisher.of_todo if self.publishes else None
        worker = Worker(self.dispatch, Waking(broker), {"task": TaskExecutor(around)}, claims, publish)
        heartbeat = Heartbeat(liveness, sandboxes, worker.lease_lost)
        working = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            await worker.drain(PATIENCE)  # what is being published is published
            await working
            await heartbeat.close()
            await sandboxes.close()
            await broker.close()
            liveness.close()

    def service_artifacts(self) -> Artifacts:
        """Where logs are."""
        return Artifacts(self.stores, f"file://{self.path}/artifacts/", scratch=private_directory(self.path / "s"))


@asynccontextmanager
async def task_workshop(path: Path, store: Store) -> AsyncGenerator[TaskWorkshop]:
    """One in an empty directory; the store is the caller's to close."""
    async with AsyncExitStack() as stack:
        stores = ObjectStores(scratch=private_directory(path / "scratch"))
        stack.push_async_callback(stores.close)
        broker = MemoryBroker()
        stack.push_async_callback(broker.close)
        dispatch = Dispatch(store, broker)
        artifacts = Artifacts(stores, f"file://{path}/artifacts/", scratch=private_directory(path / "scratch"))
        service = Service(dispatch, artifacts, _no_repository)
        yield TaskWorkshop(path, store, stores, dispatch, service, Publisher(dispatch, stores))


async def _no_docker() -> Containers:
    raise SandboxUnavailable("there is no container engine in this test", "")


async def _no_repository(repo: str, base: str | None, directory: Path | None) -> tuple[PinnedRepository, str]:
    raise AssertionError(repo)
