"""What becomes of "claims done": the files are merged onto the run's head, and exactly that commit is verified in fresh
checkouts, by commands and by reviewers. If the head moves meanwhile, the executor does both again (design §5)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from dataclasses import dataclass, field, replace
from typing import Any

from mcp_servers.git.workspace.results import Conflict, Diff, Merged
from orchestrator.agents.driving import Drive, result_of
from orchestrator.agents.house_desk import HouseDesk
from orchestrator.agents.proving import Prover
from orchestrator.agents.workspace import Workspace
from orchestrator.verification import evidence
from roles.record import check
from state.agent_commands import Remember
from state.errors import AtlasError, LeaseLost, StoreError
from state.failpoints import failpoint
from state.ports import Failure, Reporter, Result, Worked
from state.records import Evidence
from state.touches import matches

log = logging.getLogger(__name__)

_OUTSIDE_SHOWN = 10


@dataclass(slots=True)
class Finishing:
    """For one attempt."""

    report: Reporter
    drive: Drive
    desk: HouseDesk
    workspace: Workspace
    prover: Prover
    _noted: bool = field(default=False)

    async def finish(self) -> Result:
        """Merge, verify, review; `Worked` with the head that it was done on."""
        taken = await self.workspace.snapshot(thorough=True)
        record = self.drive.record
        await record.remember(standing=record.stands(snapshot=taken.commit), packs=taken.packs)
        return await self._onto_the_head()

    async def _onto_the_head(self) -> Result:
        repository = self.workspace.repository
        before, head = await repository.head()
        delivered = await self.workspace.tree.deliverable(self.workspace.base)
        merged = await repository.here.merge(head, delivered, self._message())
        if isinstance(merged, Conflict):
            return _conflict(merged)
        failpoint("agent.merged")
        await self.report.verifying()
        changed = await repository.here.diff(head, merged.oid)
        names = await repository.here.changed_paths(head, merged.oid)
        gathered = [await asyncio.to_thread(self._within, *names)]  # there may be a hundred thousand
        if gathered[0].passed:
            items = [item for item in self.prover.spec.verify if item.review is None]
            gathered += await self.prover.prove(merged.oid, items)
        for item in gathered:
            item.subject = f"git:{merged.tree}"
        failpoint("agent.verified")
        if not gathered[-1].passed:
            return _not_verified(gathered)
        if (result := await self._reviewed(merged, changed, gathered)) is not None:
            return result
        await self._distil()
        return await self._settled(before, head, merged, gathered)

    async def _settled(self, before: str | None, head: str, merged: Merged, gathered: list[Evidence]) -> Result:
        if merged.unchanged:
            return Worked(gathered, head=(before, before))
        claim = self.drive.claim
        pack = await self.workspace.repository.publish(merged.oid, head)
        *_, outcome = await self.drive.dispatch.surely([Remember(claim.todo, claim.fence, packs=[pack])])
        check(outcome)
        failpoint("agent.published")
        return Worked(gathered, head=(before, merged.oid))

    async def _reviewed(self, merged: Merged, changed: Diff, gathered: list[Evidence]) -> Result | None:
        """By roles in fresh conversations, besides commands; they see what would be merged, and not the working tree,
        where there may be more. None: nobody objects."""
        items = [each for each in self.prover.spec.verify if each.review is not None]
        if not items:
            return None
        directory = self.prover.scratch / f"review-{merged.tree}"
        await self.workspace.repository.here.checkout(merged.oid, directory)
        drive = replace(self.drive, desk=self.desk.of_reviewer(directory, changed))
        for number, item in enumerate(items):
            stop = await drive.run("review", f"review-{merged.tree[:12]}-{number}")
            if (result := result_of(stop)) is not None:
                return result
            findings = "\n".join(f"{each['where']}: {each['what']}" for each in stop["findings"])
            digest = hashlib.sha256(findings.encode()).hexdigest()
            found = evidence(
                item.item(), stop["approve"], None, None, findings, f"sha256:{digest}", f"role {item.review}", 0.0
            )  # fmt: skip
            found.subject = f"git:{merged.tree}"
            gathered.append(found)
            if not found.passed:
                return _not_verified(gathered)
        return None

    async def _distil(self) -> None:
        """Notes for those who come after; that there are none is no reason to fail what is verified."""
        if self._noted or not await self._others_follow():
            return
        self._noted = True
        self.desk.records = await asyncio.to_thread(self._told)
        try:
            await self.drive.run("distil", "distil")
        except (LeaseLost, StoreError):
            raise
        except AtlasError as error:
            log.warning("%s: no notes: %s", self.drive.claim.key, error)

    async def _others_follow(self) -> bool:
        from sqlmodel import col, select

        from state.records import TERMINAL
        from state.tables import Todo

        claim = self.drive.claim
        query = select(Todo.id).where(
            Todo.run_id == claim.run, Todo.kind == "agent", Todo.id != claim.todo, col(Todo.state).not_in(TERMINAL)
        )
        return bool(await self.drive.dispatch.store.read(lambda session: session.exec(query.limit(1)).first()))

    def _told(self) -> str:
        """The calls of this attempt, one line each."""
        tools = (tool for _, tool in sorted(self.drive.record.tools.items()))
        return "\n".join(f"{tool.name} {tool.arguments[:300]}: {tool.state}" for tool in tools)

    def _message(self) -> str:
        claim = self.drive.claim
        return f"{claim.key}\n\nAtlas-Run: {claim.run}\nAtlas-Todo: {claim.todo}\n"

    def _within(self, changed: list[str], too_many: bool) -> Evidence:
        """Whether all that was changed may be."""
        touches = self.prover.spec.touches
        outside = [path for path in changed if not matches(touches, path)]
        more = f" and {len(outside) - _OUTSIDE_SHOWN} more" if len(outside) > _OUTSIDE_SHOWN else ""
        shown = ", ".join(outside[:_OUTSIDE_SHOWN]) + more
        tail = f"changed outside of touches: {shown}" if outside else f"{len(changed)} files changed"
        if too_many and not outside:
            tail = f"more files changed than can be looked at, which are {len(changed)}"
        digest = hashlib.sha256(json.dumps(sorted(changed)).encode()).hexdigest()
        item = json.dumps({"touches": list(touches)}, ensure_ascii=False)
        return evidence(item, not outside and not too_many, None, None, tail, f"sha256:{digest}", self.prover.by, 0.0)


def _not_verified(gathered: list[Evidence]) -> Failure:
    last = gathered[-1]
    what: Any = last.command or last.item
    lines = last.output_tail.strip().splitlines()
    said = f"exit code {last.exit_code}" if last.command else ""
    tail = lines[-1][:300] if lines else ""
    return Failure("verification", f"{what}: {': '.join(each for each in (said, tail) if each)}", gathered)


def _conflict(found: Conflict) -> Failure:
    paths = ", ".join(found.paths[:_OUTSIDE_SHOWN])
    return Failure("conflict", f"others changed the same lines meanwhile: {paths}")
