"""What a watcher knows of a run: put together from the TODO list and the events that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.views import EventView, RunView, Spend, TodoView

ACTIVE = frozenset(("in_progress", "verifying"))
LOST = {"died": "its worker died", "lease_lost": "its worker did not answer"}
ENDED = frozenset(("completed", "failed", "cancelled", "skipped", "not_applicable", "blocked"))


@dataclass(slots=True)
class TodoPicture:
    """Times are seconds since the epoch. `role` is who is at work; `line` the last that was heard, `doing` the tool
    that runs or ran last; `checklist` is (state, text); `lost`: why it has just been taken from its worker."""

    id: str
    key: str
    title: str
    kind: str
    state: str
    since: float | None = None
    seconds: float | None = None
    reason: str | None = None
    detail: str | None = None
    line: str = ""
    attempt: int = 0
    role: str | None = None
    doing: str = ""
    doing_state: str = ""
    lost: str = ""
    checklist: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


@dataclass(slots=True)
class Picture:
    """A run as last heard of. `learned`: ids of the TODOs that a plan has added last, if any."""

    run: str
    name: str
    state: str
    settled: int
    total: int
    reason: str | None = None
    todos: dict[str, TodoPicture] = field(default_factory=dict[str, TodoPicture])
    spend: Spend = field(default_factory=Spend)
    learned: frozenset[str] = frozenset()

    @classmethod
    def of(cls, run: RunView, todos: Sequence[TodoView]) -> Picture:
        """As it stands before any event."""
        picture = cls(run.id, run.name, run.state, run.progress.settled, run.progress.total, run.reason)
        picture.spend = run.spend
        for todo in todos:
            started, ended = _seconds(todo.started_at), _seconds(todo.ended_at)
            picture.todos[todo.id] = TodoPicture(
                todo.id, todo.key, todo.title, todo.kind, todo.state, since=started,
                seconds=ended - started if ended and started else None, reason=todo.reason, detail=todo.detail,
                attempt=todo.attempt, role=todo.role, checklist=[(each.state, each.text) for each in todo.checklist],
            )  # fmt: skip
        return picture

    def knows(self, event: EventView) -> bool:
        """Whether the TODO that it is about is in the picture; a plan that is frozen adds some."""
        return event.todo is None or event.todo in self.todos

    def learn(self, todos: Sequence[TodoView]) -> None:
        """Put in those that are new, in the order of the plan; how they stand is for their events to tell."""
        self.learned = frozenset(todo.id for todo in todos if todo.id not in self.todos)
        for todo in todos:
            if todo.id in self.learned:
                self.todos[todo.id] = TodoPicture(todo.id, todo.key, todo.title, todo.kind, "pending", role=todo.role)
        order = {todo.id: position for position, todo in enumerate(todos)}
        self.todos = dict(sorted(self.todos.items(), key=lambda item: order.get(item[0], len(order))))

    def apply(self, event: EventView) -> TodoPicture | None:
        """Take in one event; returns the TODO that it is about."""
        data = event.data
        if event.type in ("run.state", "run.progress"):
            self.settled, self.total = data["settled"], data["total"]
            if event.type == "run.state":
                self.state, self.reason = data["to"], data.get("reason")
        todo = self.todos.get(event.todo or "")
        if todo is None:
            return None
        if event.type == "todo.state":
            self._moved(todo, event)
        elif event.type == "todo.log" and data["lines"]:
            todo.line = data["lines"][-1]
        elif event.type == "worker.took_over":
            todo.lost = LOST.get(data["cause"], "")
        elif event.type in ("todo.progress", "question.asked"):
            todo.line, todo.doing = data["text"], ""
        elif event.type.startswith("role."):
            _heard(todo, event)
        return todo

    def _moved(self, todo: TodoPicture, event: EventView) -> None:
        at = _seconds(event.at)
        state = event.data["to"]
        if state == "in_progress" or todo.since is None:
            todo.since = at
        todo.seconds = at - todo.since if state in ENDED and at and todo.since and todo.state in ACTIVE else None
        todo.state = state
        todo.reason, todo.detail = event.data.get("reason"), event.data.get("detail")
        if state == "ready" and todo.lost:
            todo.reason = todo.lost
        todo.lost = ""
        attempt = event.data.get("attempt", todo.attempt)
        if attempt != todo.attempt:
            todo.attempt, todo.checklist = attempt, []
        if state not in ACTIVE:
            todo.line = ""
        todo.doing = ""

    def counts(self) -> dict[str, int]:
        """How many TODOs are in which state."""
        counted: dict[str, int] = {}
        for todo in self.todos.values():
            counted[todo.state] = counted.get(todo.state, 0) + 1
        return counted


def _heard(todo: TodoPicture, event: EventView) -> None:
    """A role is at work."""
    data = event.data
    todo.role = data.get("role", todo.role)
    match event.type:
        case "role.turn" if data["text"]:
            todo.line, todo.doing = data["text"], ""
        case "role.tool":
            todo.doing, todo.doing_state = f"{data['tool']} {data['about']}".rstrip(), data["state"]
        case "role.checklist":
            todo.checklist = [(state, text) for state, text in data["items"]]
        case "role.note":
            todo.line, todo.doing = f"note: {data['text']}", ""
        case _:
            pass


def _seconds(moment: str | None) -> float | None:
    return datetime.fromisoformat(moment).timestamp() if moment else None
