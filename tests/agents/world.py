"""Everything that carries out roles' TODOs, composed as the command line does, around a scripted server of models: a
real store, repository, host sandbox and worker. Only what the models say is made up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from sqlmodel import Session, col, select

from mcp_servers.container.host import HostSandbox
from mcp_servers.git.checkouts import Checkouts
from mcp_servers.storage.artifacts import Artifacts
from mcp_servers.storage.cache import Cache
from mcp_servers.storage.stores import ObjectStores
from orchestrator.agents.bounds import Bounds
from orchestrator.agents.models import Models
from orchestrator.brokers.memory import MemoryBroker
from orchestrator.cli.compose import pin_repository, private_directory
from orchestrator.dispatch import Dispatch
from orchestrator.enforcer import Amounts
from orchestrator.executors.agent import AgentExecutor
from orchestrator.executors.plan import PlanExecutor
from orchestrator.executors.report import ReportExecutor
from orchestrator.executors.roles import WithRoles
from orchestrator.executors.task import Surroundings, TaskExecutor
from orchestrator.heartbeat import Heartbeat
from orchestrator.logs import KnownSecrets
from orchestrator.plan.reading import read_plan
from orchestrator.sandboxes import Containers, Policy, Sandboxes
from orchestrator.secrets import Secrets
from orchestrator.service import Service
from orchestrator.sweeper import Sweeper
from orchestrator.waking import Waking
from orchestrator.worker import Claims, Worker
from roles.models.chain import Patience
from roles.models.connect import Provider
from state.agent_tables import BudgetRow, ModelCall, ToolCallRow
from state.errors import SandboxUnavailable
from state.liveness import FileCensus, FileLiveness
from state.ports import Executor
from state.records import QUEUE, RUN_ENDED, RUN_WAITING, TodoKind
from state.sqlite import SqliteStore
from state.tables import Attempt, Question, Run, Todo
from tests.agents.cast import Cast, Stage
from tests.integration.git_repositories import plain
from tests.services.model_server import ModelServer, model_server
from tests.services.model_wires import Wire

KEY = "sk-the-very-secret-key-0123456789"
PATIENCE = 60.0
SMALL = Bounds(
    caps=Amounts(turns=14, tool_calls=24, tokens=100_000, seconds=60.0),
    patience=Patience(tries=2, first=0.01, longest=0.1),
    backoff=0.01,
)
"""Caps that a liar meets within a second."""
FILES = {
    "answer.txt": "wrong\n",
    "check.sh": "grep -qx right answer.txt || { echo 'the answer is wrong'; exit 1; }\n",
    "README.md": "# The answer\n",
}
"""The usual repository: a file to put right, and the check that tells."""


def todo(**fields: object) -> dict[str, object]:
    """A TODO of Hephaestus: put the answer right; no attempt after the first, unless `fields` say otherwise."""
    return {
        "id": "fix", "role": "hephaestus", "prompt": "Make answer.txt say right.", "touches": ["answer.txt"],
        "verify": [{"run": "sh check.sh"}], "retries": {"max": 0, "backoff": 0.01}, **fields,
    }  # fmt: skip


@dataclass
class Hand:
    """A worker in this process, with a disk of its own."""

    worker: Worker
    liveness: FileLiveness
    _tasks: list[asyncio.Task[None]]
    _closing: AsyncExitStack

    async def leave(self) -> None:
        """Give back what is in progress, and end."""
        await self.worker.drain(0.0)
        await self._tasks[0]
        await self._close()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._closing.aclose()


@dataclass
class World:
    """See the module."""

    path: Path
    server: ModelServer
    wire: Wire
    stage: Stage
    store: SqliteStore
    artifacts: Artifacts
    stores: ObjectStores
    dispatch: Dispatch
    broker: MemoryBroker
    service: Service
    bounds: Bounds
    environ: dict[str, str]
    settings_models: bool = False
    connect: Callable[[], Awaitable[Containers]] | None = None
    run: str = ""
    hands: list[Hand] = field(default_factory=list[Hand])

    @property
    def repository(self) -> Path:
        """The person's."""
        return self.path / "repository"

    @property
    def model(self) -> str:
        """Who is asked."""
        return f"{self.wire}/some-model"

    @property
    def busy(self) -> int:
        """TODOs in progress."""
        return sum(hand.worker.busy for hand in self.hands)

    # --- acting ------------------------------------------------------------------------------------------------------

    async def submit(
        self, *todos: Mapping[str, object], approve: Literal["auto", "ask"] = "auto", **keys: object
    ) -> str:
        """A plan of these TODOs (none: give a `goal`), as a person who allows the host; the run."""
        models: dict[str, Sequence[str]] = {"default": [self.model]}
        document = {
            "atlas": 1, "name": "p", "sandbox": "host", "repo": str(self.repository), "models": models,
            "todos": list(todos), **keys,
        }  # fmt: skip
        plan = read_plan(None, json.dumps(document))
        self.run = (await self.service.submit(plan, self.path, approve=approve)).run
        return self.run

    async def hire(self, slots: int = 4) -> Hand:
        """Another worker, with a disk of its own."""
        number = len(self.hands)
        hand = await _hand(self, self.path / f"worker-{number}", slots)
        self.hands.append(hand)
        return hand

    async def at_rest(self, seconds: float = PATIENCE) -> str:
        """The run's state, once it ended or waits for somebody, and nobody works."""
        resting = RUN_ENDED | RUN_WAITING
        return await self.until(lambda run: run.state in resting and not self.busy, seconds)

    async def until(self, condition: Callable[[Run], bool], seconds: float = PATIENCE) -> str:
        """The run's state, once this is true of its row."""
        end, number = time.monotonic() + seconds, 0
        while not condition(run := await self.row()):
            assert time.monotonic() < end, f"not within {seconds:g} s: {run.state}, {await self.told()}"
            number = await self.store.changed(number, 0.05)
        return run.state

    async def play(self, *todos: Mapping[str, object], cast: Cast | None = None, **keys: Any) -> str:
        """Submit, work until nothing moves, and tell the run's state. `cast` is besides what is usual."""
        self.stage.cast.update(cast or {})
        await self.submit(*todos, **keys)
        if not self.hands:
            await self.hire()
        return await self.at_rest()

    async def answer(self, text: str) -> None:
        """The one question that is open, as me."""
        (question,) = [each for each in await self.questions() if each.state == "pending"]
        await self.service.answer(question.id, text, "me")

    # --- looking -----------------------------------------------------------------------------------------------------

    async def row(self) -> Run:
        """The run."""
        return await self.store.read(lambda session: session.get_one(Run, self.run))

    async def todo(self, key: str = "fix") -> Todo:
        """One of its TODOs."""
        query = select(Todo).where(Todo.run_id == self.run, Todo.key == key)
        return await self.store.read(lambda session: session.exec(query).one())

    async def told(self) -> dict[str, tuple[str, str | None, str | None]]:
        """State, reason and detail by key."""

        def read(session: Session) -> dict[str, tuple[str, str | None, str | None]]:
            rows = session.exec(select(Todo).where(Todo.run_id == self.run))
            return {row.key: (row.state, row.reason, row.detail) for row in rows}

        return await self.store.read(read)

    async def calls(self) -> list[ModelCall]:
        """The ledger."""
        query = select(ModelCall).where(ModelCall.run_id == self.run).order_by(col(ModelCall.id))
        return await self.store.read(lambda session: list(session.exec(query)))

    async def budget(self) -> BudgetRow:
        """The run's."""
        return await self.store.read(lambda session: session.get_one(BudgetRow, self.run))

    async def tools(self) -> list[ToolCallRow]:
        """Calls of tools, in order."""
        query = select(ToolCallRow).join(Todo, col(ToolCallRow.todo_id) == col(Todo.id)).where(Todo.run_id == self.run)
        order = (ToolCallRow.todo_id, ToolCallRow.attempt, ToolCallRow.talk, ToolCallRow.seq, ToolCallRow.number)
        return await self.store.read(lambda session: list(session.exec(query.order_by(*(col(each) for each in order)))))

    async def attempts(self) -> list[Attempt]:
        """Claims of the run's TODOs."""
        query = select(Attempt).join(Todo, col(Attempt.todo_id) == col(Todo.id)).where(Todo.run_id == self.run)
        return await self.store.read(lambda session: list(session.exec(query)))

    async def questions(self) -> list[Question]:
        """That were asked."""
        query = select(Question).where(Question.run_id == self.run)
        return await self.store.read(lambda session: list(session.exec(query)))

    def clone(self, hand: int = 0) -> Path:
        """The run's repository as a worker has it."""
        return next((self.path / f"worker-{hand}" / "repositories" / self.run).rglob("HEAD")).parent

    async def file(self, path: str, hand: int = 0) -> str | None:
        """A file at the run's head; None: it is not there."""
        row = await self.row()
        repository = self.clone(hand)
        oid = row.head or plain(self.repository, "rev-parse", "HEAD").strip()
        found = plain(repository, "ls-tree", "-r", "--name-only", oid, "--", path).strip()
        return plain(repository, "show", f"{oid}:{path}") if found else None


