"""What the rooms ask of each other. Adapters live above; each port has one contract suite in tests/contract.

Everything here is `async` and cancellable: a cancelled call has stopped its process, container or transfer before the
`CancelledError` goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from sqlmodel import Session

from state.commands import Claimed, Command, NewTodo, Outcome
from state.records import BlockReason, Evidence, FailureReason, Output

T = TypeVar("T")

# --- the store --------------------------------------------------------------------------------------------------------


class Store(Protocol):
    """SQL, the only truth. Errors: `StoreError` and its kinds; after one, nothing of the failed call was written."""

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out the commands in order, in one transaction; each is all or nothing, and one that is refused does not
        sink its neighbours. Returns once all of it is durable, one outcome per command."""
        ...

    async def read(self, query: Callable[[Session], T]) -> T:
        """Run `query` on a consistent snapshot, in a reader thread. It must not write."""
        ...

    async def changed(self, after: int, timeout: float) -> int:
        """Wait until something was committed, by this process or another, since the call that returned `after` (start
        with 0), or `timeout` seconds; returns the number to wait on next. Wakes spuriously."""
        ...

    async def queued(self, after: int, timeout: float) -> int:
        """As `changed`, for commits of other processes that put something into the queue: only these, and as soon as
        the database tells of them. Where it does not, it is no more than a wait."""
        ...

    async def close(self) -> None: ...


class Liveness(Protocol):
    """Being alive, for others to see: a lock that dies with this process, and a lease that it renews; design §4. Used
    from one thread at a time."""

    @property
    def boot(self) -> str:
        """This worker's boot id."""
        ...

    def renew(self) -> bool:
        """Renew the lease; False if it had run out meanwhile (it is then fresh again, but own work must be dropped).
        Blocks. `OSError` or `StoreError`: it could not be renewed."""
        ...

    def intact(self) -> bool:
        """Whether the lock is held, as far as can be told at once. If not, `renew` takes it again."""
        ...

    def close(self) -> None:
        """A clean end: what this worker owned is free at once. Blocks."""
        ...


Verdict = Literal["alive", "dead", "expired"]
"""On a worker: ``dead`` when its lock is free, ``expired`` when it lives but its lease ran out."""


class Census(Protocol):
    """Who is alive, for whoever looks. Errors: `StoreError` and its kinds."""

    async def verdicts(self, boots: Collection[str]) -> Mapping[str, Verdict]:
        """On each of these workers, by boot id."""
        ...

    async def forget(self, boots: Collection[str]) -> None:
        """Remove what these dead workers left."""
        ...


# --- wake-ups ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class WakeUp:
    """TODO ids that may be claimable. Only a hint: the claim decides. `acknowledge` once the claim is committed."""

    todos: tuple[str, ...]
    acknowledge: Callable[[], Awaitable[None]]


class Broker(Protocol):
    """Carries wake-ups between workers: at least once, in no order; losing one costs a poll interval."""

    async def publish(self, todos: Sequence[str]) -> None:
        """Return once the broker has taken responsibility for them."""
        ...

    def wake_ups(self) -> AsyncIterator[WakeUp]:
        """Every wake-up goes to one of the subscribers."""
        ...

    async def close(self) -> None: ...


# --- sandboxes --------------------------------------------------------------------------------------------------------

Stream = Literal["stdout", "stderr"]
WriteOutput = Callable[[Stream, bytes], Awaitable[None]]
"""Takes output as it comes; awaiting it is the back-pressure."""


@dataclass(frozen=True, slots=True)
class Mount:
    """`source` on this host appears at `target`: absolute (containers only), or relative to the working directory."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Resources:
    """`memory` in bytes, `cpus` in cores. ``network=None``: none in containers, the host's on the host."""

    cpus: float | None = None
    memory: int | None = None
    pids: int | None = None
    network: bool | None = None


@dataclass(frozen=True, slots=True)
class SandboxCommand:
    """One command. `workdir` is a directory on this host, writable, and the command's working directory.

    `environment` is all the command sees besides PATH, HOME (scratch) and LANG. `timeout` in seconds. `image` is for
    containers. `label` names it in listings (run and TODO).
    """

    argv: tuple[str, ...]
    workdir: Path
    timeout: float
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    mounts: tuple[Mount, ...] = ()
    resources: Resources = Resources()
    image: str | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a command ended. `code` is the exit code, 128 + signal when a signal ended it; `cause` is the truth:
    ``oom`` when the kernel's out-of-memory killer struck anywhere in the sandbox, whatever the code says."""

    code: int
    cause: Literal["exit", "timeout", "oom", "lease"]
    seconds: float


