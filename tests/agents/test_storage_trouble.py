"""An object store that is away: an agent's TODO waits where everybody can see it and goes on where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.agents.cast import DONE, Answering, Heard, Player, acts, runs, writes
from tests.agents.world import World, opened, todo
from tests.services.small_disk import fill, small_disk

WORK = acts(runs("true"), writes(), DONE)


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Path]:
    """Of the object store."""
    with small_disk(tmp_path / "artifacts") as directory:
        yield directory


def filling(disk: Path) -> Player:
    """A Hephaestus whose second reply comes when the disk has become full."""
    left = [disk]

    def play(heard: Heard) -> Answering:
        if heard.replies == 1 and left:
            fill(left.pop())
        return WORK(heard)

    return play


async def waits(world: World) -> int:
    """How often its TODO was given back."""
    return len([each for each in await world.attempts() if each.todo_id == (await world.todo()).id])


async def test_the_same_attempt_goes_on(tmp_path: Path, disk: Path) -> None:
    async with opened(tmp_path, cast={"hephaestus": filling(disk)}) as world:
        playing = asyncio.create_task(world.play(todo()))
        while not world.run or await waits(world) < 4:
            assert not playing.done(), await world.told()
            await asyncio.sleep(0.01)
        (disk / "ballast").unlink()
        assert await playing == "completed", await world.told()
        assert (await world.todo()).attempt == 0
        assert await world.file("answer.txt") == "right\n"
        assert len(world.stage.by("hephaestus")) == 3, "nothing that was paid for was asked again"


async def test_it_is_not_waited_for_for_ever(tmp_path: Path, disk: Path) -> None:
    async with opened(tmp_path, cast={"hephaestus": filling(disk)}) as world:
        assert await world.play(todo()) == "blocked"
        _, reason, detail = (await world.told())["fix"]
        assert reason == "store"
        assert "could not be used 7 times in a row" in (detail or "")
        assert "no space left" in (detail or "")
        assert len(world.stage.by("hephaestus")) == 2
