"""What this worker can't do now, though the TODO is as good as any other: its host is short of something, its engine or
a store is away, the TODO was written by a newer Atlas. Another worker may be able to, or this one later."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from mcp_servers.git.program import GitError
from orchestrator.dispatch import Dispatch
from orchestrator.enforcer import BACKOFF_LIMIT, BACKOFF_SECONDS, ERRORS
from state import reading
from state.commands import Claimed, Say
from state.errors import FULL, SHORT, EngineAway, NewerDocument, RemoteUnavailable, StoreError
from state.limits import POLL_SECONDS
from state.ports import Blockage, Deferral, Reporter, Result
from state.records import QUEUE, BlockReason
from state.stored import UPGRADE

log = logging.getLogger(__name__)

_LONGEST_REST = 16.0
_PASSING, _PASSING_SECONDS = 60, 2.0
"""How often in a row, and after how long, what passes by itself is tried again: with each try some get through."""
_TOLD = 300
"""Characters of the reason that watchers are told."""


@dataclass(frozen=True, slots=True)
class Hindrance:
    """`host`: whatever this worker takes next meets it too. `passing`: it ends by itself, as others end."""

    what: str
    reason: BlockReason
    host: bool = True
    passing: bool = False


def hindrance(error: BaseException) -> Hindrance | None:
    """What an error says of this worker; None: nothing."""
    match error:
        case OSError() if error.errno in FULL:
            return _full(str(error.filename or ""))
        case GitError() if "No space left on device" in error.message or "Disk quota exceeded" in error.message:
            return _full(error.message)
        case OSError() if error.errno in SHORT:
            return _short(f"of descriptors, processes or memory: {error}")
        case RuntimeError() if "can't start new thread" in str(error):
            return _short("of threads")
        case EngineAway():
            return Hindrance(str(error), error.blocks)
        case RemoteUnavailable():
            cause = error.__cause__  # a store on this host's own disk
            return Hindrance(str(error), "store", host=isinstance(cause, OSError) and cause.errno in FULL | SHORT)
        case NewerDocument():
            return Hindrance(str(error), "input", host=False)
        case _:
            return None


def _short(of: str) -> Hindrance:
    return Hindrance(f"this worker is short {of}", "sandbox", passing=True)


def _full(where: str) -> Hindrance:
    return Hindrance("no space left on this worker's disk" + (where and f": {where}"), "store")


async def put_off(dispatch: Dispatch, claim: Claimed, found: Hindrance, placement: str) -> Result:
    """It goes on later, where it stands and wherever that may be: 5 s from now, twice as long each time, and blocked at
    the seventh time in a row; 2 s for what passes by itself. Whoever waits for a run of his own process is told at once
    of what does not pass; but what a role has done so far was paid for, and for a store it waits."""
    blockage = Blockage(found.reason, found.what)
    if placement != QUEUE and not found.passing and not (claim.kind != "task" and found.reason == "store"):
        return blockage
    try:
        times = 1 + await dispatch.store.read(lambda session: reading.times_hindered(session, claim.todo))
        if times > (_PASSING if found.passing else ERRORS):
            return blockage
        after = _PASSING_SECONDS if found.passing else min(BACKOFF_SECONDS * 2 ** (times - 1), BACKOFF_LIMIT)
        told = json.dumps({"text": f"waits {after:g} s: {found.what}"[:_TOLD]}, ensure_ascii=False)
        await dispatch.one(Say(claim.todo, claim.fence, "todo.progress", told))
    except StoreError:  # whatever it was, the database is away as well
        return Deferral("waiting", POLL_SECONDS)
    return Deferral("hindered", after)


class Rest:
    """Of a worker whose host is in trouble. It takes nothing for a while, longer each time, then one TODO: it would
    come to nothing with all that there is, at once, while others could do it."""

    def __init__(self) -> None:
        self._times = 0
        self._until = 0.0
        self.why: str | None = None
        """What it rests for; None: it does not."""

    def begin(self, why: str) -> None:
        """Something was hindered; what else is hindered at the same time counts once."""
        now = time.monotonic()
        if now < self._until:
            return
        wait = min(2.0**self._times, _LONGEST_REST)
        self._times, self._until, self.why = self._times + 1, now + wait, why
        log.warning("%s; this worker takes nothing for %g s", why, wait)

    def over(self, began: float) -> None:
        """What began then (`time.monotonic`) was not hindered."""
        if self.why is not None and began >= self._until:
            self._times, self.why = 0, None

    @property
    def now(self) -> bool:
        """Whether it takes nothing."""
        return self.why is not None and time.monotonic() < self._until

    def slots(self, free: int, began: Iterable[float]) -> int:
        """Of so many free ones, those to be used, where what is in progress `began` then."""
        if self.why is None:
            return free
        return 0 if self.now or any(each >= self._until for each in began) else min(free, 1)


class _Unknown:
    """`state.ports.Executor` of kinds that this version does not have."""

    async def execute(self, claim: Claimed, report: Reporter) -> Result:
        raise NewerDocument(f"{claim.key} is of a kind that this version of Atlas does not know: {claim.kind}", UPGRADE)


UNKNOWN = _Unknown()
