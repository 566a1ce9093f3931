"""What the house puts on a role's desk: `roles.desk.Desk` over the real parts."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlmodel import Session, select

from mcp_servers.git.workspace.results import Diff
from mcp_servers.manners import Policy
from mcp_servers.workspace.server import workspace_server
from orchestrator.agents import briefs
from orchestrator.agents.models import Models
from orchestrator.agents.proving import Prover
from orchestrator.agents.situation import situation
from orchestrator.agents.workspace import Workspace
from orchestrator.plan.checks import ALONE, RESERVED, Around
from orchestrator.plan.document import Todo
from orchestrator.plan.reading import canonical, canonical_hash, read_plan
from orchestrator.replanning import Revision
from roles.desk import Answered, Checked, Judged, Taken
from roles.models.port import ChatModel
from roles.record import Record
from roles.role import Duty
from roles.rulings import outcome_of
from roles.toolbox import Toolbox
from roles.untrusted import as_data
from state.errors import FULL, SHORT, InputError, LeaseLost, SandboxError
from state.ports import Exit, Store, WriteOutput
from state.records import Evidence
from state.tables import Question

_BRIEFS = {
    "plan": briefs.plan_brief, "review_plan": briefs.review_plan_brief, "work": briefs.work_brief,
    "diagnose": briefs.diagnose_brief, "review": briefs.review_brief, "distil": briefs.distil_brief,
    "report": briefs.report_brief, "consult_oracle": briefs.known_brief, "consult_librarian": briefs.known_brief,
}  # fmt: skip


_LONGEST = 24 * 3600.0
_RETRIES = 5
"""Of a TODO that a model plans: of what it costs, no budget need be there to bound it."""


def _retries(todo: Todo) -> int:
    return todo.retries.max if todo.retries else 0


@dataclass(slots=True)
class HouseDesk:
    """For one attempt. Without a `workspace`, `directory` is what roles look around in (planning, review), and `change`
    what is told of a change. `revision`: there was a plan before the one that is made. `repository`:
    the run has one, which roles may change."""

    record: Record
    store: Store
    chains: Models
    named: Mapping[str, Sequence[str]]
    scripts: Path
    closing: AsyncExitStack
    directory: Path
    workspace: Workspace | None = None
    prover: Prover | None = None
    records: str = ""
    change: str = ""
    revision: Revision | None = None
    repository: bool = True
    _boxes: dict[tuple[str, ...], Toolbox] = field(default_factory=dict[tuple[str, ...], Toolbox])
    _trouble: SandboxError | LeaseLost | OSError | None = None

    async def brief(self, duty: str) -> str:
        """With the state of things now."""
        now = await situation(self.store, self.record, await self.diff(), self.records, self.revision)
        if now.conflict and now.before and self.workspace:
            mine, theirs = await self._both(*now.before)
            now = replace(now, diff=mine, theirs=theirs)
        if duty == "work":
            await self._start_over(conflict=now.conflict)
        return _BRIEFS[duty](now)

    def of_reviewer(self, directory: Path, changed: Diff) -> HouseDesk:
        """The desk of somebody who judges this change: a checkout with it is in `directory`."""
        return replace(self, directory=directory, workspace=None, prover=None, change=_cut(changed), _boxes={})

    async def essentials(self) -> str:
        """The diff."""
        return as_data("the changes so far", await self.diff() or "(none)")

    async def diff(self) -> str:
        """From where the attempt began to the files as they were last kept."""
        if not self.workspace:
            return self.change
        return await self._between(self.workspace.base, self.workspace.tree.commit)

    async def _both(self, base: str, snapshot: str) -> tuple[str, str]:
        """What the attempt before changed, and what others did."""
        assert self.workspace, "only work meets others"  # noqa: S101
        repository = self.workspace.repository
        await repository.bring(base)
        await repository.bring(snapshot)
        _, head = await repository.head()
        return await self._between(base, snapshot), await self._between(base, head)

    async def _between(self, one: str, other: str) -> str:
        assert self.workspace, "there is a repository"  # noqa: S101
        return _cut(await self.workspace.repository.here.diff(one, other))

    async def toolbox(self, duty: Duty) -> Toolbox:
        """Opened when it is first wanted; open until the attempt ends."""
        if duty.tools not in self._boxes:
            policy = Policy(read_only=not duty.writes, audit_level=logging.DEBUG)  # people see the role's events
            server = workspace_server(
                self.directory,
                policy,
                run=self._command if duty.writes else None,
                touches=self.prover.spec.touches if duty.writes and self.prover else None,
                changes=self.workspace.changes if self.workspace else None,
            )
            servers = {"workspace": server} if duty.tools else {}
            self._boxes[duty.tools] = await self.closing.enter_async_context(Toolbox(servers, duty.tools))
        return self._boxes[duty.tools]

    def trouble(self) -> SandboxError | LeaseLost | OSError | None:
        """See `_command`."""
        return self._trouble

    async def models(self, duty: Duty) -> Sequence[ChatModel]:
        """What plan and settings say."""
        await self.chains.load(duty, self.named)
        return self.chains.chain(duty, self.named, self.scripts)

    async def snapshot(self) -> Taken:
        """Of the workspace."""
        assert self.workspace, "only work changes files, and it has a workspace"  # noqa: S101
        return await self.workspace.snapshot()

    async def check(self) -> Checked:
        """The verification on what would be merged, as it stands."""
        assert self.workspace, "only work checks"  # noqa: S101
        assert self.prover, "only work checks"  # noqa: S101
        commit = await self.workspace.tree.deliverable(self.workspace.base)
        items = [item for item in self.prover.spec.verify if item.review is None]
        found = await self.prover.prove(commit, items, every=True)
        passing = frozenset(each.item_hash for each in found if each.passed)
        return Checked("\n\n".join(_told(each) for each in found), passing)

    async def judge_plan(self, text: str) -> Judged:
        """As if a person had written it, but for what a plan of ours may not say."""
        try:
            known = self.revision
            around = Around(known.needable, known.taken) if known else ALONE
            plan = read_plan(None, text.encode("utf-8", "replace"), around)
        except InputError as error:
            return Judged(problems=str(error))
        if ours := [todo.id for todo in plan.todos if RESERVED.fullmatch(todo.id)]:
            return Judged(problems=f"{ours[0]} is a TODO of Atlas's own; take another id")
        said = plan.model_fields_set - {"atlas", "name", "goal", "todos", "concurrency"}
        if said or not plan.todos:
            return Judged(problems=f"leave out: {', '.join(sorted(said))}" if said else "it has no todos")
        if not self.repository and (coding := [todo.id for todo in plan.todos if todo.role]):
            return Judged(problems=f"{coding[0]}: the run has no repository, so no role has anything to change")
        if pushing := [todo.id for todo in plan.todos if todo.kind == "push"]:
            return Judged(problems=f"{pushing[0]}: only a person's plan may push")
        if hiding := [todo.id for todo in plan.todos if todo.secrets or todo.inputs or todo.outputs]:
            return Judged(problems=f"{hiding[0]}: secrets, inputs and outputs are for people's plans")
        if long := [todo.id for todo in plan.todos if (todo.timeout or 0) > _LONGEST or _retries(todo) > _RETRIES]:
            return Judged(
                problems=f"{long[0]}: a timeout over a day or more than {_RETRIES} retries are for people to give"
            )
        if reaching := [todo.id for todo in plan.todos if todo.resources.network]:
            return Judged(
                problems=f"{reaching[0]}: a network is for people's plans to give; leave out resources.network"
            )
        canon = canonical(plan)
        return Judged(plan=canon, hash=canonical_hash(canon))

    async def answered(self, key: str) -> Answered | None:
        """By a person."""

        def find(session: Session) -> Answered | None:
            asked = session.exec(
                select(Question).where(Question.todo_id == self.record.claim.todo, Question.key == key)
            )
            found = asked.first()
            if found is None or found.state != "answered":
                return None
            return Answered(found.answer or "", found.answered_by or "somebody")

        return await self.store.read(find)

    async def _command(self, argv: Sequence[str], timeout: float, write: WriteOutput) -> Exit:
        """For the toolbox, to which every error is but a failed call: hence one is kept that the attempt ends with."""
        assert self.prover, "only work runs commands"  # noqa: S101
        try:
            return await self.prover.run(argv, self.directory, timeout, write)
        except (SandboxError, LeaseLost, OSError) as error:
            if not isinstance(error, OSError) or error.errno in SHORT | FULL:
                self._trouble = error
            raise

    async def _start_over(self, *, conflict: bool) -> None:
        """When Oracle said so, or what was there can't be merged: before the work of this attempt begins."""
        known: dict[str, Any] = outcome_of(self.record.standing)
        if not self.workspace or known.get("started_over") or not (conflict or known.get("start_over")):
            return
        _, head = await self.workspace.repository.head()
        await self.workspace.start_over(head)
        kept = json.dumps(known | {"started_over": True})
        await self.record.remember(standing=self.record.stands(base=head, snapshot=head, outcome=kept))


def _cut(found: Diff) -> str:
    return found.text + ("\n(cut)" if found.truncated else "")


def _told(found: Evidence) -> str:
    what = found.command or found.item
    how = "passes" if found.passed else f"fails (exit code {found.exit_code})"
    return f"{what}: {how}\n{found.output_tail.strip()}"
