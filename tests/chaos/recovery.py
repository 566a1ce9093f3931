"""What must hold when a run went on after its process was killed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.acceptance.effects import Effects
from tests.acceptance.invariants import assert_sound
from tests.acceptance.processes import assert_nothing_left


@dataclass(frozen=True, slots=True)
class Wreck:
    """How things stood when the process was dead, before anybody went on."""

    rows: dict[str, dict[str, Any]]
    starts: Counter[str]

    @classmethod
    def of(cls, effects: Effects) -> Wreck:
        """Look at it; already now everything must be sound."""
        assert_sound(effects.atlas)
        wreck = cls(rows_by_key(effects), effects.starts())
        assert set(wreck.starts) <= wreck.done | wreck.in_flight
        return wreck

    @property
    def done(self) -> set[str]:
        """Completed TODOs."""
        return {key for key, row in self.rows.items() if row["state"] == "completed"}

    @property
    def in_flight(self) -> set[str]:
        """TODOs that had an owner."""
        return {key for key, row in self.rows.items() if row["state"] in ("in_progress", "verifying")}


def rows_by_key(effects: Effects) -> dict[str, dict[str, Any]]:
    """The TODOs of the only run."""
    return {row["key"]: row for row in effects.atlas.sql("SELECT * FROM todo")}


def assert_recovered(effects: Effects, wreck: Wreck) -> set[str]:
    """All is completed; nothing that was, was touched; only what was in flight ran again: that is returned."""
    assert_sound(effects.atlas)
    after, starts, done = rows_by_key(effects), effects.starts(), wreck.done
    assert {row["state"] for row in after.values()} == {"completed"}
    assert {key: after[key] for key in done} == {key: wreck.rows[key] for key in done}
    assert {key: starts[key] for key in done} == dict.fromkeys(done, 1)
    twice = {key for key, count in starts.items() if count > 1}
    assert twice <= wreck.in_flight
    assert max(starts.values()) <= 2
    assert set(effects.ends()) == set(after)
    assert_nothing_left(effects.atlas)
    return twice
