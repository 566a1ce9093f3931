"""A run as plain text, from SQL alone: what the Librarian writes a report from, and the report where no model may."""

from __future__ import annotations

import json

from sqlmodel import Session, col, select

from orchestrator.agents.situation import notes
from state import reading
from state.agent_tables import BudgetRow
from state.tables import EvidenceRow, Run, Todo

_NANO = 1_000_000_000
_TAIL = 400


def rendered(session: Session, id: str) -> str:
    """Markdown. Every claim has its evidence: ``[evidence TODO/fence/number]``."""
    run = session.get_one(Run, id)
    todos = [todo for todo in reading.todos(session, id) if todo.kind != "report"]
    parts = [f"# {run.name}"]
    if run.goal:
        parts.append(f"Goal: {run.goal.strip()}")
    settled = sum(todo.state == "completed" for todo in todos)
    applicable = sum(todo.state != "not_applicable" for todo in todos)
    parts.append(f"{settled} of {applicable} TODOs that apply are completed.")
    parts += [_todo(session, todo) for todo in todos]
    if found := notes(session, id):
        parts.append("## Notes\n\n" + "\n".join(f"- {kind}: {text}" for kind, text in found))
    parts.append(_spent(session, id, run))
    return "\n\n".join(parts) + "\n"


def _todo(session: Session, todo: Todo) -> str:
    lines = [f"## {todo.key}: {todo.state}", "", todo.title]
    if todo.reason:
        lines.append(f"Reason: {todo.reason}: {todo.detail or ''}")
    if todo.reason == "replanned" and (tried := reading.attempts(session, todo.id)):
        lines.append(f"Before, it was {tried[-1].outcome}: {tried[-1].reason or ''}: {tried[-1].detail or ''}")
    for row in reading.evidence(session, todo.id):
        lines.append(_evidence(todo, row))
    return "\n".join(lines)


def _evidence(todo: Todo, row: EvidenceRow) -> str:
    what = row.command or json.dumps(json.loads(row.item), ensure_ascii=False)
    how = "passed" if row.passed else f"failed (exit code {row.exit_code})" if row.command else "failed"
    tail = " ".join(row.output_tail.split())[-_TAIL:]
    return f"- [evidence {todo.key}/{row.fence}/{row.number}] `{what}` {how}, by {row.verifier}: {tail}"


def _spent(session: Session, id: str, run: Run) -> str:
    budget = session.exec(select(BudgetRow).where(col(BudgetRow.run_id) == id)).first()
    if budget is None:
        return "No model was asked."
    head = f" The branch is at {run.head}." if run.head else ""
    return (
        f"{budget.calls} calls of models used {budget.tokens:,} tokens ({budget.cached:,} of them cached), "
        f"${budget.nano / _NANO:.4f}.{head}"
    )
