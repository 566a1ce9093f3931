"""Carries out a planning TODO, a goal's first or a later one: Prometheus drafts, Metis reviews, what is frozen becomes
TODOs."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Session

from mcp_servers.storage.clearing import discard
from orchestrator.agents.driving import result_of, storage_away, take_up
from orchestrator.agents.house_desk import HouseDesk
from orchestrator.agents.records import rendered
from orchestrator.agents.workspace import Repository
from orchestrator.executors.agent import Thinking
from orchestrator.executors.task import BELT_SECONDS, Surroundings, as_result
from orchestrator.plan.checks import ALONE, Around
from orchestrator.plan.document import Plan
from orchestrator.plan.reading import canonical_tree, read_plan
from orchestrator.plan.todos import gated, new_todos, report_todo
from orchestrator.replanning import Revision, one_after_the_other, revised, revision_of
from orchestrator.run_spec import RunSpec
from orchestrator.verification import evidence
from roles.rulings import outcome_of
from state import reading
from state.commands import Claimed, NewTodo
from state.errors import AtlasError, RemoteUnavailable
from state.ports import Asked, Failure, Planned, Reporter, Result
from state.records import Evidence
from state.tables import Run

ACCEPT, REJECT = "accept", "reject"


class PlanExecutor:
    """`state.ports.Executor` for kind ``plan``."""

    def __init__(self, around: Surroundings, thinking: Thinking) -> None:
        self._around = around
        self._thinking = thinking

    async def execute(self, claim: Claimed, report: Reporter) -> Result:
        around, thinking = self._around, self._thinking
        scratch = around.work / f"{claim.todo}-{claim.fence}"
        scratch.mkdir(parents=True, mode=0o700)
        try:
            async with asyncio.timeout(claim.timeout + BELT_SECONDS), AsyncExitStack() as stack:
                stack.push_async_callback(asyncio.to_thread, discard, scratch)
                run, document, revision, told = await around.store.read(lambda session: _of_run(session, claim))
                record = await take_up(thinking.dispatch, claim)
                directory = await self._look(claim.run, run, scratch)
                desk = HouseDesk(
                    record, around.store, thinking.models, run.models, Path(run.directory or thinking.home), stack,
                    directory, records=told, revision=revision, repository=run.repository is not None,
                )  # fmt: skip
                drive = thinking.drive(claim, record, desk)
                stop = await drive.run("plan")
                return result_of(stop) or await _Frozen(claim, desk, run, document, around.boot).result()
        except TimeoutError:
            return Failure("timeout", f"no plan within {claim.timeout:g} s")
        except RemoteUnavailable as error:
            return await storage_away(self._thinking.dispatch, claim, self._thinking.bounds, error)
        except AtlasError as error:
            return as_result(error)

    async def _look(self, id: str, run: RunSpec, scratch: Path) -> Path:
        """What the roles look around in: the repository, if there is one."""
        directory = scratch / "work"
        if run.repository is None:
            directory.mkdir()
            return directory
        around, thinking = self._around, self._thinking
        repository = await Repository.open(id, run.repository, around.store, around.artifacts, thinking.repositories)
        _, head = await repository.head()
        await repository.here.checkout(head, directory)
        return directory


def _of_run(session: Session, claim: Claimed) -> tuple[RunSpec, str, Revision | None, str]:
    row = session.get_one(Run, claim.run)
    revision = revision_of(session, claim.run, claim.todo, claim.document)
    told = rendered(session, claim.run) if revision else ""
    return RunSpec.from_json(row.spec), reading.plan(session, claim.run).document, revision, told


@dataclass(slots=True)
class _Frozen:
    """A plan that Metis has judged. `document` is the one before, whose budget, models and defaults go on holding."""

    claim: Claimed
    desk: HouseDesk
    run: RunSpec
    document: str
    boot: str

    async def result(self) -> Result:
        """Its TODOs, if it was approved, or a person accepts it as it is."""
        known = outcome_of(self.desk.record.standing)
        if not known.get("approved"):
            key = f"findings/{self.claim.epoch}/{self.claim.attempt}/{known['hash']}"
            answer = await self.desk.answered(key)
            if answer is None:
                return Asked(key, _findings(known), [ACCEPT, REJECT])
            if answer.answer != ACCEPT:
                return Failure("rejected", f"{answer.by} rejected the plan: {_findings(known)}")
            known |= {"accepted_by": answer.by}
        revision = await self.desk.store.read(self._found)
        draft: dict[str, Any] = json.loads(known["plan"])
        settled = self._settled(draft)
        tree = {**settled, "todos": draft["todos"]}
        whole = revised(settled, draft["todos"], revision) if revision else canonical_tree(tree)
        around = Around(revision.needable) if revision else ALONE
        planned = read_plan(None, json.dumps(tree, ensure_ascii=False).encode(), around)
        if self.run.plan_only:
            return Planned(self._evidence(known, planned), whole, known["hash"], [])
        return Planned(self._evidence(known, planned), whole, known["hash"], self._todos(planned, revision))

    def _todos(self, planned: Plan, revision: Revision | None) -> list[NewTodo]:
        """What follows, in the run as it is by now."""
        host = "host" if self.run.host_allowed else None
        todos = new_todos(planned, None, host, "model", revision.needable if revision else None)
        if revision:
            one_after_the_other(todos, revision)
        if self.run.approve == "ask":
            todos = gated(todos, f"Carry out this plan? {_outline(planned)}", self.claim.key)
        if revision is None or not revision.reported:
            todos = [*todos, report_todo(todos, revision.everything if revision else ())]
        return todos

    def _found(self, session: Session) -> Revision | None:
        return revision_of(session, self.claim.run, self.claim.todo, self.claim.document)

    def _settled(self, draft: dict[str, Any]) -> dict[str, Any]:
        """The document before, but for its TODOs."""
        settled: dict[str, Any] = json.loads(self.document)
        if "concurrency" in draft:
            settled["concurrency"] = min(draft["concurrency"], settled.get("concurrency", draft["concurrency"]))
        return settled

    def _evidence(self, known: dict[str, Any], planned: Plan) -> list[Evidence]:
        by = f"worker {self.boot[-8:]}"
        parsed = json.dumps({"plan": known["hash"]})
        digest = f"sha256:{known['hash']}"
        items = [evidence(parsed, True, None, None, f"TODOs: {len(planned.todos)}", digest, by, 0.0)]
        verdict = _findings(known) if known.get("findings") else "approved"
        who = f"role metis, accepted by {known['accepted_by']}" if "accepted_by" in known else "role metis"
        said = f"sha256:{hashlib.sha256(verdict.encode()).hexdigest()}"
        review = json.dumps({"review": "metis", "plan": known["hash"], "rounds": known["rounds"]})
        items.append(evidence(review, True, None, None, verdict, said, who, 0.0))
        for item in items:
            item.subject = digest
        return items


def _findings(known: dict[str, Any]) -> str:
    lines = (f"- {each['where']}: {each['what']}" for each in known.get("findings", ()))
    return f"After {known['rounds']} rounds Metis still finds:\n" + "\n".join(lines)


def _outline(plan: Plan) -> str:
    lines = "\n".join(f"- {todo.id}: {todo.title or todo.id}" for todo in plan.todos[:50])
    return f"{len(plan.todos)} TODOs:\n{lines}"
