"""What the store is believed to do, in plain dicts: no counters, no SQL, nothing of `state.decisions`.

A command (`store_model_rules`) changes what it names; whatever follows from that is found by looking at every edge
again (`Model.follow`), until nothing more follows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
Tables = dict[str, list[Row]]
OWNED = ("in_progress", "verifying")
ENDED = ("completed", "failed", "cancelled", "skipped", "not_applicable")
QUEUE, ANY_END = "queue", "*"


@dataclass(slots=True)
class Model:
    """The tables as they should be; `woken` is what the last command has made claimable."""

    now: float
    runs: dict[str, Row] = field(default_factory=dict[str, Row])
    todos: dict[str, Row] = field(default_factory=dict[str, Row])
    questions: list[Row] = field(default_factory=list[Row])
    calls: dict[str, Row] = field(default_factory=dict[str, Row])
    outputs: dict[tuple[str, int, str], bool] = field(default_factory=dict[tuple[str, int, str], bool])
    """(TODO, fence, name) -> whether it was published"""
    outbox: set[str] = field(default_factory=set[str])
    submitted: dict[str, str] = field(default_factory=dict[str, str])
    sinks: dict[str, tuple[str, float, float]] = field(default_factory=dict[str, tuple[str, float, float]])
    """(who tells it, until when, what ended before has been told)"""
    cursors: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    woken: set[str] = field(default_factory=set[str])

    # --- looking -----------------------------------------------------------------------------------------------------

    def of(self, run: str) -> list[tuple[str, Row]]:
        """The TODOs of a run, by id."""
        return [(id, todo) for id, todo in self.todos.items() if todo["run"] == run]

    def open_question(self, todo: str) -> Row | None:
        """What its person is being asked."""
        return next((each for each in self.questions if each["todo"] == todo and each["state"] == "pending"), None)

    def counted(self, run: str) -> list[str]:
        """The states that the run's follows from. A report counts only while somebody has to do with it."""
        return [
            todo["state"]
            for _, todo in self.of(run)
            if todo["kind"] != "report" or todo["state"] in ("ready", *OWNED)
        ]  # fmt: skip

    def run_state(self, id: str) -> str:
        """Read off its TODOs."""
        run, states = self.runs[id], set(self.counted(id))
        moving, asking = states & {"ready", *OWNED}, "awaiting_input" in states
        rules = (
            (run["cancelled"], "cancelled"),
            ((moving or asking) and run["exhausted"], "budget_exhausted"),
            ((moving or asking) and run["held"], "held"),
            (moving and run["planning"], "planning"),
            (moving, "in_progress"),
            (asking, "awaiting_input"),
            ("blocked" in states, "blocked"),
            (states & {"failed", "skipped"}, "failed"),
        )
        return next((state for holds, state in rules if holds), "completed")

    def claimable(self, id: str, placement: str, labels: Iterable[str]) -> bool:
        """Whether a worker there, with these labels, may take it now."""
        todo = self.todos[id]
        run = self.runs[todo["run"]]
        busy = [other for _, other in self.of(todo["run"]) if other["state"] in OWNED]
        return (
            todo["state"] == "ready"
            and todo["due"] <= self.now
            and run["placement"] == placement
            and not (run["held"] or run["cancelled"] or run["exhausted"])
            and len(busy) < run["concurrency"]
            and (todo["lane"] is None or todo["lane"] not in [other["lane"] for other in busy])
            and set(todo["labels"]) <= set(labels)
        )

    def spent(self, run: str) -> tuple[int, int]:
        """(tokens that are gone or may be, tokens that calls in flight hold)"""
        calls = [call for call in self.calls.values() if call["run"] == run]
        sure = [max(call["most"], call["used"]) if call["unsure"] else call["used"] for call in calls if call["ended"]]
        return sum(sure), sum(call["most"] for call in calls if not call["ended"])

    def standing(self, need: str, wanted: str | None) -> str:
        """What a need means for who needs it."""
        todo = self.todos[need]
        if wanted == ANY_END:
            return "met" if todo["state"] in ENDED else "open"
        if todo["state"] in ("failed", "skipped", "cancelled"):
            return "bad"
        if todo["state"] == "completed":
            return "met" if wanted in (None, todo["answer"]) else "moot"
        return "moot" if todo["state"] == "not_applicable" else "open"

    def standings(self, todo: Row) -> set[str]:
        """Of all its needs."""
        return {self.standing(need, wanted) for need, wanted in todo["needs"]}

    # --- what follows ------------------------------------------------------------------------------------------------

    def follow(self, run: str) -> None:
        """Whatever waits begins or will never begin, until nothing more follows."""
        moved = True
        while moved:
            moved = False
            for id, todo in self.of(run):
                if todo["state"] != "pending":
                    continue
                standings = self.standings(todo)
                if "bad" in standings:
                    todo["state"] = "skipped"
                elif "moot" in standings:
                    todo["state"] = "not_applicable"
                elif "open" not in standings:
                    self.begin(id)
                moved = moved or todo["state"] != "pending"

    def begin(self, id: str) -> None:
        """Its needs are met: somebody may claim it, or is asked."""
        todo = self.todos[id]
        if todo["kind"] == "ask":
            self.ask(id, None, todo["choices"], todo["expires"])
        else:
            self.wake(id)

    def ask(self, id: str, key: str | None, choices: list[str], expires: float | None) -> None:
        """A person is asked, and nobody works on it."""
        todo = self.todos[id]
        self.leave(todo, "awaiting_input")
        self.questions.append(
            {
                "id": None, "todo": id, "key": key, "epoch": todo["epoch"], "state": "pending", "answer": None,
                "choices": choices, "expires": self.now + expires if expires else None,
            }
        )  # fmt: skip

    def wake(self, id: str) -> None:
        """Claimable, from now on or again."""
        self.leave(self.todos[id], "ready")
        self.tell(id)

    def tell(self, id: str) -> None:
        """Somebody may claim it: other processes hear of it by the outbox."""
        self.woken.add(id)
        if self.runs[self.todos[id]["run"]]["placement"] == QUEUE:
            self.outbox.add(id)

    def leave(self, todo: Row, state: str) -> None:
        """Nobody is at it any more."""
        todo["state"], todo["owner"] = state, None

    def measure(self, id: str) -> None:
        """Time goes by for what is in progress."""
        run, going = self.runs[id], self.run_state(id) in ("planning", "in_progress")
        if going and run["since"] is None:
            run["since"] = self.now
        elif not going and run["since"] is not None:
            run["worked"], run["since"] = run["worked"] + self.now - run["since"], None
