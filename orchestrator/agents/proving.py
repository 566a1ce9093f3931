"""Running an agent's verification: every item, on a fresh checkout of exactly one commit, in sandboxes of their own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcp_servers.storage.clearing import discard
from mcp_servers.storage.threads import completed, in_thread
from orchestrator.agents.workspace import Repository
from orchestrator.executors.attempt_log import AttemptLog
from orchestrator.executors.workplace import Workplace
from orchestrator.plan.agent_spec import AgentSpec
from orchestrator.plan.spec import TaskSpec, VerifySpec
from orchestrator.sandboxes import traced_run
from orchestrator.verification import verify
from state import tracing
from state.errors import LeaseLost
from state.ports import Exit, Sandbox, SandboxCommand, WriteOutput
from state.records import Evidence


@dataclass(slots=True)
class Prover:
    """For one attempt. `end` is the monotonic time at which it must be over; `by` says who verifies."""

    repository: Repository
    spec: AgentSpec
    sandbox: Sandbox
    image: str | None
    scratch: Path
    log: AttemptLog
    label: str
    by: str
    end: float
    _count: int = 0

    async def run(self, argv: Sequence[str], directory: Path, timeout: float, write: WriteOutput) -> Exit:
        """A command of this attempt in its sandbox; `LeaseLost` when that ended it."""
        spec = self.spec
        ended = await traced_run(
            self.sandbox,
            SandboxCommand(
                argv=tuple(argv), workdir=directory, timeout=max(0.1, min(timeout, self.end - time.monotonic())),
                environment=spec.env, resources=spec.resources, image=self.image, label=self.label,
            ),
            write,
        )  # fmt: skip
        if ended.cause == "lease":
            raise LeaseLost(f"{self.label}: this worker's lease ran out while it worked")
        return ended

    async def prove(self, commit: str, items: Sequence[VerifySpec], *, every: bool = False) -> list[Evidence]:
        """Evidence on a commit that is here: of the items in order, up to the first that fails, or of `every` one."""
        self._count += 1
        scratch = self.scratch / f"proof-{self._count}"
        scratch.mkdir()
        place = Workplace(scratch, TaskSpec(run=()), self.sandbox.kind == "docker")

        async def check(argv: tuple[str, ...], directory: Path, write: WriteOutput) -> Exit:
            return await self.run(argv, directory, self.spec.timeout, write)

        try:
            await self.repository.here.checkout(commit, place.directory)
            with tracing.span("atlas.verify", {"atlas.commit": commit, "atlas.items": len(items)}):
                if not every:
                    return await verify(place, tuple(items), check, self.log, self.by)
                found: list[Evidence] = []
                for item in items:
                    found += await verify(place, (item,), check, self.log, self.by)
                return found
        finally:
            await completed(in_thread(lambda stop: discard(scratch)))
