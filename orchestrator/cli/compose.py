"""The composition root: settings in, the parts of this installation out. Heavy parts are imported when made."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import gc
import os
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.settings import Settings, load_settings
from state import tracing
from state.errors import InputError, SandboxUnavailable
from state.records import QUEUE

_FILES = 16_384
_PR_SET_DUMPABLE = 4
_BROKER_SECONDS = 2.0
_LOOK_SECONDS = 5.0
"""How long a command waits for the broker; without it everything is found by polling."""
_YOUNG = 10_000
"""New objects after which the garbage collector looks at them. A process that works makes many that live for a step;
with Python's 700 they are counted as old, and all that is old is looked at again and again."""

if TYPE_CHECKING:
    from mcp_servers.storage.artifacts import Artifacts
    from mcp_servers.storage.stores import ObjectStores
    from orchestrator.brokers.memory import MemoryBroker
    from orchestrator.brokers.rabbitmq import Rabbit
    from orchestrator.brokers.relay import Relay
    from orchestrator.cli.persistence import Kept
    from orchestrator.dispatch import Dispatch
    from orchestrator.heartbeat import Heartbeat
    from orchestrator.measured_store import CommitMeter
    from orchestrator.metering import WorkerMeter
    from orchestrator.publishing import Publisher
    from orchestrator.run_spec import PinnedRepository
    from orchestrator.sandboxes import Containers, Sandboxes
    from orchestrator.service import Service
    from orchestrator.sweeper import Sweeper
    from orchestrator.telling import Telling
    from orchestrator.waking import Waking
    from orchestrator.worker import Worker
    from state.ports import Census, Executor, Liveness, Store
    from state.records import TodoKind


@dataclass(frozen=True, slots=True)
class House:
    """What every command needs."""

    settings: Settings
    kept: Kept
    stores: ObjectStores
    artifacts: Artifacts
    broker: MemoryBroker
    rabbit: Rabbit | None
    relay: Relay | None
    dispatch: Dispatch
    service: Service
    telling: Telling

    @property
    def store(self) -> Store:
        """Of the database."""
        return self.dispatch.store

    def metered(self, meter: CommitMeter) -> House:
        """The same, for a worker whose commits are counted."""
        from orchestrator.dispatch import Dispatch
        from orchestrator.measured_store import MeasuredStore

        return replace(self, dispatch=Dispatch(MeasuredStore(self.store, meter), self.broker, self.relay))

    @property
    def census(self) -> Census:
        """Of the workers on this database."""
        return self.kept.census

    def waking(self, placement: str, woken: Callable[[], None] | None = None) -> Waking:
        """Of a worker for this placement: who works on a run of its own is woken by nobody else."""
        from orchestrator.waking import Waking

        if self.rabbit is None or self.relay is None or placement != QUEUE:
            return Waking(self.broker, woken=woken)
        from orchestrator.brokers.rabbit_broker import RabbitBroker

        return Waking(self.broker, RabbitBroker(self.rabbit), self.relay.offer, woken, self.store)

    async def look_round(self) -> bool:
        """Hold the runs whose own process is gone, and give back what dead workers own. Everybody who looks does it:
        there may be no worker that would. What can't be written now (a full disk, a process that was stopped while it
        wrote) can still be looked at: then not all was done."""
        from orchestrator.sweeper import abandoned, take_back
        from state.errors import StoreError

        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                if left := await abandoned(self.store, self.census):
                    await self.dispatch.apply(left)
                await take_back(self.dispatch, self.census, by="")
                return True
        return False


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a process that works needs besides."""

    liveness: Liveness
    sandboxes: Sandboxes
    executors: Mapping[TodoKind, Executor]
    publisher: Publisher
    sweeper: Sweeper

    def worker(
        self, house: House, *, placement: str, slots: int, run: str | None = None, meter: WorkerMeter | None = None
    ) -> Worker:
        """A worker in this workshop."""
        from orchestrator.cli.machine import room_here
        from orchestrator.worker import Claims, Worker

        labels = frozenset(house.settings.worker_labels)
        claims = Claims(
            boot=self.liveness.boot, placement=placement, slots=slots, run=run, labels=labels,
            room=room_here(house.settings), alone=run is not None,
        )  # fmt: skip
        waking = house.waking(placement, meter.woken if meter else None)
        worker = Worker(house.dispatch, waking, self.executors, claims, self.publisher.of_todo, meter)
        self.sweeper.in_time = worker.in_time
        return worker

    def heartbeat(self, worker: Worker) -> Heartbeat:
        """Starts beating."""
        from orchestrator.heartbeat import Heartbeat

        heartbeat = Heartbeat(self.liveness, self.sandboxes, worker.lease_lost)
        worker.leased = heartbeat.fresh
        return heartbeat


def settings() -> Settings:
    """This process's settings."""
    return load_settings(os.environ)


