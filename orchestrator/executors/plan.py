"""Carries out the planning TODO of a goal's run: Prometheus drafts, Metis reviews, and what is frozen becomes TODOs."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Session

from orchestrator.agents.driving import result_of, take_up
from orchestrator.agents.house_desk import HouseDesk
from orchestrator.agents.workspace import Repository
from orchestrator.executors.agent import Thinking
from orchestrator.executors.task import BELT_SECONDS, Surroundings, as_result
from orchestrator.executors.workplace import remove_directory
from orchestrator.plan.document import Plan
from orchestrator.plan.reading import read_plan
from orchestrator.plan.todos import gated, new_todos, report_todo
from orchestrator.run_spec import RunSpec
from orchestrator.verification import evidence
from roles.record import Record
from roles.rulings import outcome_of
from state import reading
from state.commands import Claimed
from state.errors import AtlasError
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
                stack.push_async_callback(asyncio.to_thread, remove_directory, scratch)
                run, document = await around.store.read(lambda session: _of_run(session, claim.run))
                record = await take_up(thinking.dispatch, claim)
                directory = await self._look(claim.run, run, scratch)
                desk = HouseDesk(
                    record, around.store, thinking.models, run.models, Path(run.directory or thinking.home), stack,
                    directory,
                )  # fmt: skip
                drive = thinking.drive(claim, record, desk)
                stop = await drive.run("plan")
                return result_of(stop) or await _Frozen(claim, record, desk, run, document, around.boot).result()
        except TimeoutError:
            return Failure("timeout", f"no plan within {claim.timeout:g} s")
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


def _of_run(session: Session, id: str) -> tuple[RunSpec, str]:
    row = session.get_one(Run, id)
    return RunSpec.from_json(row.spec), reading.plan(session, id).document


@dataclass(slots=True)
class _Frozen:
    """A plan that Metis has judged. `document` is the goal's, whose budget, models and defaults go on holding."""

    claim: Claimed
    record: Record
    desk: HouseDesk
    run: RunSpec
    document: str
    boot: str

    async def result(self) -> Result:
        """Its TODOs, if it was approved, or a person accepts it as it is."""
        known = outcome_of(self.record.standing)
        if not known.get("approved"):
            key = f"findings/{known['hash']}"
            answer = await self.desk.answered(key)
            if answer is None:
                return Asked(key, _findings(known), [ACCEPT, REJECT])
            if answer.answer != ACCEPT:
                return Failure("rejected", f"{answer.by} rejected the plan: {_findings(known)}")
            known |= {"accepted_by": answer.by}
        planned, whole = self._whole(known["plan"])
        if self.run.plan_only:
            return Planned(self._evidence(known, planned), whole, known["hash"], [])
        todos = new_todos(planned, None, author="model")
        if self.run.approve == "ask":
            todos = gated(todos, f"Carry out this plan? {_outline(planned)}")
        todos = [*todos, report_todo(todos)]
        return Planned(self._evidence(known, planned), whole, known["hash"], todos)

    def _whole(self, text: str) -> tuple[Plan, str]:
        """The plan with what the goal's document settled."""
        goal: dict[str, Any] = json.loads(self.document)
        draft: dict[str, Any] = json.loads(text)
        whole = {**goal, "todos": draft["todos"]}
        if "concurrency" in draft:
            whole["concurrency"] = min(draft["concurrency"], goal.get("concurrency", draft["concurrency"]))
        canon = json.dumps(whole, ensure_ascii=False)
        return read_plan(None, canon.encode()), canon

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
