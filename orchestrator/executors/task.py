"""Carries out task TODOs: inputs, command, verification, outputs (design §5). Expected trouble comes back as data."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mcp_servers.storage import outputs
from mcp_servers.storage.cache import Cache
from mcp_servers.storage.outputs import OutputError
from mcp_servers.storage.trees import digest_tree
from orchestrator.executors.attempt_log import AttemptLog
from orchestrator.executors.captured_output import CapturedOutput
from orchestrator.executors.leftovers import with_leftovers
from orchestrator.executors.workplace import Workplace
from orchestrator.hindrance import hindrance
from orchestrator.logs import KnownSecrets
from orchestrator.plan.spec import TaskSpec
from orchestrator.run_spec import PinnedRepository, RunSpec
from orchestrator.sandboxes import Request, Sandboxes, traced_run
from orchestrator.secrets import Secrets, SecretUnavailable
from orchestrator.verification import of_command, verify
from state import reading, tracing
from state.commands import Claimed
from state.errors import AtlasError, LeaseLost, LimitExceeded, RemoteError, RemoteMissing, SandboxError, StoreError
from state.failpoints import failpoint
from state.limits import STDOUT_BYTES
from state.ports import (
    ArtifactStore,
    Blockage,
    Exit,
    Failure,
    ObjectStore,
    Reporter,
    Result,
    Sandbox,
    SandboxCommand,
    Store,
    Worked,
    WriteOutput,
)
from state.records import BlockReason, Evidence, Output, Provenance
from state.tables import ArtifactRow, Run

if TYPE_CHECKING:
    from orchestrator.agents.workspace import Repository

_KEPT_RUNS = 1_000
"""Whose specifications a worker remembers."""
BELT_SECONDS = 10.0
"""Past the timeout: what hangs outside the sandbox is ended too."""
_STUCK_SECONDS = 2.0
"""Past the timeout, at which a command that verifies is killed and says so: what is not done by then is late."""
_LEFTOVER_SECONDS = 8.0
"""Past the timeout, and before that: for what a failed attempt leaves."""


class Checkouts(Protocol):
    """Fresh working trees of pinned commits."""

    async def fresh(self, oid: str, digest: str, into: Path) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What task executors share on one worker. `work` is a directory of this worker's own."""

    store: Store
    stores: ObjectStore
    artifacts: ArtifactStore
    cache: Cache
    checkouts: Checkouts
    sandboxes: Sandboxes
    secrets: Secrets
    known_secrets: KnownSecrets
    work: Path
    boot: str
    stdout_bytes: int = STDOUT_BYTES


class TaskExecutor:
    """`state.ports.Executor` for kind ``task``."""

    def __init__(self, around: Surroundings, repositories: Path | None = None) -> None:
        """`repositories` is where those of runs with roles are kept."""
        self._around = around
        self._repositories = repositories
        self._runs: dict[str, RunSpec] = {}

    async def execute(self, claim: Claimed, report: Reporter) -> Result:
        attempt = _Attempt(self._around, claim, report, await self._run_spec(claim.run), self._repositories)
        try:
            async with asyncio.timeout(claim.timeout + BELT_SECONDS):
                return await attempt.carry_out()
        except TimeoutError:
            return Failure("timeout", _late(claim))
        except AtlasError as error:
            return as_result(error)

    async def _run_spec(self, run: str) -> RunSpec:
        if run not in self._runs:
            row = await self._around.store.read(lambda session: session.get(Run, run))
            if len(self._runs) >= _KEPT_RUNS:
                self._runs.clear()
            self._runs[run] = RunSpec.from_json(row.spec if row else "{}")
        return self._runs[run]


def as_result(error: AtlasError) -> Result:
    """What an expected error means for the TODO. Raises what says nothing of it."""
    if isinstance(error, LeaseLost | StoreError) or hindrance(error):
        raise error
    return Blockage(_block_reason(error), str(error))


def _block_reason(error: AtlasError) -> BlockReason:
    if isinstance(error, SandboxError):
        return error.blocks
    reasons: tuple[tuple[type[AtlasError], BlockReason], ...] = (
        (SecretUnavailable, "secret"),
        (RemoteMissing, "input"),
        (LimitExceeded, "input"),
        (RemoteError, "store"),
    )
    for kind, reason in reasons:
        if isinstance(error, kind):
            return reason
    return "input"


