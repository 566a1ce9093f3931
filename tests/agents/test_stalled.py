"""A worker whose event loop hangs for longer than its lease, in the middle of an agent's call: another goes on with its
TODO, and when it comes to itself it lets go of it, does nothing twice, and ends when it is told to."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from state.limits import LEASE_SECONDS, LOOP_STALL_SECONDS
from tests.acceptance.command_line import PATIENCE, wait_until
from tests.agents.cast import DONE, acts, runs, writes
from tests.agents.people import a_person
from tests.agents.world import todo

_STACKS = Path(__file__).parents[1] / "chaos" / "fleet" / "stacks"
_STALL = LOOP_STALL_SECONDS + LEASE_SECONDS + 3.0
"""A lease is renewed for as long as a loop may hang unsuspected."""
WORK = acts(writes(), runs("cat answer.txt"), DONE)


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_another_goes_on_and_the_first_lets_go(tmp_path: Path) -> None:
    with a_person(tmp_path, cast={"hephaestus": WORK}) as person:
        atlas = person.atlas
        atlas.variables["PYTHONPATH"] = str(_STACKS)
        atlas("run", person.plan(todo(retries={"max": 2, "backoff": 0.01})), "--detach", code=0)
        stalls = atlas.start("worker", ATLAS_FAILPOINTS=f"agent.call_reserved=sleep:{_STALL}@1")
        wait_until(lambda: atlas.states()["fix"] == "in_progress", "the first has it")
        other = atlas.start("worker")
        wait_until(lambda: "the lease ran out" in stalls.err, "it has lost its lease", 2 * PATIENCE)
        wait_until(lambda: atlas.run_state() == "completed", "the other went on", 2 * PATIENCE)
        for each in (stalls, other):
            each.send(signal.SIGTERM)
        try:
            assert stalls.ended(2 * PATIENCE).code == 0
        except AssertionError:
            stalls.send(signal.SIGUSR2)
            stalls.ended()
            raise AssertionError(stalls.err) from None
        assert other.ended(2 * PATIENCE).code == 0
        assert "Traceback" not in stalls.err + other.err
