"""What is known of a run, as far as it can be told aloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.service import Standing
from orchestrator.views import QuestionView, RunView, TodoView

_BAD = ("failed", "blocked")


@dataclass(frozen=True, slots=True)
class Trouble:
    """A TODO that failed or is blocked. `reason` is one of `state.records`; `detail` what was written of it."""

    title: str
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run for a status. `working` are titles of what is being worked on, `asked` how many questions wait."""

    name: str
    state: str
    settled: int
    total: int
    working: Sequence[str] = ()
    troubles: Sequence[Trouble] = ()
    reason: str | None = None
    asked: int = 0
    usd: float = 0.0
    tokens: int = 0


def facts_of(run: RunView, todos: Sequence[TodoView] = (), questions: Sequence[QuestionView] = ()) -> RunFacts:
    """`questions` are those that wait, of any runs; without `todos` it is told in short."""
    return RunFacts(
        name=run.name, state=run.state, settled=run.progress.settled, total=run.progress.total,
        working=[each.title or each.key for each in todos if each.state in ("in_progress", "verifying")],
        troubles=[Trouble(each.title or each.key, each.reason, each.detail) for each in todos if each.state in _BAD],
        reason=run.reason, asked=sum(each.run == run.id and each.state == "pending" for each in questions),
        usd=run.spend.usd, tokens=run.spend.tokens,
    )  # fmt: skip


def facts_of_standing(standing: Standing, questions: Sequence[QuestionView] = ()) -> RunFacts:
    """The same, of what `Service.standing` tells."""
    return facts_of(standing.run, standing.todos, questions)
