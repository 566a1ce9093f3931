"""Carries out TODOs of Hephaestus: workspace, graph, merge candidate, verification of exactly that (design §5)."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_servers.storage.clearing import discard
from orchestrator.agents.bounds import Bounds
from orchestrator.agents.driving import Drive, result_of, storage_away, take_up
from orchestrator.agents.finishing import Finishing
from orchestrator.agents.house_desk import HouseDesk
from orchestrator.agents.models import Models
from orchestrator.agents.proving import Prover
from orchestrator.agents.workspace import Repository, Workspace
from orchestrator.dispatch import Dispatch
from orchestrator.executors.attempt_log import AttemptLog
from orchestrator.executors.task import BELT_SECONDS, Surroundings, as_result
from orchestrator.plan.agent_spec import AgentSpec
from orchestrator.run_spec import RunSpec
from orchestrator.sandboxes import Request
from roles.checkpoints import StoreSaver
from roles.models.prices import PriceTable
from roles.record import Record
from state.agent_tables import AgentRow
from state.commands import Claimed
from state.errors import AtlasError, InputError, RemoteUnavailable
from state.ports import Failure, Reporter, Result, Worked
from state.tables import Run

if TYPE_CHECKING:
    from orchestrator.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """What executors of roles share on one worker, besides `Surroundings`. `repositories` is a directory."""

    dispatch: Dispatch
    graph: Graph
    saver: StoreSaver
    models: Models
    prices: PriceTable
    repositories: Path
    home: Path
    bounds: Bounds = field(default_factory=Bounds)

    def drive(self, claim: Claimed, record: Record, desk: HouseDesk) -> Drive:
        """For one attempt."""
        return Drive(self.dispatch, claim, record, desk, self.prices, self.graph, self.saver, self.bounds)


class AgentExecutor:
    """`state.ports.Executor` for kind ``agent``."""

    def __init__(self, around: Surroundings, thinking: Thinking) -> None:
        self._around = around
        self._thinking = thinking

    async def execute(self, claim: Claimed, report: Reporter, logged: int = 0) -> Result:
        """`logged`: bytes that the attempt's log has already."""
        around = self._around
        row = await around.store.read(lambda session: session.get(Run, claim.run))
        run = RunSpec.from_json(row.spec if row else "{}")
        scratch = around.work / f"{claim.todo}-{claim.fence}"
        scratch.mkdir(parents=True, mode=0o700)
        try:
            async with asyncio.timeout(claim.timeout + BELT_SECONDS), AsyncExitStack() as stack:
                stack.push_async_callback(asyncio.to_thread, discard, scratch)
                attempt = await _Attempt.open(around, self._thinking, claim, report, run, scratch, stack, logged)
                result = await attempt.carry_out()
        except TimeoutError:
            return Failure("timeout", f"not done within {claim.timeout:g} s")
        except RemoteUnavailable as error:
            return await storage_away(self._thinking.dispatch, claim, self._thinking.bounds, error)
        except AtlasError as error:
            return as_result(error)
        if isinstance(result, Worked):  # all that it worked with is closed: it is taken up as after a death
            result.again = partial(self.execute, claim, report, attempt.prover.log.stored)
        return result


@dataclass(slots=True)
class _Attempt:
    around: Surroundings
    claim: Claimed
    report: Reporter
    drive: Drive
    desk: HouseDesk
    workspace: Workspace
    prover: Prover

    @classmethod
    async def open(
        cls, around: Surroundings, thinking: Thinking, claim: Claimed, report: Reporter, run: RunSpec, scratch: Path,
        stack: AsyncExitStack, logged: int,
    ) -> _Attempt:  # fmt: skip
        spec = AgentSpec.from_json(claim.document)
        if run.repository is None:
            raise InputError(f"{claim.key} needs a repository to work in", "Give the plan a `repo`.")
        record = await take_up(thinking.dispatch, claim)
        request = Request(spec.sandbox, spec.image, "model", run.host_allowed)
        sandbox, image = await around.sandboxes.sandbox(request)
        await sandbox.ready(image, spec.resources)  # before a model is asked for commands that can't be run
        repository = await Repository.open(
            claim.run, run.repository, around.store, around.artifacts, thinking.repositories
        )
        workspace = await _workspace(around, record, repository, scratch / "work")
        log = AttemptLog(f"{claim.run}/{claim.todo}/{claim.fence}", around.artifacts, report, {}, logged)
        by = f"{sandbox.kind} sandbox of worker {around.boot[-8:]}"
        prover = Prover(
            repository, spec, sandbox, image, scratch, await stack.enter_async_context(log),
            f"{claim.run}/{claim.key}", by, time.monotonic() + claim.timeout,
        )  # fmt: skip
        desk = HouseDesk(
            record, around.store, thinking.models, run.models, Path(run.directory or thinking.home), stack,
            workspace.tree.directory, workspace, prover,
        )  # fmt: skip
        drive = thinking.drive(claim, record, desk)
        return cls(around, claim, report, drive, desk, workspace, prover)

    async def carry_out(self) -> Result:
        stop = await self.drive.run("work" if self.claim.attempt == 0 else "diagnose")
        if (result := result_of(stop)) is not None:
            return result
        return await Finishing(self.report, self.drive, self.desk, self.workspace, self.prover).finish()


async def _workspace(around: Surroundings, record: Record, repository: Repository, directory: Path) -> Workspace:
    """As the attempt's records say: where it stood; else as the attempt before left it, for Oracle to look at; else at
    the head of the run."""
    claim, now = record.claim, record.standing
    if now.base and now.snapshot:
        return await Workspace.open(repository, now.base, now.snapshot, directory)
    base = commit = (await repository.head())[1]
    if claim.attempt:
        key = (claim.todo, claim.epoch, claim.attempt - 1)
        before = await around.store.read(lambda session: session.get(AgentRow, key))
        if before and before.base and before.snapshot:
            base, commit = before.base, before.snapshot
    workspace = await Workspace.open(repository, base, commit, directory)
    await record.remember(standing=record.stands(base=base, snapshot=commit))
    return workspace