@asynccontextmanager
async def opened(
    path: Path, wire: Wire = "chat", *, cast: Cast | None = None, files: Mapping[str, str] = FILES,
    bounds: Bounds = SMALL, environ: Mapping[str, str] | None = None, settings_models: bool = False,
) -> AsyncGenerator[World]:  # fmt: skip
    """A world in an empty directory; the database is `path`/atlas.db. `settings_models`: the settings name the model,
    too."""
    make_repository(path / "repository", files)
    with model_server() as server:
        stage = Stage()
        stage.cast.update(cast or {})
        server.chosen = stage.answer
        world = make_world(path, server, wire, stage, bounds, {"THE_KEY": KEY, **(environ or {})})
        world.settings_models = settings_models
        try:
            yield world
        finally:
            for hand in world.hands:
                await hand._close()  # pyright: ignore[reportPrivateUsage]
            await world.broker.close()
            await world.stores.close()
            await world.store.close()
        refused = [asked.refused for asked in server.asked if asked.refused]
        assert not refused, f"requests that makers refuse: {refused}"


def make_repository(path: Path, files: Mapping[str, str] = FILES) -> None:
    """With one commit on main."""
    path.mkdir(parents=True)
    plain(path, "init", "--quiet", "--initial-branch=main")
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)
    plain(path, "add", "--all", "--force")
    plain(path, "commit", "--quiet", "-m", "begin")


