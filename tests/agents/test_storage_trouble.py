"""An object store that is away: an agent's TODO waits where everybody can see it and goes on where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

from orchestrator.enforcer import CREDIT
from orchestrator.enforcing import counters_of
from roles.record import Record
from state.agent_commands import Standing
from state.commands import Claimed, Command, Outcome
from tests.agents.cast import DONE, Answering, Heard, Player, acts, runs, writes
from tests.agents.world import World, opened, todo
from tests.services.small_disk import fill, small_disk

WORK = acts(runs("true"), writes(), DONE)
STUBBORN = acts(runs("true"), *[runs("date +%N >> answer.txt") for _ in range(20)])
"""Does what may not be repeated without asking, again and again."""


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Path]:
    """Of the object store."""
    with small_disk(tmp_path / "artifacts") as directory:
        yield directory


def filling(disk: Path, work: Player = WORK) -> Player:
    """A Hephaestus whose second reply comes when the disk has become full."""
    left = [disk]

    def play(heard: Heard) -> Answering:
        if heard.replies == 1 and left:
            fill(left.pop())
        return work(heard)

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


async def test_a_model_that_answers_meanwhile_makes_it_no_better(tmp_path: Path, disk: Path) -> None:
    """What may not be repeated is asked about each time; that is no sign of the store."""
    async with opened(tmp_path, cast={"hephaestus": filling(disk, STUBBORN)}) as world:
        assert await world.play(todo()) == "blocked"
        _, reason, detail = (await world.told())["fix"]
        assert reason == "store", detail
        assert "could not be used 7 times in a row" in (detail or "")
        assert len(world.stage.by("hephaestus")) == 8


def test_an_attempt_has_all_its_credit_though_something_was_away_before_it_began() -> None:
    async def never(commands: Sequence[Command]) -> list[Outcome]:
        raise AssertionError(commands)

    claim = Claimed("t", "r", "fix", "agent", 1, 0, 0, 0, 60.0, 0.0, "{}", "person")
    assert counters_of(Record(claim, never, standing=Standing(errors=2))).credit == CREDIT