class Sandbox(Protocol):
    """Runs commands so that nothing of them outlives its end, its cancellation, its timeout, or this worker.

    Errors: `SandboxUnavailable`, `ImageMissing`. A program that cannot be started at all is exit 127 (not found) or
    126, with the reason on stderr, as a shell would.
    """

    @property
    def kind(self) -> Literal["host", "docker"]: ...

    async def ready(self, image: str | None, resources: Resources) -> None:
        """Return once a command with these could start, its image pulled if need be. Errors: those of `run`."""
        ...

    async def run(self, command: SandboxCommand, write: WriteOutput) -> Exit: ...

    def pulse(self) -> None:
        """Tell everything that runs that its worker still owns it. Called from the heartbeat thread, twice a second."""
        ...

    def kill_all(self) -> None:
        """Kill everything that runs, now; callable from any thread. The commands end with cause ``lease``."""
        ...

    async def close(self) -> None: ...


# --- remote locations and artifacts -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """`url` is absolute; `etag` changes when the content does; `size` in bytes."""

    url: str
    size: int
    etag: str


class ObjectStore(Protocol):
    """One scheme (file:// or s3://). Streams: no whole object in memory. A partial object is never visible.

    Errors: `RemoteMissing`, `RemoteForbidden`, `RemoteUnavailable`.
    """

    async def stat(self, url: str) -> ObjectInfo | None: ...

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """All objects below a URL that ends in a slash, in URL order."""
        ...

    async def download(self, url: str, path: Path, *, etag: str | None = None) -> ObjectInfo:
        """Write the object to `path` (which must not exist). With `etag`, only that version: else `RemoteMissing`."""
        ...

    async def upload(self, path: Path, url: str) -> ObjectInfo: ...

    async def copy(self, source: str, target: str) -> ObjectInfo:
        """Within this scheme."""
        ...

    async def delete(self, url: str) -> None:
        """No error when it is not there."""
        ...


@dataclass(frozen=True, slots=True)
class Artifact:
    """`digest` is ``sha256:<hex>`` of the content; `size` in bytes."""

    digest: str
    uri: str
    size: int


class ArtifactStore(Protocol):
    """Content-addressed files, and logs that grow by chunks. Server and worker may be different hosts."""

    async def put(self, path: Path) -> Artifact: ...

    async def fetch(self, digest: str, path: Path) -> None:
        """Write the artifact to `path`, digest checked. `RemoteMissing` if it is not there."""
        ...

    async def append(self, log: str, offset: int, data: bytes) -> None:
        """Add a chunk at this byte offset of a log (a relative name such as ``<run>/<todo>/<fence>``)."""
        ...

    async def read(self, log: str, offset: int, limit: int) -> bytes:
        """At most `limit` bytes of a log from `offset`; empty at its end."""
        ...


# --- executors --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Worked:
    """All of the evidence passed. `head`: (the run's head that the work was merged onto, the merged commit); when it
    has moved meanwhile, `again` merges and verifies once more."""

    evidence: list[Evidence]
    outputs: list[Output] = field(default_factory=list[Output])
    head: tuple[str | None, str | None] | None = None
    again: Callable[[], Awaitable[Result]] | None = None


@dataclass(slots=True)
class Planned:
    """A plan is frozen: its canonical text, and its TODOs."""

    evidence: list[Evidence]
    plan: str
    plan_hash: str
    todos: list[NewTodo]


@dataclass(slots=True)
class Failure:
    """It ran and did not succeed; the retry policy decides what follows. `outputs` were wanted all the same, and count
    when nothing follows."""

    reason: FailureReason
    detail: str
    evidence: list[Evidence] = field(default_factory=list[Evidence])
    outputs: list[Output] = field(default_factory=list[Output])


@dataclass(slots=True)
class Blockage:
    """It can't be done until somebody changes something; `detail` says what."""

    reason: BlockReason
    detail: str


@dataclass(slots=True)
class Deferral:
    """It goes on later, where it stands: `after` seconds from now (``hindered``: this worker can't, for now); or, when
    the budget does not allow for a call of so many `tokens` and `nano` (10⁻⁹ USD), once somebody has raised it."""

    cause: Literal["waiting", "hindered", "budget"]
    after: float = 0.0
    tokens: int = 0
    nano: int = 0


@dataclass(slots=True)
class Asked:
    """A person is asked, and it goes on with the answer. `key` finds the question again."""

    key: str
    text: str
    choices: list[str]


Result = Worked | Planned | Failure | Blockage | Deferral | Asked


class Reporter(Protocol):
    """What an executor says while it works. Raises `LeaseLost` when the TODO is no longer this worker's."""

    async def verifying(self) -> None: ...
    async def progress(self, text: str, fraction: float | None = None) -> None: ...
    async def risk(self, text: str) -> None: ...
    async def log(self, offset: int, lines: list[str]) -> None: ...


class Executor(Protocol):
    """Carries out one kind of TODO. Expected trouble comes back as data; a raise is ``failed: internal``."""

    async def execute(self, claim: Claimed, report: Reporter) -> Result: ...
