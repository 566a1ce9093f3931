"""A worker dies between broker and database, at each place where that would hurt: another goes on, nothing is lost and
nothing is done twice that had come to its end."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import pytest

from tests.acceptance.command_line import Atlas, Running, wait_until
from tests.acceptance.effects import Effects
from tests.acceptance.test_intake import letters, waiting
from tests.acceptance.test_submit import document, written
from tests.chaos.fleet.aftermath import Promise, in_database, query
from tests.chaos.fleet.invariants import STATE

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

LABELS = ("relay.published", "waking.looked", "intake.submitted", "broker.buried")
OTHERS = ("liveness.locked", "broker.sent", "worker.claimed", "worker.after_settle", "intake.received")
"""Where less can go wrong: for the long tests."""
COMPLETED = frozenset((("completed", None),))
REFUSED = 'did you mean "command"?'


def _worker(atlas: Atlas, failpoint: str = "") -> Running:
    return atlas.start("worker", "--concurrency", "3", ATLAS_FAILPOINTS=failpoint)


@pytest.fixture
def both(atlas: Atlas, postgres_database: str, rabbitmq_alone: str) -> Atlas:
    """An installation on a database and a broker of its own, whose workers may use this host."""
    atlas.variables |= {
        "ATLAS_DATABASE_URL": postgres_database, "ATLAS_BROKER_URL": rabbitmq_alone, "ATLAS_ALLOW_HOST": "true",
        "ATLAS_INTAKE_REMOTES": "file:///",
    }  # fmt: skip
    return atlas


@pytest.mark.parametrize(
    "label", [*LABELS, *(pytest.param(label, marks=pytest.mark.chaos) for label in OTHERS)]
)  # fmt: skip
def test_a_worker_dies_there_and_another_goes_on(both: Atlas, effects: Effects, label: str) -> None:
    database, broker = both.variables["ATLAS_DATABASE_URL"], both.variables["ATLAS_BROKER_URL"]
    keys = [f"t{number}" for number in range(6)]
    todos = [effects.todo(key, keys[max(0, n - 2) : n]) for n, key in enumerate(keys)]
    armed = _worker(both, f"{label}=kill")
    both("run", both.plan(todos), "--detach", code=0)
    both("submit", written(both, document(both, "echo from outside")), "--amqp", code=0)
    bad = written(both, document(both, comand="x"), "bad.json")
    both("submit", bad, "--amqp", "--unchecked", code=0)
    assert armed.ended().code == -signal.SIGKILL, f"it never came to {label}: {armed.err}"

    after = _worker(both)
    open_runs = "SELECT count(*) AS n FROM run WHERE ended_at IS NULL"
    wait_until(lambda: query(database, "SELECT count(*) AS n FROM run") == [{"n": 2}], f"both came: {after.err}")
    wait_until(lambda: query(database, open_runs) == [{"n": 0}], f"all has ended: {after.err}")
    [(body, reason), *again] = letters(broker, 1 + (label == "broker.buried"))  # at least once
    assert json.loads(body).get("comand") == "x"
    assert REFUSED in reason
    assert {each for each, _ in again} <= {body}
    wait_until(lambda: waiting(broker) == 0, "nothing is left in the queue")
    after.send(signal.SIGTERM)
    assert after.ended().code == 0, after.err

    promises = {
        "plan": Promise(dict.fromkeys(keys, COMPLETED)), "billing/1": Promise({"task": COMPLETED}),
    }  # fmt: skip
    world = replace(in_database(database), promises=promises)
    assert not [violated for invariant in STATE for violated in invariant(world)]
    died = {world.name(row["todo_id"]).rpartition("/")[2] for row in world.attempts if row["outcome"] != "completed"}
    starts, ends = effects.starts(), effects.ends()
    assert all(starts[key] == 1 or key in died for key in keys), (starts, died)
    assert set(ends) == set(keys)
    assert waiting(broker) == 0
