"""Follows what happens to all runs for one conversation, by a cursor that is stored: the sink ``voice:<speaker>``.

What is promised. The stored cursor of a run stays in front of the first event that has not been said
(`Following.said`): what was waiting, merged or being spoken when the process died is told by the next conversation of
the same speaker, in one sentence (`Progress.away`); then the questions that wait are put again. So nothing is left out,
and within a conversation nothing is told twice. After a crash the saying that was being spoken may be told again, as a
part of that sentence, and so may what was said in the moment before, whose cursor was not stored yet. What was merged
away (a milestone by a later one or an outcome, a question by its answer) counts as told. A speaker who comes for the
first time is told what happens from then on.

One conversation at a time has a speaker's sink, by a lease. Another one of the same speaker says nothing unasked, and
is told so (`turned`); it goes on by itself, about a second after the first one ends, or its lease does. A client that
comes back under the same `conversation` has the lease still: whoever makes a second `Following` for it has ended the
first.

`sinks.cursor.Teller` is no help here: it reads on from what is stored, so it would wait for each saying to be spoken
before it looks for the next, and nothing could be merged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from orchestrator.sinks.cursor import SinkHold, ToldElsewhere
from orchestrator.views import QuestionView
from state import frequent, reading
from state.errors import AtlasError, StoreError
from state.ports import Store
from voice import looking
from voice.cursors import Cursors
from voice.progress import Progress
from voice.saying import Saying

log = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
"""After a crash, nobody else is told for so long."""
_POLL_SECONDS = 1.0
_GATHER_SECONDS = 0.05
"""From one look to the next, at least; what happens after a quiet time is looked for at once."""
_REST = 3
"""Of the time that looking takes, between two looks: where thousands of runs are open, it is not nothing."""
_RUNS = 100
_ASKED_AGAIN = 3
"""Questions that are put again to somebody who comes back; of others, how many there are."""
_CLOSE_SECONDS = 5.0


def _all(_run: str) -> bool:
    return True


class Following:
    """`run` has to run meanwhile, once. Everything is called from its event loop."""

    def __init__(
        self,
        store: Store,
        progress: Progress,
        speaker: str,
        conversation: str,
        *,
        interested: Callable[[str], bool] = _all,
        shown: Callable[[Sequence[Saying]], None] | None = None,
        turned: Callable[[bool], None] | None = None,
        lease: float = LEASE_SECONDS,
    ) -> None:
        """`interested` in a run (by id)? `shown` is given what is new, at once, for eyes. `turned`: whether it is this
        conversation that is told; called whenever that changes, and at first."""
        self.progress = progress
        self._store = store
        self._sink = f"voice:{speaker}"
        self._hold = SinkHold(store, self._sink, conversation, lease)
        self._interested = interested
        self._shown = shown
        self._turned = turned
        self._ours: bool | None = None
        self._arriving = False
        self._cursors = Cursors(self._hold, progress)
        self._something = asyncio.Event()
        self._write = asyncio.Event()

    # --- for the conversation ----------------------------------------------------------------------------------------

    @property
    def told_here(self) -> bool:
        """False: this speaker's progress is told elsewhere, or nobody knows yet."""
        return self._ours is True

    async def waiting(self) -> None:
        """Return when there is something to be said."""
        while not self._ready():
            self._something.clear()
            await self._something.wait()

    def take(self) -> Saying | None:
        """What to say now: to be called when it can be spoken at once, and not before. `said` or `unsaid` follows."""
        return self.progress.take(_now()) if self._ready() else None

    def said(self, saying: Saying) -> None:
        """It was heard, or is not worth saying any more: the cursor goes on behind it."""
        self.progress.said(saying)
        self._write.set()

    def unsaid(self, saying: Saying) -> None:
        """It was cut off before it was understood, and waits again."""
        self.progress.unsaid(saying)
        self._something.set()

    def _ready(self) -> bool:
        return self.told_here and self.progress.waiting > 0

    # --- following ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled; cursors are stored then, and the next conversation may go on at once."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow())
                tasks.create_task(self._keep_cursors())
        finally:
            ours, self._ours = self._ours, None
            if ours or self._arriving:
                with suppress(TimeoutError, AtlasError, ToldElsewhere):
                    await asyncio.wait_for(self._leave(told=bool(ours)), _CLOSE_SECONDS)

    async def _leave(self, *, told: bool) -> None:
        if told:
            await self._cursors.store()
        await self._hold.release()

    async def _follow(self) -> None:
        number = 0
        while True:
            began = _now()
            try:
                await self._go_on()
            except ToldElsewhere:
                self._lose()
                await asyncio.sleep(_POLL_SECONDS)
            except StoreError as error:
                log.warning("%s: %s", self._sink, error.message)
                await asyncio.sleep(_POLL_SECONDS)
            except Exception:  # what could not be told is not looked at again
                log.exception("%s could not be told", self._sink)
                await asyncio.sleep(_POLL_SECONDS)
            await asyncio.sleep(max(_GATHER_SECONDS, _REST * (_now() - began)))
            number = await self._changed(number)

    async def _changed(self, number: int) -> int:
        """When there may be news."""
        try:
            return await self._store.changed(number, _POLL_SECONDS)
        except StoreError:
            await asyncio.sleep(_POLL_SECONDS)
            return number

    async def _go_on(self) -> None:
        if self._ours:
            await self._hold.keep()
            while await self._round():
                pass
        else:
            await self._arrive()
        if self._cursors.due:
            self._write.set()
        if self._cursors.settled:
            await self._hold.settle()

    async def _arrive(self) -> None:
        """Be the one who is told: from now on, if nobody ever was; else of what was missed."""
        first = not await self._store.read(lambda session: reading.sink_since(session, self._sink))
        if first:
            await self._hold.begin(await self._store.read(looking.open_runs))
        self._arriving = True  # who goes before it is here lets others have it at once, too
        await self._hold.keep()
        while await self._round():
            pass
        if not first:
            found = await self._store.read(looking.waiting_questions)
            await self._put_again([each for each in found if self._interested(each.run)])
        self._ours = True
        self._something.set()
        if self._turned:
            self._turned(True)

    async def _put_again(self, questions: Sequence[QuestionView]) -> None:
        others = [each for each in questions if not self.progress.asks(each.id)]
        again = others[:_ASKED_AGAIN]
        unknown = {each.run for each in again if not self.progress.knows(each.run)}
        self.progress.know(await self._store.read(lambda session: looking.standing(session, unknown)))
        for each in again:
            self.progress.ask(each.run, each.id, each.todo, each.text, each.choices, _now())
        self.progress.away(len(others) - len(again))

    def _lose(self) -> None:
        """Somebody else tells now, from the stored cursor on: what waits here is told there."""
        self._arriving = False
        if self._ours is False:
            return
        self._ours = False
        self._cursors.start_again()
        if self._turned:
            self._turned(False)

    async def _round(self) -> bool:
        """Hear what there is to hear, or a part of it; whether there may be more."""
        sink, since, limit = self._sink, self._hold.since, _RUNS + len(self._cursors)
        found = await self._store.read(lambda session: frequent.news(session, sink, since, limit))
        unheard = self._cursors.unheard(found, self._interested)
        wanted = unheard[:_RUNS]
        if not wanted:
            return False
        unknown = {each.run for each in wanted if each.after and not self.progress.knows(each.run)}
        seen = await self._store.read(lambda session: looking.look(session, wanted, unknown))
        self.progress.know(seen.known, missed=not self._ours)
        new = self.progress.hear(seen.events, seen.titles, _now())
        for each in seen.complete:
            self._cursors.heard_to(each)
        if self._ours and new:
            self._something.set()
            if self._shown:
                self._shown(new)
        return seen.more or len(unheard) > len(wanted) or len(found) >= limit

    async def _keep_cursors(self) -> None:
        while True:
            await self._write.wait()
            self._write.clear()
            if self._ours:
                try:
                    await self._cursors.store()
                except ToldElsewhere:  # which the next look finds, too
                    pass
                except AtlasError as error:
                    log.warning("%s: %s", self._sink, error.message)
                    await asyncio.sleep(_POLL_SECONDS)
                    self._write.set()
            await asyncio.sleep(_GATHER_SECONDS)


def _now() -> float:
    return asyncio.get_running_loop().time()
