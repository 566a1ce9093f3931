"""`kill -9` of `atlas run` at a random moment, then `atlas resume`: nothing is lost, nothing finished is repeated."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.command_line import Atlas, wait_until
from tests.acceptance.effects import Effects, random_plan
from tests.acceptance.invariants import assert_no_rows, assert_sound
from tests.acceptance.processes import assert_gone, assert_nothing_left

_TRIALS = int(os.environ.get("ATLAS_CHAOS_TRIALS", "50"))
_SIZE = 40
Record = Callable[[str, object], None]


def rows_by_key(atlas: Atlas) -> dict[str, dict[str, Any]]:
    """The TODOs of the only run."""
    return {row["key"]: row for row in atlas.sql("SELECT * FROM todo")}


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
    if not atlas.has_tables() or not rows_by_key(atlas):
        assert_no_rows(atlas)
        assert not effects.lines()
        return "nothing submitted"

    assert_sound(atlas)
    before, started = rows_by_key(atlas), effects.starts()
    done = {key for key, row in before.items() if row["state"] == "completed"}
    in_flight = {key for key, row in before.items() if row["state"] in ("in_progress", "verifying")}
    assert set(started) <= done | in_flight

    atlas("resume", "last", code=0)
    assert_sound(atlas)
    after, starts = rows_by_key(atlas), effects.starts()
    assert {row["state"] for row in after.values()} == {"completed"}
    assert {key: after[key] for key in done} == {key: before[key] for key in done}
    assert {key: starts[key] for key in done} == dict.fromkeys(done, 1)
    twice = {key for key, count in starts.items() if count > 1}
    assert twice <= in_flight
    assert max(starts.values()) <= 2
    assert set(effects.ends()) == set(after)
    assert_nothing_left(atlas)
    return f"{len(done)} done, {len(in_flight)} in flight, {len(twice)} ran twice, processes gone in {took:.2f} s"


@pytest.mark.parametrize("seed", random.Random(os.environ.get("ATLAS_CHAOS_SEED")).sample(range(10**6), 2))
def test_killed_at_a_random_moment_and_resumed(
    atlas: Atlas, effects: Effects, seed: int, record_property: Record
) -> None:
    record_property("trial", f"seed {seed}: {kill_and_resume(atlas, effects, seed)}")


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(_TRIALS))
def test_killed_at_many_moments_and_resumed(atlas: Atlas, effects: Effects, seed: int, record_property: Record) -> None:
    record_property("trial", f"seed {seed}: {kill_and_resume(atlas, effects, seed)}")