def make_world(
    path: Path, server: ModelServer, wire: Wire, stage: Stage, bounds: Bounds, environ: dict[str, str]
) -> World:
    """Over the database and artifacts of `path`, which other processes may share."""
    scratch = private_directory(path / "scratch")
    store = SqliteStore(path / "atlas.db")
    stores = ObjectStores(scratch=scratch)
    artifacts = Artifacts(stores, f"file://{path}/artifacts/", scratch=scratch)
    broker = MemoryBroker()
    dispatch = Dispatch(store, broker)

    async def pin(repo: str, base: str | None, directory: Path | None) -> Any:
        return await pin_repository(artifacts, scratch, repo, base, directory)

    service = Service(dispatch, artifacts, pin)
    return World(path, server, wire, stage, store, artifacts, stores, dispatch, broker, service, bounds, environ)


def providers(url: str) -> dict[str, Provider]:
    """The server, once for each wire."""
    return {
        "anthropic": Provider(kind="anthropic", base_url=url, key_variable="THE_KEY"),
        "chat": Provider(kind="openai", base_url=f"{url}/v1", key_variable="THE_KEY"),
        "responses": Provider(kind="openai", base_url=f"{url}/v1", key_variable="THE_KEY", style="responses"),
    }


async def _hand(world: World, home: Path, slots: int) -> Hand:
    liveness = FileLiveness(world.path / "workers")
    known = KnownSecrets()
    sandboxes = Sandboxes(HostSandbox(scratch=private_directory(home / "tmp")), world.connect or _no_docker, Policy())
    around = Surroundings(
        store=world.store, stores=world.stores, artifacts=world.artifacts, cache=Cache(home / "cache", world.stores),
        checkouts=Checkouts(home / "git", world.artifacts), sandboxes=sandboxes,
        secrets=Secrets(frozenset(), world.environ, None), known_secrets=known, work=private_directory(home / "work"),
        boot=liveness.boot,
    )  # fmt: skip
    models = Models(world.environ, providers(world.server.url), [world.model] if world.settings_models else [])
    repositories = private_directory(home / "repositories")
    roles = WithRoles(around, world.dispatch, models, repositories, home)
    thinking = replace(roles._thinking(), bounds=world.bounds)  # pyright: ignore[reportPrivateUsage]
    executors: dict[TodoKind, Executor] = {
        "task": TaskExecutor(around, repositories), "agent": AgentExecutor(around, thinking),
        "plan": PlanExecutor(around, thinking), "report": ReportExecutor(around, thinking),
    }  # fmt: skip
    claims = Claims(boot=liveness.boot, placement=QUEUE, slots=slots)
    worker = Worker(world.dispatch, Waking(world.broker), executors, claims)
    heartbeat = Heartbeat(liveness, sandboxes, worker.lease_lost)
    worker.leased = heartbeat.fresh
    closing = AsyncExitStack()
    closing.callback(liveness.close)
    closing.push_async_callback(models.close)
    closing.push_async_callback(sandboxes.close)
    closing.push_async_callback(heartbeat.close)
    tasks = [
        asyncio.create_task(worker.run()),
        asyncio.create_task(Sweeper(world.dispatch, FileCensus(world.path / "workers"), liveness.boot).run()),
    ]
    return Hand(worker, liveness, tasks, closing)


async def _no_docker() -> NoReturn:
    raise SandboxUnavailable("there is no container engine in this test", "")
