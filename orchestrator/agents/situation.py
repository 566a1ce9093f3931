"""What a brief needs to know, from the database."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlmodel import Session, col, select

from orchestrator.agents.briefs import Situation
from orchestrator.plan.agent_spec import AgentSpec
from orchestrator.replanning import Revision
from roles.record import Record
from roles.rulings import outcome_of
from state.agent_tables import AgentRow, NoteRow
from state.ports import Store
from state.tables import Attempt, EvidenceRow, Run, Todo


async def situation(
    store: Store, record: Record, diff: str = "", records: str = "", revision: Revision | None = None
) -> Situation:
    """As it is now."""

    def read(session: Session) -> Situation:
        claim = record.claim
        run, todo = session.get_one(Run, claim.run), session.get_one(Todo, claim.todo)
        before = _attempt_before(session, claim.todo, claim.epoch, claim.attempt)
        outcome = outcome_of(record.standing)
        return Situation(
            goal=run.goal or "",
            key=claim.key,
            title=todo.title,
            spec=AgentSpec.from_json(claim.document) if claim.kind == "agent" else None,
            notes=notes(session, claim.run),
            failed=_failed(session, before) if before else (),
            reason=(before.detail or before.reason or "") if before else "",
            conflict=before is not None and before.reason == "conflict",
            before=_stood(session, before) if before else None,
            diff=diff,
            revision=revision,
            outcome=outcome,
            attempt=claim.attempt,
            plan=_readable(outcome.get("plan", "")),
            records=records,
        )

    return await store.read(read)


def notes(session: Session, run: str) -> list[tuple[str, str]]:
    """(kind, text), oldest first."""
    rows = session.exec(select(NoteRow).where(NoteRow.run_id == run).order_by(col(NoteRow.id)))
    return [(row.kind, row.text) for row in rows]


def _attempt_before(session: Session, todo: str, epoch: int, attempt: int) -> Attempt | None:
    """The claim in which the attempt before this one failed."""
    if attempt == 0:
        return None
    query = select(Attempt).where(
        Attempt.todo_id == todo, Attempt.epoch == epoch, Attempt.attempt == attempt - 1, Attempt.outcome == "failed"
    )
    return session.exec(query.order_by(col(Attempt.fence).desc())).first()


def _stood(session: Session, before: Attempt) -> tuple[str, str] | None:
    """Where that attempt began, and what it left."""
    row = session.get(AgentRow, (before.todo_id, before.epoch, before.attempt))
    return (row.base, row.snapshot) if row and row.base and row.snapshot else None


def _failed(session: Session, before: Attempt) -> Sequence[tuple[str, str]]:
    query = select(EvidenceRow).where(EvidenceRow.todo_id == before.todo_id, EvidenceRow.fence == before.fence)
    rows = session.exec(query.order_by(col(EvidenceRow.number)))
    return [(row.command or row.item, row.output_tail) for row in rows if not row.passed]


def _readable(plan: str) -> str:
    return json.dumps(json.loads(plan), indent=1, ensure_ascii=False) if plan else ""
