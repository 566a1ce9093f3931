"""Somebody who listens to one conversation's progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from orchestrator.tasks import ended
from state.ports import Store
from voice.following import Following
from voice.progress import Progress
from voice.saying import Saying


@dataclass
class Ear:
    """`said` is what was spoken, `shown` what came up on a screen, `turned` whether it was this one who was told."""

    following: Following
    said: list[Saying] = field(default_factory=list[Saying])
    shown: list[Saying] = field(default_factory=list[Saying])
    turned: list[bool] = field(default_factory=list[bool])
    may_speak: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def texts(self) -> list[str]:
        return [saying.text for saying in self.said]

    @property
    def kinds(self) -> list[str]:
        return [saying.kind for saying in self.said]

    async def listen(self) -> None:
        """Hear everything as soon as it may be said."""
        while True:
            await self.following.waiting()
            await self.may_speak.wait()
            if saying := self.following.take():
                self.said.append(saying)
                self.following.said(saying)


@asynccontextmanager
async def listening(
    store: Store, speaker: str = "ann", conversation: str = "c1", *, silent: bool = False, lease: float = 15.0,
    interested: Callable[[str], bool] = lambda _run: True, progress: Progress | None = None,
) -> AsyncGenerator[Ear]:  # fmt: skip
    """Once it is decided who is told. `silent`: nothing is spoken until `may_speak` is set."""

    def shown(sayings: Sequence[Saying]) -> None:
        ear.shown += sayings

    def turned(ours: bool) -> None:
        ear.turned.append(ours)
        decided.set()

    decided = asyncio.Event()
    following = Following(
        store, progress or Progress(), speaker, conversation,
        interested=interested, shown=shown, turned=turned, lease=lease,
    )  # fmt: skip
    ear = Ear(following)
    if not silent:
        ear.may_speak.set()
    tasks = [asyncio.create_task(following.run()), asyncio.create_task(ear.listen())]
    try:
        async with asyncio.timeout(20):
            await decided.wait()
        yield ear
    finally:
        await ended(*tasks)
        for task in tasks:
            assert task.cancelled(), task.exception()
