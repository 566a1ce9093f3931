"""One writer thread that carries out whatever has arrived, in one transaction: group commit.

While a transaction runs, further calls queue up and share the next one, so that hundreds of commands cost one fsync.
Calls arrive from event loops and are answered there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

from state.access_commands import Audited
from state.commands import ClaimNext, Command, ExtendRun, Outcome, Replan, SubmitRun
from state.errors import StoreError, StoreUnavailable
from state.limits import BATCH_WEIGHT

IDLE_SECONDS = 0.05


class Writer(Protocol):
    """Lives in the writer thread: every method is called there."""

    def open(self) -> None:
        """Connect; what it raises, the constructor of `GroupCommit` raises."""
        ...

    def transact(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out a batch in one transaction, or raise `StoreError` and have written nothing."""
        ...

    def idle(self) -> None:
        """Nothing has been asked for `IDLE_SECONDS`."""
        ...

    def close(self) -> None: ...


class _Call:
    __slots__ = ("commands", "future", "loop")

    def __init__(self, commands: Sequence[Command], loop: asyncio.AbstractEventLoop) -> None:
        self.commands = commands
        self.loop = loop
        self.future: asyncio.Future[list[Outcome]] = loop.create_future()

    def weight(self) -> int:
        return sum(_weight(command) for command in self.commands)

    def looks_for_work(self) -> bool:
        return any(isinstance(command, ClaimNext) for command in self.commands)


def _weight(command: Command) -> int:
    match command:
        case Audited():
            return _weight(command.command)
        case SubmitRun() | ExtendRun():
            return len(command.todos)
        case Replan():
            return len(command.replaced) + len(command.others)
        case _:
            return 1


class GroupCommit:
    """Owns the writer thread."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._entering = threading.Lock()
        self._ended = False
        self._failure: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="atlas-store-writer", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        """See `state.ports.Store.apply`."""
        if not commands:
            return []
        call = _Call(commands, asyncio.get_running_loop())
        with self._entering:  # nothing may come after the None that ends the thread: nobody would answer it
            if self._ended:
                raise StoreUnavailable("the store is closed")
            self._queue.put(call)
        return await call.future

    def close(self) -> None:
        """Finish what has been asked, then end the thread. Blocks."""
        with self._entering:
            if not self._ended:
                self._ended = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._writer.open()
        except BaseException as error:  # handed to the constructor's caller
            self._failure = error
            self._writer.close()
            return
        finally:
            self._started.set()
        try:
            while (batch := self._next_batch()) is not None:
                self._carry_out(batch)
        finally:
            self._refuse_the_rest()
            self._writer.close()

    def _refuse_the_rest(self) -> None:
        """After a clean end there is none. After a defect that ended this thread, nobody may wait for ever."""
        with self._entering:
            self._ended = True
        with suppress(Empty):
            while True:
                if (call := self._queue.get_nowait()) is not None:
                    _answer([call], StoreUnavailable("the store's writer has ended", "Start Atlas again."))

    def _next_batch(self) -> list[_Call] | None:
        call = self._next_call()
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
        # Calls of one batch came at the same time. Those that look for work see what the others made ready, and the
        # others stay together.
        batch.sort(key=_Call.looks_for_work)
        return batch

    def _next_call(self) -> _Call | None:
        while True:
            try:
                return self._queue.get(timeout=IDLE_SECONDS)
            except Empty:
                self._writer.idle()

    def _carry_out(self, batch: list[_Call]) -> None:
        commands = [command for call in batch for command in call.commands]
        try:
            outcomes = self._writer.transact(commands)
        except Exception as error:  # every caller hears of it
            _answer(batch, error)
            return
        _answer(batch, outcomes)


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
