"""Where the log of an attempt is cut, and that it says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import pytest

from orchestrator.executors.attempt_log import AttemptLog
from state.errors import RemoteUnavailable
from state.limits import LOG_BYTES

if TYPE_CHECKING:
    from state.ports import ArtifactStore, Reporter


class Kept:
    """An artifact store, and a reporter, for one log."""

    def __init__(self) -> None:
        self.data = bytearray()

    async def append(self, name: str, offset: int, data: bytes) -> None:
        assert offset == len(self.data)
        self.data += data

    async def log(self, offset: int, lines: Sequence[str]) -> None:
        assert offset == len(self.data)


def log_into(kept: Kept, stored: int = 0) -> AttemptLog:
    return AttemptLog("log", cast("ArtifactStore", kept), cast("Reporter", kept), {}, stored)


@pytest.mark.parametrize("pieces", [(LOG_BYTES, 1), (LOG_BYTES - 1, 2), (LOG_BYTES + 1,), (LOG_BYTES, 1, 1, 1)])
async def test_a_log_that_is_cut_says_so_once(pieces: Sequence[int]) -> None:
    kept = Kept()
    async with log_into(kept) as log:
        for size in pieces:
            await log.take(bytes(size))
    assert kept.data[:LOG_BYTES] == bytes(LOG_BYTES)
    assert kept.data[LOG_BYTES:] == b"\n[atlas: the log is cut here, at %d bytes]\n" % LOG_BYTES


async def test_a_log_of_exactly_that_size_is_whole() -> None:
    kept = Kept()
    async with log_into(kept) as log:
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


class Troubled(Kept):
    """Its store is away so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.stored = asyncio.Event()

    async def append(self, name: str, offset: int, data: bytes) -> None:
        self.times -= 1
        if self.times >= 0:
            raise RemoteUnavailable("it is away", "Wait.")
        await super().append(name, offset, data)
        self.stored.set()


@pytest.mark.parametrize("later", [b"", b" and the end"])
async def test_a_command_that_ends_while_its_log_is_stored_loses_nothing(later: bytes) -> None:
    kept = Slow()
    async with log_into(kept) as log:
        await log.take(b"the beginning")
        await asyncio.wait_for(kept.storing.wait(), 30)  # as it does every now and then
        await log.take(later)
        kept.go_on.set()
    assert kept.data == b"the beginning" + later


async def test_what_cannot_be_stored_for_a_while_is_stored_later(caplog: pytest.LogCaptureFixture) -> None:
    kept = Troubled(times=2)
    async with log_into(kept) as log:
        await log.take(b"one ")
        await asyncio.wait_for(kept.stored.wait(), 30)
        await log.take(b"two")
    assert kept.data == b"one two"
    assert len(caplog.records) == 1


async def test_what_cannot_be_stored_at_the_end_is_told() -> None:
    kept = Troubled(times=1_000)
    with pytest.raises(RemoteUnavailable):
        async with log_into(kept) as log:
            await log.take(b"one")


async def test_a_second_part_goes_on_where_the_first_ended() -> None:
    kept = Kept()
    async with log_into(kept) as log:
        await log.take(b"one ")
    async with log_into(kept, log.stored) as later:
        await later.take(b"two")
    assert kept.data == b"one two"


class Stuck(Kept):
    """Whom to tell does not answer at first, until that is cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.telling = asyncio.Event()
        self.told: list[tuple[int, Sequence[str]]] = []

    async def log(self, offset: int, lines: Sequence[str]) -> None:
        if not self.telling.is_set():
            self.telling.set()
            await asyncio.Event().wait()
        self.told.append((offset, lines))


async def test_what_was_stored_is_told_though_the_command_ends_meanwhile() -> None:
    kept = Stuck()
    async with log_into(kept) as log:
        await log.take(b"one\ntwo\n")
        await asyncio.wait_for(kept.telling.wait(), 30)
    assert kept.told == [(8, ["one", "two"])]
