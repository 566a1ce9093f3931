"""Callers that ask the same at the same time share an answer.

A few runs of one question may go side by side. Whoever asks meanwhile waits for the next, together with all others who
do: it begins after the last of them asked, so nobody is told what was true before. Callers may leave; when all of a run
have left, it is stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mcp_servers.storage.threads import completed

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, T]]
ABREAST = 2
"""Runs of one question at a time. More than one, so that one that hangs does not hold up the others."""


@dataclass(slots=True)
class _Batch:
    """A run that several wait for. It begins when it is given a `turn`."""

    turn: asyncio.Event
    task: asyncio.Task[Any]
    callers: int = 0


@dataclass(slots=True)
class _Question:
    running: int = 0
    next: _Batch | None = None


@dataclass(slots=True)
class Sharing:
    """What is being asked, by what makes two questions the same."""

    _questions: dict[Hashable, _Question] = field(default_factory=dict[Hashable, _Question])

    async def ask(self, key: Hashable, work: Work[T]) -> T:
        """What `work` answers, or that of another caller with this `key`."""
        question = self._questions.setdefault(key, _Question())
        if question.running < ABREAST:
            question.running += 1
            return await self._run(key, question, work)
        batch = question.next = question.next or self._batch(key, question, work)
        batch.callers += 1
        try:
            return await asyncio.shield(batch.task)
        finally:
            batch.callers -= 1
            if not batch.callers and not batch.task.done():
                if question.next is batch:
                    question.next = None
                batch.task.cancel()
                await completed(asyncio.wait([batch.task]))

    def _batch(self, key: Hashable, question: _Question, work: Work[Any]) -> _Batch:
        turn = asyncio.Event()

        async def run() -> Any:  # noqa: ANN401  whatever `work` answers
            try:
                await turn.wait()
            except asyncio.CancelledError:
                if turn.is_set():
                    self._pass_on(key, question)
                raise
            return await self._run(key, question, work)

        return _Batch(turn, asyncio.create_task(run()))

    async def _run(self, key: Hashable, question: _Question, work: Work[T]) -> T:
        try:
            return await work()
        finally:
            self._pass_on(key, question)

    def _pass_on(self, key: Hashable, question: _Question) -> None:
        """A run has ended: its place is for the next."""
        if batch := question.next:
            question.next = None
            batch.turn.set()
            return
        question.running -= 1
        if not question.running:
            del self._questions[key]

    def __len__(self) -> int:
        return len(self._questions)
