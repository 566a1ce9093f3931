"""Where the log of an attempt is cut, and that it says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from orchestrator.executors.attempt_log import AttemptLog
from state.limits import LOG_BYTES


class Kept:
    """An artifact store, and a reporter, for one log."""

    def __init__(self) -> None:
        self.data = bytearray()

    async def append(self, name: str, offset: int, data: bytes) -> None:
        assert offset == len(self.data)
        self.data += data

    async def log(self, offset: int, lines: Sequence[str]) -> None:
        assert offset == len(self.data)


@pytest.mark.parametrize("pieces", [(LOG_BYTES, 1), (LOG_BYTES - 1, 2), (LOG_BYTES + 1,), (LOG_BYTES, 1, 1, 1)])
async def test_a_log_that_is_cut_says_so_once(pieces: Sequence[int]) -> None:
    kept = Kept()
    async with AttemptLog("log", kept, kept, {}) as log:  # type: ignore[arg-type]
        for size in pieces:
            await log.take(bytes(size))
    assert kept.data[:LOG_BYTES] == bytes(LOG_BYTES)
    assert kept.data[LOG_BYTES:] == b"\n[atlas: the log is cut here, at %d bytes]\n" % LOG_BYTES


async def test_a_log_of_exactly_that_size_is_whole() -> None:
    kept = Kept()
    async with AttemptLog("log", kept, kept, {}) as log:  # type: ignore[arg-type]
        for size in (LOG_BYTES, 0):
            await log.take(bytes(size))
    assert kept.data == bytes(LOG_BYTES)


class Slow(Kept):
    """Its storing takes until it is told to go on, and may be cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.storing, self.go_on = asyncio.Event(), asyncio.Event()

    async def append(self, name: str, offset: int, data: bytes) -> None:
        self.storing.set()
        await self.go_on.wait()
        await super().append(name, offset, data)


@pytest.mark.parametrize("later", [b"", b" and the end"])
async def test_a_command_that_ends_while_its_log_is_stored_loses_nothing(later: bytes) -> None:
    kept = Slow()
    async with AttemptLog("log", kept, kept, {}) as log:  # type: ignore[arg-type]
        await log.take(b"the beginning")
        await asyncio.wait_for(kept.storing.wait(), 30)  # as it does every now and then
        await log.take(later)
        kept.go_on.set()
    assert kept.data == b"the beginning" + later
