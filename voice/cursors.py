"""How far the stored cursors of one sink are behind what was heard, and moving them on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from orchestrator.sinks.cursor import SinkHold
from state.frequent import News
from voice.progress import Progress

_WRITE_SECONDS = 2.0
"""How often cursors move over what is not worth a word."""


class Cursors:
    """Of one conversation."""

    def __init__(self, hold: SinkHold, progress: Progress) -> None:
        self._hold = hold
        self._progress = progress
        self._stored: dict[str, int] = {}
        """Of runs that matter yet."""
        self._moved = False
        self._written = float("-inf")

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def settled(self) -> bool:
        """All that was heard is told, and stored."""
        return not self._moved and self._progress.all_told

    @property
    def due(self) -> bool:
        """Whether it is time to store them, even if nothing was said."""
        return self._moved and asyncio.get_running_loop().time() - self._written > _WRITE_SECONDS

    def unheard(self, found: Sequence[News], interested: Callable[[str], bool]) -> list[News]:
        """What is new of what is behind the stored cursors; of what nobody is interested in, nothing."""
        wanted: list[News] = []
        for each in found:
            self._stored[each.run] = max(each.after, self._stored.get(each.run, 0))
            after = max(each.after, self._progress.heard_to(each.run))
            if after < each.last and interested(each.run):
                wanted.append(News(each.run, after, each.last))
            elif after < each.last:
                self.heard_to(each)
        return wanted

    def heard_to(self, news: News) -> None:
        """All of it was heard."""
        self._progress.hear_to(news.run, news.last)
        self._moved = True

    async def store(self) -> None:
        """Move them on, up to what was not told yet."""
        self._moved, self._written = False, asyncio.get_running_loop().time()
        told = self._progress.told_to()
        new = {run: seq for run, seq in told.items() if seq > self._stored.get(run, 0)}
        if not new:
            return
        try:
            await self._hold.advance(new)
        except BaseException:
            self._moved = True
            raise
        self._stored.update(new)
        for run, seq in new.items():
            if seq == self._progress.heard_to(run):
                self._progress.forget(run)
            if not self._progress.knows(run):
                self._stored.pop(run, None)

    def start_again(self) -> None:
        """Somebody else moves them."""
        self._stored.clear()
        self._progress.start_again()