class _Attempt:
    def __init__(
        self, around: Surroundings, claim: Claimed, report: Reporter, run: RunSpec, repositories: Path | None
    ) -> None:
        self._repositories = repositories
        self._head: str | None = None
        self._around = around
        self._claim = claim
        self._report = report
        self._run = run
        self._spec = TaskSpec.from_json(claim.document)
        self._image: str | None = None
        self._tree = ""
        self._end = time.monotonic() + claim.timeout

    async def carry_out(self) -> Result:
        around, claim, spec = self._around, self._claim, self._spec
        repository = await self._branch()
        edited = self._head is not None or spec.author == "model"  # a model wrote what is run here
        provenance: Provenance = "model" if edited and claim.provenance == "person" else claim.provenance
        secrets = await asyncio.to_thread(around.secrets.resolve, spec.secrets, claim.provenance)
        request = Request(spec.sandbox, spec.image, provenance, self._run.host_allowed)
        sandbox, self._image = await around.sandboxes.sandbox(request)
        workplace = Workplace(around.work / f"{claim.todo}-{claim.fence}", spec, sandbox.kind == "docker")
        workplace.scratch.mkdir(parents=True, mode=0o700)
        log_name = f"{claim.run}/{claim.todo}/{claim.fence}"
        async with AsyncExitStack() as stack:
            stack.push_async_callback(workplace.remove)
            stack.enter_context(around.known_secrets.hiding(secrets.values()))
            await self._prepare(workplace, repository, stack)
            log = await stack.enter_async_context(AttemptLog(log_name, around.artifacts, self._report, secrets))
            result = await self._work(workplace, sandbox, log, secrets)
            return await self._leave(result, workplace) if isinstance(result, Failure) else result

    async def _branch(self) -> Repository | None:
        """Of a run with roles: its branch has moved on from where it was pinned."""
        run = self._run
        if run.repository is None or run.directory is None or self._repositories is None:
            return None
        from orchestrator.agents.workspace import Repository

        around = self._around
        row = await around.store.read(lambda session: session.get(Run, self._claim.run))
        if row is None or row.head is None:
            return None
        found = await Repository.open(
            self._claim.run, run.repository, around.store, around.artifacts, self._repositories
        )
        self._head, _ = await found.head()
        return found

    async def _prepare(self, workplace: Workplace, branch: Repository | None, stack: AsyncExitStack) -> None:
        repository: PinnedRepository | None = self._run.repository
        if branch and self._head:
            await branch.here.checkout(self._head, workplace.directory)
        elif repository:
            await self._around.checkouts.fresh(repository.oid, repository.artifact, workplace.directory)
        else:
            workplace.directory.mkdir()
        await workplace.fetch(self._around.cache, await self._made_here(), stack)
        workplace.make_room_for_outputs()
        failpoint("task.inputs_fetched")

    async def _made_here(self) -> Callable[[str], ArtifactRow | None]:
        """What earlier TODOs of this run made, by canonical remote."""
        run, wanted = self._claim.run, [wanted.remote for wanted in self._spec.inputs]
        found: dict[str, ArtifactRow | None] = {}
        if wanted:
            read = self._around.store.read
            found = await read(lambda session: {remote: reading.manifest(session, run, remote) for remote in wanted})
        return found.get

    async def _work(self, workplace: Workplace, sandbox: Sandbox, log: AttemptLog, secrets: dict[str, str]) -> Result:
        spec, by = self._spec, f"{sandbox.kind} sandbox of worker {self._around.boot[-8:]}"
        with ExitStack() as stack:
            wanted = CapturedOutput(workplace.stdout, self._around.stdout_bytes) if spec.stdout else None
            output = log.command(stack.enter_context(wanted) if wanted else None)
            try:
                ended = await self._sandboxed(sandbox, workplace, spec.run, workplace.directory, output.write, secrets)
                await output.end()
            except OutputError as error:
                return Failure("output", str(error))
        failpoint("task.command_ended")
        item = json.dumps({"run": list(spec.run)}, ensure_ascii=False)
        gathered = [of_command(item, spec.command, ended, output, by)]
        if not gathered[0].passed:
            return _failed(ended, gathered)
        try:
            async with asyncio.timeout(self._end + _STUCK_SECONDS - time.monotonic()):
                return await self._judge(gathered, workplace, sandbox, log, by)
        except TimeoutError:
            return Failure("timeout", _late(self._claim), _on_subject(gathered, self._tree))

    async def _judge(
        self, gathered: list[Evidence], workplace: Workplace, sandbox: Sandbox, log: AttemptLog, by: str
    ) -> Result:
        """The command has done its part; `gathered` grows by what is found."""
        spec = self._spec

        async def check(argv: tuple[str, ...], directory: Path, write: WriteOutput) -> Exit:
            return await self._sandboxed(sandbox, workplace, argv, directory, write, {})

        if spec.verify:
            await self._report.verifying()
            self._tree = await digest_tree(workplace.directory)
            with tracing.span("atlas.verify", {"atlas.items": len(spec.verify)}) as here:
                gathered += await verify(workplace, spec.verify, check, log, by)
                if not gathered[-1].passed:
                    here.failed("verification")
        failpoint("task.verified")
        if not gathered[-1].passed:
            return _not_verified(gathered[-1], _on_subject(gathered, self._tree))
        try:
            with tracing.span("atlas.stage_outputs", {"atlas.outputs": len(workplace.declared())}):
                staged = await outputs.stage(
                    workplace.declared(), self._claim.todo, self._claim.fence, self._around.stores
                )
        except OutputError as error:
            return Failure("output", str(error), _on_subject(gathered, self._tree))
        failpoint("task.outputs_staged")
        return Worked(_on_subject(gathered, self._tree, staged), staged)

    async def _leave(self, failure: Failure, workplace: Workplace) -> Failure:
        wanted, left = workplace.declared(always=True), self._end + _LEFTOVER_SECONDS - time.monotonic()
        failed = await with_leftovers(failure, wanted, self._claim, self._around.stores, left)
        if failed.outputs and failed.evidence:
            _on_subject(failed.evidence, self._tree, failed.outputs)
        failpoint("leftovers.staged")
        return failed

    async def _sandboxed(
        self, sandbox: Sandbox, workplace: Workplace, argv: tuple[str, ...], directory: Path, write: WriteOutput,
        secrets: dict[str, str],
    ) -> Exit:  # fmt: skip
        spec = self._spec
        ended = await traced_run(
            sandbox,
            SandboxCommand(
                argv=argv, workdir=directory, timeout=max(0.1, self._end - time.monotonic()),
                environment={**spec.env, **secrets}, mounts=tuple(workplace.mounts), resources=spec.resources,
                image=self._image, label=f"{self._claim.run}/{self._claim.key}",
            ),
            write, told=True,
        )  # fmt: skip
        if ended.cause == "lease":
            raise LeaseLost(f"{self._claim.key}: this worker's lease ran out while it worked")
        return ended


