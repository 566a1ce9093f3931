"""One writer thread that carries out whatever has arrived, in one transaction: group commit.

While a transaction runs, further calls queue up and share the next one, so that hundreds of commands cost one fsync.
Calls arrive from event loops and are answered there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from state.commands import Command, Outcome, Refused, SubmitRun
from state.errors import StoreError, StoreUnavailable
from state.limits import BATCH_WEIGHT

Transact = Callable[[Sequence[Command]], list[Outcome]]
"""Carries out a batch in one transaction, or raises and has written nothing. `StoreError`: the database could not;
`CommandsRejected`: some command's data was refused."""


class CommandsRejected(Exception):
    """The database refused the data of some command in the batch, or a decision has a defect; which, is not known."""


class _Call:
    __slots__ = ("commands", "future", "loop")

    def __init__(self, commands: Sequence[Command], loop: asyncio.AbstractEventLoop) -> None:
        self.commands = commands
        self.loop = loop
        self.future: asyncio.Future[list[Outcome]] = loop.create_future()

    def weight(self) -> int:
        return sum(len(c.todos) if isinstance(c, SubmitRun) else 1 for c in self.commands)


class GroupCommit:
    """Owns the writer thread. `opened` runs in it first and makes `Transact`; `closed` runs in it last."""

    def __init__(
        self, opened: Callable[[], Transact], closed: Callable[[], None], committed: Callable[[], None]
    ) -> None:
        self._opened = opened
        self._closed = closed
        self._committed = committed
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._ended = False
        self._failure: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="atlas-store-writer", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        """See `state.ports.Store.apply`."""
        if not commands:
            return []
        if self._ended:
            raise StoreUnavailable("the store is closed")
        call = _Call(commands, asyncio.get_running_loop())
        self._queue.put(call)
        return await call.future

    def close(self) -> None:
        """Finish what has been asked, then end the thread. Blocks."""
        if not self._ended:
            self._ended = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            transact = self._opened()
        except BaseException as error:  # handed to the constructor's caller
            self._failure = error
            return
        finally:
            self._started.set()
        try:
            while (batch := self._next_batch()) is not None:
                self._carry_out(transact, batch)
        finally:
            self._closed()

    def _next_batch(self) -> list[_Call] | None:
        call = self._queue.get()
        if call is None:
            return None
        batch = [call]
        weight = call.weight()
        while weight < BATCH_WEIGHT:
            try:
                call = self._queue.get_nowait()
            except Empty:
                break
            if call is None:
                self._queue.put(None)
                break
            batch.append(call)
            weight += call.weight()
        return batch

    def _carry_out(self, transact: Transact, batch: list[_Call]) -> None:
        commands = [command for call in batch for command in call.commands]
        try:
            outcomes = _halving(transact, commands)
        except Exception as error:  # every caller hears of it
            _answer(batch, error)
            return
        self._committed()
        _answer(batch, outcomes)


def _halving(transact: Transact, commands: Sequence[Command]) -> list[Outcome]:
    """One bad command must not sink its neighbours: halve and try again, until it stands alone and is refused."""
    try:
        return transact(commands)
    except CommandsRejected as error:
        if len(commands) == 1:
            return [Refused("invalid", str(error))]
        middle = len(commands) // 2
        return _halving(transact, commands[:middle]) + _halving(transact, commands[middle:])


def _answer(batch: list[_Call], answer: list[Outcome] | Exception) -> None:
    """One wake-up of each event loop for the whole batch."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Call, list[Outcome] | Exception]]] = {}
    start = 0
    for call in batch:
        end = start + len(call.commands)
        by_loop.setdefault(call.loop, []).append((call, answer if isinstance(answer, Exception) else answer[start:end]))
        start = end
    for loop, answers in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, answers)
        except RuntimeError:  # the loop is closed: nobody is waiting any more
            continue


def _deliver(answers: list[tuple[_Call, list[Outcome] | Exception]]) -> None:
    for call, answer in answers:
        if call.future.done():
            continue
        if isinstance(answer, StoreError):
            call.future.set_exception(type(answer)(answer.message, answer.hint))
        elif isinstance(answer, Exception):
            call.future.set_exception(answer)
        else:
            call.future.set_result(answer)
