"""Carries out the last TODO of a run with roles: the Librarian's report; or, when no model may or can be asked, a plain
rendering of what the database says. It never fails for want of a model."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

from sqlmodel import Session, select

from mcp_servers.storage.clearing import discard
from orchestrator.agents.driving import storage_away, take_up
from orchestrator.agents.house_desk import HouseDesk
from orchestrator.agents.records import rendered
from orchestrator.executors.agent import Thinking
from orchestrator.executors.task import Surroundings, as_result
from orchestrator.run_spec import RunSpec
from orchestrator.verification import evidence
from roles.record import check
from state.agent_commands import Remember
from state.agent_tables import ModelCall
from state.commands import Claimed
from state.errors import AtlasError, LeaseLost, RemoteUnavailable, StoreError
from state.ports import Reporter, Result, Worked
from state.tables import Run

_RECORDS_BYTES = 100_000
_TAIL = 2_000


class ReportExecutor:
    """`state.ports.Executor` for kind ``report``."""

    def __init__(self, around: Surroundings, thinking: Thinking) -> None:
        self._around = around
        self._thinking = thinking

    async def execute(self, claim: Claimed, report: Reporter) -> Result:
        around = self._around
        scratch = around.work / f"{claim.todo}-{claim.fence}"
        scratch.mkdir(parents=True, mode=0o700)
        try:
            async with AsyncExitStack() as stack:
                stack.push_async_callback(asyncio.to_thread, discard, scratch)
                plain = await around.store.read(lambda session: rendered(session, claim.run))
                text, by = await self._written(claim, plain, scratch, stack)
                return await self._kept(claim, text, by, scratch)
        except RemoteUnavailable as error:
            return await storage_away(self._thinking.dispatch, claim, self._thinking.bounds, error)
        except AtlasError as error:
            return as_result(error)

    async def _written(self, claim: Claimed, plain: str, scratch: Path, stack: AsyncExitStack) -> tuple[str, str]:
        """(Markdown, who wrote it)"""
        around, thinking = self._around, self._thinking
        asked, run = await around.store.read(lambda session: _asked(session, claim.run))
        if not asked:
            return plain, "Atlas"
        try:
            record = await take_up(thinking.dispatch, claim)
            desk = HouseDesk(
                record, around.store, thinking.models, run.models, Path(run.directory or thinking.home), stack,
                scratch, records=plain[:_RECORDS_BYTES],
            )  # fmt: skip
            drive = thinking.drive(claim, record, desk)
            async with asyncio.timeout(claim.timeout):
                stop = await drive.run("report")
        except (LeaseLost, StoreError):
            raise
        except (AtlasError, TimeoutError) as error:
            return f"{plain}\n(No model wrote this report: {error})\n", "Atlas"
        if stop["kind"] == "report":
            return f"{stop['markdown'].rstrip()}\n\n---\n\n{plain}", "role librarian"
        return f"{plain}\n(No model wrote this report: {stop.get('detail') or stop['kind']})\n", "Atlas"

    async def _kept(self, claim: Claimed, text: str, by: str, scratch: Path) -> Result:
        path = scratch / "report.md"
        await asyncio.to_thread(path.write_text, text, "utf-8", "replace")
        artifact = await self._around.artifacts.put(path)
        event = ("run.report", json.dumps({"digest": artifact.digest}))
        *_, outcome = await self._thinking.dispatch.surely([Remember(claim.todo, claim.fence, events=[event])])
        check(outcome)
        item = evidence(
            json.dumps({"report": artifact.digest}), True, None, None, text[:2000], artifact.digest, by, 0.0
        )
        item.subject = artifact.digest
        return Worked([item])


def _asked(session: Session, id: str) -> tuple[bool, RunSpec]:
    """Whether a model was asked in this run at all, and its spec."""
    row = session.get_one(Run, id)
    asked = session.exec(select(ModelCall.id).where(ModelCall.run_id == id).limit(1)).first() is not None
    return asked, RunSpec.from_json(row.spec)