@asynccontextmanager
async def house() -> AsyncGenerator[House]:
    """Open the database and what hangs on it."""
    from mcp_servers.storage.artifacts import Artifacts
    from mcp_servers.storage.s3_calls import S3Settings
    from mcp_servers.storage.stores import ObjectStores
    from orchestrator.brokers.memory import MemoryBroker
    from orchestrator.cli.belongings import own_scratch
    from orchestrator.cli.persistence import opened
    from orchestrator.cli.traces import traced
    from orchestrator.dispatch import Dispatch
    from orchestrator.logs import KnownSecrets, configure
    from orchestrator.service import Service
    from orchestrator.telling import Telling

    found = settings()
    configure(found.log_level, found.log_format, KnownSecrets())
    stack = ExitStack()
    stack.enter_context(traced(os.environ))
    scratch = stack.enter_context(own_scratch(private_directory(found.home / "scratch")))
    kept = opened(found.database_url)
    store = kept.store
    stores = ObjectStores(S3Settings(endpoint=found.s3_endpoint, region=found.s3_region), scratch=scratch)
    artifacts = Artifacts(stores, found.store_url.rstrip("/") + "/", scratch=scratch)
    broker, rabbit, relay = MemoryBroker(), None, None
    if found.broker_url:
        from orchestrator.brokers.rabbit_broker import RabbitBroker
        from orchestrator.brokers.rabbitmq import Rabbit
        from orchestrator.brokers.relay import Relay

        rabbit = Rabbit(found.broker_url)
        relay = Relay(store, RabbitBroker(rabbit))
    dispatch = Dispatch(store, broker, relay)

    async def pin(repo: str, base: str | None, directory: Path | None) -> tuple[PinnedRepository, str]:
        return await pin_repository(artifacts, scratch, repo, base, directory)

    service, telling = Service(dispatch, artifacts, pin), Telling(store, artifacts)
    made = House(found, kept, stores, artifacts, broker, rabbit, relay, dispatch, service, telling)
    try:
        if rabbit:
            await rabbit.open(_BROKER_SECONDS)
        await made.look_round()
        yield made
    finally:
        await broker.close()
        if rabbit and relay:
            await relay.close()
            await rabbit.close()
        await stores.close()
        await store.close()
        stack.close()


