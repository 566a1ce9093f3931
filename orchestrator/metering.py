"""What a worker tells whoever counts what it does."""

from __future__ import annotations

from typing import Literal, Protocol

from state.agent_commands import AskPerson
from state.commands import Block, Claimed, Command, Complete, ExtendRun, Fail, Outcome, Refused, Release

Settled = Literal["completed", "failed", "blocked", "retried", "released", "refused"]
"""What became of a claim. ``retried``: it failed and has attempts left; ``released``: given back without a verdict, or
left until a person answers; ``refused``: what came of it is not in SQL, since it was cancelled or another's by then, or
since the database would not have it."""


class WorkerMeter(Protocol):
    """Called in the worker's event loop; must not block and must not raise."""

    def claimed(self, claim: Claimed) -> None:
        """The TODO is this worker's, and is begun."""
        ...

    def settled(self, claim: Claimed, command: Command, outcome: Outcome) -> None:
        """The worker asked the store to let go of it with `command`. May come again after a refusal."""
        ...

    def ended(self, claim: Claimed) -> None:
        """Nothing more is done about this claim here. Comes once, whatever happened."""
        ...

    def woken(self) -> None:
        """A wake-up came from the broker."""
        ...


class Unmetered:
    """`WorkerMeter` that counts nothing."""

    def claimed(self, claim: Claimed) -> None:
        return

    def settled(self, claim: Claimed, command: Command, outcome: Outcome) -> None:
        return

    def ended(self, claim: Claimed) -> None:
        return

    def woken(self) -> None:
        return


def settled_as(command: Command, outcome: Outcome) -> Settled:
    """What the store's answer makes of a claim."""
    if isinstance(outcome, Refused):
        return "refused"
    match command:
        case Complete() | ExtendRun():
            return "completed"
        case Fail():
            return "failed" if command.retry_after is None else "retried"
        case Block():
            return "blocked"
        case Release() | AskPerson():
            return "released"
        case _:
            raise ValueError(f"{type(command).__name__} lets go of no TODO")
