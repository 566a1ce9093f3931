"""Conversations with clients of a server: how many there may be, and that each ends when it should.

One ends when its client goes, when its token counts no more, when the same client comes back to it, and when the server
is told to stop; nothing of it is left then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.tasks import ended
from orchestrator.tokens import Caller
from state.errors import StoreError
from voice.chronicle import Chronicle, Entry
from voice.desk import Speaker
from voice.memory import give_back
from voice.saying import Saying
from voice.sessions import Means, Session
from voice.transports.line import Farewell, Line
from voice.wire import Wire
from voice.wishes import Bounds, Full, Wish

log = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 5.0
Still = Callable[[], Awaitable[bool]]


@dataclass(eq=False, slots=True)
class Visit:
    """A conversation that is to be, or is. `over`: nothing of it is left."""

    caller: Caller
    conversation: str
    over: asyncio.Event = field(default_factory=asyncio.Event)
    farewell: Farewell | None = None
    task: asyncio.Task[None] | None = None

    def end(self, farewell: Farewell) -> None:
        """`over` follows."""
        if self.farewell is None:  # else it ends already, and is not to be disturbed
            self.farewell = farewell
            if self.task is not None:
                self.task.cancel()


class Visits:
    """Of one server."""

    def __init__(self, means: Means, bounds: Bounds) -> None:
        self._means = means
        self._bounds = bounds
        self._visits: set[Visit] = set()
        self._making = asyncio.Lock()
        self._closed = False

    @property
    def open(self) -> int:
        """How many there are, those that are being made or ended too."""
        return len(self._visits)

    async def admit(self, caller: Caller, wish: Wish) -> Visit:
        """A place for one more; `live` or `leave` gives it back. `Full`: there is none. Who comes back to a
        conversation ends what is left of it."""
        visit = Visit(caller, wish.conversation)
        before = [
            each for each in self._visits if (each.caller.name, each.conversation) == (caller.name, wish.conversation)
        ]
        theirs = sum(each.caller.name == caller.name for each in self._visits)
        if self._closed:
            raise Full("the server is about to end", "Come again in a moment.")
        if theirs - len(before) >= self._bounds.of_one:
            raise Full(f"{caller.name} has {theirs} conversations already", "End one of them.")
        if len(self._visits) - len(before) >= self._bounds.of_all:
            raise Full(f"there are {len(self._visits)} conversations already", "Come again later.")
        self._visits.add(visit)
        try:
            for each in before:
                each.end(Farewell("this conversation goes on elsewhere"))
            for each in before:
                await each.over.wait()
        except asyncio.CancelledError:
            self.leave(visit)
            raise
        return visit

    def leave(self, visit: Visit) -> None:
        """It is not to be, or is over."""
        self._visits.discard(visit)
        visit.over.set()
        if not self._visits:
            asyncio.get_running_loop().run_in_executor(None, give_back)

    async def made(self, visit: Visit, wish: Wish, line: Line) -> Made:
        """Its conversation, which does not run yet. `EngineUnavailable`: nobody can hear, or speak."""
        async with self._making:  # in a thread, since it reads models for a second
            return await asyncio.to_thread(self._make, visit, wish, line)

    def _make(self, visit: Visit, wish: Wish, line: Line) -> Made:
        caller, changes = visit.caller, visit.caller.may("operate")
        wires: list[Wire] = []

        def tell(entry: Entry) -> None:
            wires[0].tell(entry)

        def show(sayings: Sequence[Saying]) -> None:
            wires[0].show(sayings)

        def detail(more: bool) -> None:
            session.following.progress.change_detail(more=more)

        hello = {"conversation": visit.conversation, "language": wish.language, "changes": changes}
        wires.append(Wire(hello, detail))
        session = Session(
            self._means, Speaker(caller.name, provenance=caller.provenance, changes=changes), line.ends,
            conversation=visit.conversation, choices=replace(self._means.choices, language=wish.language),
            observers=[Chronicle(tell)], rtvi=wires[0], shown=show,
        )  # fmt: skip
        return Made(session, wires[0])

    async def live(self, visit: Visit, made: Made, line: Line, still: Still) -> None:
        """Until it is over. Cancelling it ends it."""
        if visit.farewell:  # meanwhile
            try:
                await line.bye(visit.farewell)
                await line.close()
            finally:
                self.leave(visit)
            return
        visit.task = asyncio.create_task(self._live(visit, made, line, still))
        try:
            await asyncio.wait([visit.task])
            if not visit.task.cancelled() and (error := visit.task.exception()):
                log.error("a conversation of %s broke", visit.caller.name, exc_info=error)
        finally:
            try:
                await ended(visit.task)
                await line.close()
            finally:
                self.leave(visit)

    async def _live(self, visit: Visit, made: Made, line: Line, still: Still) -> None:
        revoked = asyncio.create_task(_counts_no_more(still))
        tasks = [asyncio.create_task(each) for each in (made.session.run(), line.gone(), made.wire.telling())]
        try:
            done, _ = await asyncio.wait([*tasks, revoked], return_when=asyncio.FIRST_COMPLETED)
            if revoked in done:
                visit.farewell = Farewell("this token counts no more")
            for each in done:
                each.result()
        finally:
            try:
                if visit.farewell:
                    await line.bye(visit.farewell)
            finally:
                await ended(*tasks, revoked)

    def close(self) -> None:
        """End them all."""
        self._closed = True
        for each in self._visits:
            each.end(Farewell("the server ends", again=True))

    async def closed(self) -> None:
        """Return when all have ended."""
        self.close()
        for each in list(self._visits):
            await each.over.wait()


@dataclass(frozen=True, slots=True)
class Made:
    """A conversation, and what its client's screen is told by."""

    session: Session
    wire: Wire


async def _counts_no_more(still: Still) -> None:
    while True:
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        try:
            if not await still():
                return
        except StoreError:  # which is no news of the token
            continue