@asynccontextmanager
async def workshop(house: House) -> AsyncGenerator[Workshop]:
    """Everything that carries out TODOs: being alive, sandboxes, cache, checkouts, sweeping."""
    from mcp_servers.container.host import HostSandbox
    from mcp_servers.git.checkouts import Checkouts
    from mcp_servers.storage.cache import Cache
    from orchestrator.agents.models import Models
    from orchestrator.cli.belongings import kept, marked
    from orchestrator.cli.orphans import Orphans, host_scratch
    from orchestrator.executors.roles import WithRoles
    from orchestrator.executors.task import Surroundings, TaskExecutor
    from orchestrator.logs import KnownSecrets, configure
    from orchestrator.publishing import Publisher
    from orchestrator.sandboxes import Policy, Sandboxes
    from orchestrator.secrets import Secrets
    from orchestrator.sweeper import Sweeper

    found, known = house.settings, KnownSecrets()
    configure(found.log_level, found.log_format, known)
    keep_environment_private()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    gc.freeze()
    files = more_files()
    liveness = house.kept.liveness()

    contained, marks = found.home / "containers", ExitStack()

    async def docker() -> Containers:
        sandbox = await connect_docker(found, liveness.boot)
        with contextlib.suppress(OSError):  # a full disk, say: what this worker leaves waits for who uses containers
            marks.enter_context(marked(contained / liveness.boot))
        return sandbox

    work = private_directory(found.home / "work")
    own = private_directory(work / liveness.boot)
    host = HostSandbox(scratch=(scratch := private_directory(host_scratch(liveness.boot))), files=files)
    policy = Policy(found.sandbox, found.allow_host, found.docker_image, found.containers_only)
    sandboxes = Sandboxes(host, docker, policy)
    around = Surroundings(
        store=house.store, stores=house.stores, artifacts=house.artifacts,
        cache=(cache := Cache(found.home / "cache", house.stores)),
        checkouts=Checkouts(found.home / "git", house.artifacts), sandboxes=sandboxes,
        secrets=Secrets(frozenset(found.secrets_allow), os.environ, found.secrets_directory), known_secrets=known,
        work=own, boot=liveness.boot,
    )  # fmt: skip
    models = Models(os.environ, found.providers, found.models)
    repositories = private_directory(found.home / "repositories")
    executors: dict[TodoKind, Executor] = {"task": TaskExecutor(around, repositories)}
    executors |= WithRoles(around, house.dispatch, models, repositories, found.home).executors()
    publisher = Publisher(house.dispatch, house.stores)
    orphans = Orphans(
        work, found.home / "scratch", contained, liveness.boot, house.census, sandboxes, cache, found.cache_bytes
    )
    sweeper = Sweeper(house.dispatch, house.census, liveness.boot, (publisher.everything, orphans.remove))
    async with AsyncExitStack() as stack:
        stack.enter_context(kept(own))
        stack.enter_context(kept(scratch))  # who tidies up /tmp leaves alone what is locked
        stack.enter_context(marks)
        stack.callback(liveness.close)
        stack.push_async_callback(sandboxes.close)
        stack.push_async_callback(models.close)
        stack.push_async_callback(orphans.remove_own)
        yield Workshop(liveness, sandboxes, executors, publisher, sweeper)


async def connect_docker(found: Settings, boot: str) -> Containers:
    """The docker sandbox; `SandboxUnavailable` when no engine answers."""
    from mcp_servers.container.docker import DockerSandbox

    sandbox = DockerSandbox(boot=boot, home=str(found.home), network=found.docker_network or "bridge")
    engine = await sandbox.probe()
    if not engine.available:
        await sandbox.close()
        raise SandboxUnavailable(engine.detail, engine.hint)
    return sandbox


async def pin_repository(
    artifacts: Artifacts, scratch: Path, repo: str, base: str | None, directory: Path | None
) -> tuple[PinnedRepository, str]:
    """`orchestrator.service.Pin`: a relative path starts at the plan file's directory."""
    from mcp_servers.git.pinning import pin
    from orchestrator.run_spec import PinnedRepository

    source = repository_source(repo, directory)
    pinned = await pin(source, base, artifacts, scratch=scratch)
    warnings: list[str] = []
    if pinned.dirty:
        warnings.append(
            f"{pinned.dirty} uncommitted change(s) in {repo} are not part of this run; it is at {pinned.oid[:12]}"
        )
    if pinned.submodules:
        warnings.append(f"submodules are not checked out: {', '.join(pinned.submodules[:5])}")
    return PinnedRepository(source, pinned.base, pinned.oid, pinned.digest), "; ".join(warnings)


def repository_source(repo: str, directory: Path | None) -> str:
    """A URL as it is; a path from the plan file's directory."""
    if "://" in repo or "@" in repo.partition(":")[0]:
        return repo
    return str((directory or Path.cwd()) / Path(repo).expanduser())


def keep_environment_private() -> None:
    """Commands on this host run as this user: they must not read this process's environment, where secrets are."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


@functools.cache
def more_files() -> int:
    """As many connections and files may be open at a time as the system lets us, up to `_FILES`; how many it was
    before, which is what other programs expect."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return soft


def private_directory(path: Path) -> Path:
    """Made if need be, for this user only."""
    try:
        for each in (*reversed(path.parents), path):  # `parents=True` would leave those above to the umask
            if not each.exists():
                each.mkdir(exist_ok=True, mode=0o700)
        if not path.is_dir():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    except OSError as error:
        raise InputError(f"cannot make {path}: {error.strerror}", "Point ATLAS_HOME at a directory of yours.") from None
    return path


def callers_trace() -> str | None:
    """The trace that whoever runs this command is in, if they say so in the way that W3C gives; else there is none."""
    return tracing.valid(os.environ.get("TRACEPARENT"))


def whoami() -> str:
    """Who acts at this terminal, for the record."""
    import getpass

    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return f"uid {os.getuid()}@{socket.gethostname()}"
