"""One batch of commands in one transaction, on any engine: admit, then load -> decide -> flush.

A command that an engine refuses after all, or on which a decision trips, must not sink its neighbours. Which one it
was, is not known from the error: the transaction is undone and carried out once more, in halves under savepoints, until
the bad command stands alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from state.admission import unstorable
from state.agent_commands import ForgetThreads
from state.commands import ClaimNext, Command, Outcome, Refused
from state.decisions import decide
from state.errors import StoreError
from state.failpoints import failpoint
from state.kept import Kept
from state.loading import Rows, load
from state.work import Work

log = logging.getLogger(__name__)


class Engine(Protocol):
    """What a database must be able to do. Used by one thread."""

    @property
    def kept(self) -> Kept:
        """What is known without reading: true inside `transaction`, emptied when that, or a `part` of it, is undone."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Begin, commit; on any error undo. Trouble of the database is a `StoreError`."""
        ...

    def part(self) -> AbstractContextManager[None]:
        """A savepoint: undone on an error, which goes on."""
        ...

    def rows(self, *, first: bool) -> Rows:
        """Reads of the open transaction. `first`: it holds no locks yet, so it may wait for some."""
        ...

    def flush(self, work: Work) -> None:
        """Write, by the end of the transaction or `part` at the latest. A guarded row that is not as it was read is an
        error then, and not the database's: see `failure`."""
        ...

    def failure(self, error: BaseException) -> StoreError | None:
        """What the database itself suffers from; None when the error is about the data, or Atlas's own."""
        ...


def transact(engine: Engine, commands: Sequence[Command], new_id: Callable[[], str]) -> list[Outcome]:
    """Carry out the commands, durably. After a `StoreError` nothing of them was written."""
    refused = {place: Refused("invalid", why) for place, command in enumerate(commands) if (why := unstorable(command))}
    admitted = [command for place, command in enumerate(commands) if place not in refused] if refused else commands
    try:
        with engine.transaction():
            outcomes = _carry_out(engine, admitted, new_id, first=True)
            failpoint("store.before_commit")
    except StoreError:
        raise
    except Exception:
        with engine.transaction():
            outcomes = _in_halves(engine, admitted, new_id, first=True)
            failpoint("store.before_commit")
    failpoint("store.after_commit")
    if not refused:
        return outcomes
    others = iter(outcomes)
    return [refused[place] if place in refused else next(others) for place in range(len(commands))]


def _carry_out(engine: Engine, commands: Sequence[Command], new_id: Callable[[], str], *, first: bool) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for segment in _segments(commands):
        work = Work(new_id)
        load(work, segment, engine.rows(first=first and not outcomes), engine.kept)
        outcomes += [decide(work, command) for command in segment]
        engine.flush(work)
        engine.kept.keep(work)
    return outcomes


def _segments(commands: Sequence[Command]) -> Iterator[Sequence[Command]]:
    """`ClaimNext` looks for rows by their state, `ForgetThreads` for the newest: what comes before them must be written
    first."""
    start = 0
    for place, command in enumerate(commands):
        if isinstance(command, ClaimNext | ForgetThreads):
            if start < place:
                yield commands[start:place]
            yield commands[place : place + 1]
            start = place + 1
    if start < len(commands):
        yield commands[start:] if start else commands


def _in_halves(engine: Engine, commands: Sequence[Command], new_id: Callable[[], str], *, first: bool) -> list[Outcome]:
    try:
        with engine.part():
            return _carry_out(engine, commands, new_id, first=first)
    except Exception as error:
        if engine.failure(error):
            raise
        if len(commands) == 1:
            whose = {"todo": getattr(commands[0], "todo", None), "run": getattr(commands[0], "run", None)}
            log.warning("refused %s: %s", type(commands[0]).__name__, error, exc_info=True, extra=whose)
            return [Refused("invalid", str(error) or type(error).__name__)]
    middle = len(commands) // 2
    before = _in_halves(engine, commands[:middle], new_id, first=first)
    return before + _in_halves(engine, commands[middle:], new_id, first=False)
