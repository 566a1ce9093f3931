"""TODOs and runs as this writer last read or wrote them, so that the next command about them need not read them again.

True only as long as nobody else has written: an engine empties it when that may have happened, and after every
transaction that was undone. Should it be wrong all the same, the guards of the writes (fence, last event) miss their
rows, and the transaction is undone and carried out again from what the tables say.
"""

from __future__ import annotations

from state.records import TERMINAL
from state.work import RunState, TodoState, Work

ENOUGH = 20_000
"""TODOs, of some 400 bytes each; when there are more, it starts over."""


class Kept:
    """See the module. Used by one thread, inside transactions."""

    __slots__ = ("runs", "todos")

    def __init__(self) -> None:
        self.todos: dict[str, TodoState] = {}
        self.runs: dict[str, RunState] = {}

    def forget(self) -> None:
        """Others may have written, or what was written has been undone."""
        self.todos.clear()
        self.runs.clear()

    def keep(self, work: Work) -> None:
        """`work` has been flushed. What has ended is hardly asked for again."""
        if len(self.todos) + len(work.todos) > ENOUGH:
            self.forget()
        for id, todo in work.todos.items():
            if todo.state in TERMINAL:
                self.todos.pop(id, None)
            else:
                todo.loaded_fence = todo.fence
                self.todos[id] = todo
        for id, run in work.runs.items():
            if run.ended_at is None:
                run.loaded_event, run.percent = run.last_event, -1
                self.runs[id] = run
            else:
                self.runs.pop(id, None)
