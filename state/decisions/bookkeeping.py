"""Writes that no rule depends on."""

from __future__ import annotations

from state.commands import Delivered, Done, Published, Refused, WorkerEnded, WorkerStarted
from state.work import Work, encode


def delivered(work: Work, command: Delivered) -> Done:
    """The broker has these wake-ups: forget them."""
    work.wakes.difference_update(command.todos)
    work.delivered.update(command.todos)
    return Done()


def published(work: Work, command: Published) -> Done | Refused:
    """The canonical copies exist. Only what has ended has a manifest, or had one before somebody retried it."""
    todo = work.todos.get(command.todo)
    if todo is None:
        return Refused("missing", f"no TODO {command.todo}")
    if todo.state not in ("completed", "failed") and not todo.epoch:
        return Refused("not_ready", f"{todo.key} is {todo.state}; only what has ended has outputs")
    for internal in command.internals:
        work.update("published", (work.now, command.todo, command.fence, internal))
    return Done()


def worker_started(work: Work, command: WorkerStarted) -> Done:
    """A process begins to claim."""
    room = (command.room.cpus, command.room.memory) if command.room else (None, None)
    work.insert("worker", (command.worker, command.host, command.pid, encode(list(command.labels)), *room, work.now))
    return Done()


def worker_ended(work: Work, command: WorkerEnded) -> Done:
    """It ended of its own accord."""
    work.update("worker_ended", (work.now, command.worker))
    return Done()