def _late(claim: Claimed) -> str:
    return f"not done within {claim.timeout:g} s (inputs, command and outputs together)"


def _on_subject(gathered: list[Evidence], tree: str, staged: list[Output] | None = None) -> list[Evidence]:
    """Bind all of the evidence to one subject: the tree that was verified and the outputs that were taken from it; an
    attempt that left neither is its own output's digest."""
    bound = {"tree": tree, "outputs": [[output.internal, output.digest] for output in staged or []]}
    text = json.dumps(bound, ensure_ascii=False) if tree or staged else gathered[0].digest
    subject = tree if tree and not staged else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    for item in gathered:
        item.subject = subject
    return gathered


def _failed(ended: Exit, gathered: list[Evidence]) -> Failure:
    own = _on_subject(gathered, "")
    match ended.cause:
        case "timeout":
            return Failure("timeout", f"killed after {ended.seconds:.0f} s, its timeout", own)
        case "oom":
            return Failure("oom", "killed: out of memory; raise resources.memory", own)
        case _:
            return Failure("exit", f"exit code {ended.code}{_last_line(own[0])}", own)


def _not_verified(item: Evidence, gathered: list[Evidence]) -> Failure:
    what = item.command or json.loads(item.item).get("file", "")
    said = f"exit code {item.exit_code}{_last_line(item)}" if item.command else item.output_tail
    return Failure("verification", f"{what}: {said}", gathered)


def _last_line(item: Evidence) -> str:
    lines = item.output_tail.strip().splitlines()
    return f": {lines[-1][:300]}" if lines else ""
