"""`kill -9` of `atlas run` at a random moment, then `atlas resume`: nothing is lost, nothing finished is repeated."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest

from tests.acceptance.command_line import Atlas, wait_until
from tests.acceptance.effects import Effects, random_plan
from tests.acceptance.invariants import assert_no_rows
from tests.acceptance.processes import assert_gone
from tests.chaos.recovery import Wreck, assert_recovered

_TRIALS = int(os.environ.get("ATLAS_CHAOS_TRIALS", "50"))
_SIZE = 40
_SEED = os.environ.get("ATLAS_CHAOS_SEED", os.environ.get("PYTEST_XDIST_TESTRUNUID"))
"""Another one for each test run, the same in all of its processes."""
Record = Callable[[str, object], None]


def kill_and_resume(atlas: Atlas, effects: Effects, seed: int) -> str:
    """One trial; returns what was in flight, for the record."""
    chance = random.Random(seed)
    plan = random_plan(effects, chance, _SIZE)
    lines = chance.randrange(2 * _SIZE - 1)
    running = atlas.start("run", plan)
    wait_until(lambda: len(effects.lines()) >= lines or not running.alive, f"{lines} effects")
    time.sleep(chance.uniform(0.0, 0.1))  # not a wait: the moment of the kill is what is random
    running.kill()
    took = assert_gone(atlas, time.monotonic())
    if not atlas.states():
        assert_no_rows(atlas)
        assert not effects.lines()
        return "nothing submitted"
    wreck = Wreck.of(effects)
    atlas("resume", "last", code=0)
    twice = assert_recovered(effects, wreck)
    flying = f"{len(wreck.in_flight)} in flight, {len(twice)} of them ran twice"
    return f"{len(wreck.done)} done, {flying}, processes gone in {took:.2f} s"


@pytest.mark.parametrize("seed", random.Random(_SEED).sample(range(10**6), 2))
def test_killed_at_a_random_moment_and_resumed(
    atlas: Atlas, effects: Effects, seed: int, record_property: Record
) -> None:
    record_property("trial", f"seed {seed}: {kill_and_resume(atlas, effects, seed)}")


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(_TRIALS))
def test_killed_at_many_moments_and_resumed(atlas: Atlas, effects: Effects, seed: int, record_property: Record) -> None:
    record_property("trial", f"seed {seed:2}: {kill_and_resume(atlas, effects, seed)}")
