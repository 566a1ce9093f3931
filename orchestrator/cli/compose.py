"""The composition root: settings in, the parts of this installation out. Heavy parts are imported when made."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.settings import Settings, load_settings
from state.errors import InputError, NotAvailableYet, SandboxUnavailable

_PR_SET_DUMPABLE = 4
_YOUNG = 10_000
"""New objects after which the garbage collector looks at them. A process that works makes many that live for a step;
with Python's 700 they are counted as old, and all that is old is looked at again and again."""

if TYPE_CHECKING:
    from mcp_servers.storage.artifacts import Artifacts
    from mcp_servers.storage.stores import ObjectStores
    from orchestrator.brokers.memory import MemoryBroker
    from orchestrator.dispatch import Dispatch
    from orchestrator.heartbeat import Heartbeat
    from orchestrator.publishing import Publisher
    from orchestrator.run_spec import PinnedRepository
    from orchestrator.sandboxes import Containers, Sandboxes
    from orchestrator.service import Service
    from orchestrator.sweeper import Sweeper
    from orchestrator.telling import Telling
    from orchestrator.worker import Worker
    from state.liveness import FileLiveness
    from state.ports import Executor
    from state.records import TodoKind
    from state.sqlite import SqliteStore


@dataclass(frozen=True, slots=True)
class House:
    """What every command needs."""

    settings: Settings
    database: Path
    store: SqliteStore
    stores: ObjectStores
    artifacts: Artifacts
    broker: MemoryBroker
    dispatch: Dispatch
    service: Service
    telling: Telling

    @property
    def census(self) -> Path:
        """The directory of `state.liveness`."""
        return self.database.with_name(self.database.name + "-workers")

    async def look_round(self) -> None:
        """Hold the runs whose own process is gone, and give back what dead workers own. Everybody who looks does it:
        there may be no worker that would. What can't be written now (a full disk) can still be looked at."""
        from orchestrator.sweeper import abandoned, take_back
        from state.errors import StoreError
        from state.liveness import verdict

        by_census = partial(verdict, self.census)
        with contextlib.suppress(StoreError):
            if left := await abandoned(self.store, by_census):
                await self.dispatch.apply(left)
            await take_back(self.dispatch, by_census, by="")


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a process that works needs besides."""

    liveness: FileLiveness
    sandboxes: Sandboxes
    executors: Mapping[TodoKind, Executor]
    publisher: Publisher
    sweeper: Sweeper

    def worker(self, house: House, *, placement: str, slots: int, run: str | None = None) -> Worker:
        """A worker in this workshop."""
        from orchestrator.worker import Claims, Worker

        labels = frozenset(house.settings.worker_labels)
        claims = Claims(boot=self.liveness.boot, placement=placement, slots=slots, run=run, labels=labels)
        return Worker(house.dispatch, house.broker, self.executors, claims, self.publisher.of_todo)

    def heartbeat(self, worker: Worker) -> Heartbeat:
        """Starts beating."""
        from orchestrator.heartbeat import Heartbeat

        return Heartbeat(self.liveness, self.sandboxes, worker.lease_lost)


def settings() -> Settings:
    """This process's settings."""
    return load_settings(os.environ)


def database_path(url: str) -> Path:
    """The file of a SQLite URL."""
    if not url.startswith("sqlite:///"):
        raise NotAvailableYet(
            "PostgreSQL as the database of `atlas` is not available yet: its store is built, its liveness is not",
            "Leave ATLAS_DATABASE_URL unset, or use sqlite:////path/to/atlas.db.",
        )
    path = url.removeprefix("sqlite:///")
    if not path or path == ":memory:":
        raise InputError("the database must be a file: its state outlives the process", "sqlite:////path/to/atlas.db")
    return Path(path).absolute()


@asynccontextmanager
async def house() -> AsyncGenerator[House]:
    """Open the database and what hangs on it."""
    from mcp_servers.storage.artifacts import Artifacts
    from mcp_servers.storage.s3_calls import S3Settings
    from mcp_servers.storage.stores import ObjectStores
    from orchestrator.brokers.memory import MemoryBroker
    from orchestrator.dispatch import Dispatch
    from orchestrator.logs import KnownSecrets, configure
    from orchestrator.service import Service
    from orchestrator.telling import Telling
    from state.sqlite import SqliteStore

    found = settings()
    configure(found.log_level, found.log_format, KnownSecrets())
    database = database_path(found.database_url)
    scratch = private_directory(found.home / "scratch")
    store = SqliteStore(database)
    stores = ObjectStores(S3Settings(endpoint=found.s3_endpoint, region=found.s3_region), scratch=scratch)
    artifacts = Artifacts(stores, found.store_url.rstrip("/") + "/", scratch=scratch)
    broker = MemoryBroker()
    dispatch = Dispatch(store, broker)

    async def pin(repo: str, base: str | None, directory: Path | None) -> tuple[PinnedRepository, str]:
        return await pin_repository(artifacts, scratch, repo, base, directory)

    service, telling = Service(dispatch, artifacts, pin), Telling(store, artifacts)
    opened = House(found, database, store, stores, artifacts, broker, dispatch, service, telling)
    try:
        await opened.look_round()
        yield opened
    finally:
        await broker.close()
        await stores.close()
        await store.close()


@asynccontextmanager
async def workshop(house: House) -> AsyncGenerator[Workshop]:
    """Everything that carries out TODOs: being alive, sandboxes, cache, checkouts, sweeping."""
    from mcp_servers.container.host import HostSandbox
    from mcp_servers.git.checkouts import Checkouts
    from mcp_servers.storage.cache import Cache
    from orchestrator.agents.models import Models
    from orchestrator.cli.orphans import Orphans, host_scratch
    from orchestrator.executors.roles import WithRoles
    from orchestrator.executors.task import Surroundings, TaskExecutor
    from orchestrator.logs import KnownSecrets, configure
    from orchestrator.publishing import Publisher
    from orchestrator.sandboxes import Policy, Sandboxes
    from orchestrator.secrets import Secrets
    from orchestrator.sweeper import Sweeper
    from state.liveness import FileLiveness

    found, known = house.settings, KnownSecrets()
    configure(found.log_level, found.log_format, known)
    keep_environment_private()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    gc.freeze()
    liveness = FileLiveness(house.census)

    async def docker() -> Containers:
        return await connect_docker(found, liveness.boot)

    work = private_directory(found.home / "work")
    own = private_directory(work / liveness.boot)
    host = HostSandbox(scratch=private_directory(host_scratch(liveness.boot)))
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
    orphans = Orphans(work, liveness, sandboxes, cache, found.cache_bytes)
    sweeper = Sweeper(house.dispatch, liveness, (publisher.everything, orphans.remove))
    async with AsyncExitStack() as stack:
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


def private_directory(path: Path) -> Path:
    """Made if need be, for this user only."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InputError(f"cannot make {path}: {error.strerror}", "Point ATLAS_HOME at a directory of yours.") from None
    return path


def upgrade_database(found: Settings) -> str:
    """Bring the database to the newest revision; returns its name without a password."""
    from state.migrations import upgrade

    if not found.database_url.startswith("sqlite:///"):
        upgrade(found.database_url)
        return found.database_url.rpartition("@")[2]
    path = database_path(found.database_url)
    private_directory(path.parent)
    upgrade(f"sqlite:///{path}")
    return str(path)


def whoami() -> str:
    """Who acts at this terminal, for the record."""
    import getpass

    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return f"uid {os.getuid()}@{socket.gethostname()}"
