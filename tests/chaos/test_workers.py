"""Two `atlas worker`s on one database: one is killed or frozen, the other takes over; poison ends it."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

from state.limits import LEASE_SECONDS, PULSE_LIMIT_SECONDS
from tests.acceptance.command_line import PATIENCE, Atlas, Running, wait_until
from tests.acceptance.effects import Effects
from tests.acceptance.invariants import assert_sound
from tests.acceptance.processes import assert_gone, assert_nothing_left


def start_worker(atlas: Atlas, failpoints: str = "") -> tuple[Running, str]:
    """A worker that is ready; and its boot id."""
    worker = atlas.start("worker", "--concurrency", "2", ATLAS_FAILPOINTS=failpoints)

    def boots() -> list[str]:
        rows = atlas.sql("SELECT id FROM worker WHERE pid = ?", worker.pid) if atlas.has_tables() else []
        return [row["id"] for row in rows]

    return worker, wait_until(boots, f"the worker is up: {worker.err}")[0]


def owned_by(atlas: Atlas, boot: str) -> dict[str, dict[str, Any]]:
    """What it works on, by key."""
    return {row["key"]: row for row in atlas.sql("SELECT * FROM todo WHERE owner = ?", boot)}


def took_over(atlas: Atlas, by: str) -> list[dict[str, Any]]:
    """The takeovers by this worker."""
    rows = atlas.sql("SELECT data FROM event WHERE type = 'worker.took_over'")
    found: list[dict[str, Any]] = [json.loads(row["data"]) for row in rows]
    return [data for data in found if data["worker"] == by]


def wait_for_tidiness(atlas: Atlas, workers: int) -> None:
    """Until what the dead left is removed; the living keep their directory."""
    directories = [(atlas.home / "work"), atlas.temporary]
    wait_until(lambda: all(len(list(each.iterdir())) == workers for each in directories), "the dead are tidied up")


def stop(*workers: Running) -> None:
    """They have nothing to do: they end at once, and well."""
    for worker in workers:
        worker.send(signal.SIGTERM)
    for worker in workers:
        assert worker.ended().code == 0, worker.err


def test_killed_worker_is_replaced_at_once(atlas: Atlas, effects: Effects) -> None:
    todos = [effects.todo(f"t{number}", [], 1.0) for number in range(8)]
    (first, boot), (second, other) = start_worker(atlas), start_worker(atlas)
    atlas("run", atlas.plan(todos, concurrency=8), "--detach", code=0)
    wait_until(lambda: len(owned_by(atlas, boot)) == 2 and len(owned_by(atlas, other)) == 2, "both are busy")
    first.kill()
    killed = time.monotonic()
    lost = set(owned_by(atlas, boot))
    wait_until(lambda: not owned_by(atlas, boot), "the other worker took over", 2)
    assert time.monotonic() - killed < 10
    taken = took_over(atlas, other)
    assert len(taken) == len(lost)
    assert all(data["cause"] == "died" and data["crash_count"] == 1 for data in taken)
    wait_until(lambda: atlas.run_state() == "completed", "the run is completed")
    assert {key for key, count in effects.starts().items() if count > 1} <= lost
    assert set(effects.ends().values()) <= {1, 2}
    assert_sound(atlas)
    wait_for_tidiness(atlas, 1)
    stop(second)
    assert_nothing_left(atlas)


def test_frozen_worker_loses_its_work_and_goes_on_later(atlas: Atlas, effects: Effects) -> None:
    workers = {boot: worker for worker, boot in (start_worker(atlas), start_worker(atlas))}
    atlas("run", atlas.plan([effects.todo("long", [], 5.0)]), "--detach", code=0)
    wait_until(lambda: effects.starts()["long"] == 1, "one works")
    [boot] = [boot for boot in workers if owned_by(atlas, boot)]
    [other_boot] = set(workers) - {boot}
    frozen, other = workers[boot], workers[other_boot]
    frozen.send(signal.SIGSTOP)
    stopped = time.monotonic()
    took = assert_gone(atlas, stopped, frozen, other, within=PULSE_LIMIT_SECONDS + 1.5)
    assert took > 1, "killed before the worker could be missed"

    wait_until(lambda: "long" in owned_by(atlas, other_boot), "the other worker took over", 3 * LEASE_SECONDS)
    assert time.monotonic() - stopped > LEASE_SECONDS - 3  # not before its lease ran out
    [taken] = took_over(atlas, other_boot)
    assert (taken["cause"], taken["crash_count"]) == ("lease_lost", 0)
    before = atlas.sql("SELECT * FROM todo")
    frozen.send(signal.SIGCONT)
    wait_until(lambda: "the lease ran out" in frozen.err, "it notices")
    assert atlas.sql("SELECT * FROM todo") == before
    wait_until(lambda: atlas.run_state() == "completed", "the run is completed")
    assert (effects.starts()["long"], effects.ends()["long"]) == (2, 1)
    assert_sound(atlas)

    stop(other)
    atlas("run", atlas.plan([effects.todo("next", [])], "next"), "--detach", code=0)
    wait_until(lambda: atlas.run_state() == "completed", "the thawed worker goes on working")
    assert [row["worker"] for row in atlas.sql("SELECT worker FROM attempt ORDER BY started_at")][-1] == boot
    stop(frozen)
    assert_nothing_left(atlas)


def test_late_result_of_a_frozen_worker_changes_no_row(atlas: Atlas, effects: Effects) -> None:
    atlas("run", atlas.plan([effects.todo("t", [])]), "--detach", code=0)
    frozen, _ = start_worker(atlas, "worker.before_settle=stop")
    wait_until(lambda: effects.ends()["t"] == 1, "it has a result")
    other, _ = start_worker(atlas)
    wait_until(lambda: atlas.run_state() == "completed", "the other worker took over", 3 * LEASE_SECONDS)
    tables = ("todo", "attempt", "evidence", "run", "event", "artifact")
    before = [atlas.sql(f"SELECT * FROM {table}") for table in tables]  # noqa: S608  our own names
    frozen.send(signal.SIGCONT)
    wait_until(lambda: "its result was refused" in frozen.err, "its result comes too late")
    assert [atlas.sql(f"SELECT * FROM {table}") for table in tables] == before  # noqa: S608
    assert effects.starts()["t"] == 2
    assert_sound(atlas)
    stop(frozen, other)


def test_todo_that_kills_its_workers_is_poison_until_it_is_tried_again(atlas: Atlas, effects: Effects) -> None:
    healed = atlas.directory / "healed"
    poison = effects.todo("poison", [], then=f"test -e '{healed}' || sleep {PATIENCE}")
    atlas("run", atlas.plan([poison, effects.todo("after", ["poison"]), effects.todo("other", [])]), "--detach", code=0)
    boots: list[str] = []
    for deaths in range(3):
        worker, boot = start_worker(atlas)
        wait_until(lambda deaths=deaths: effects.starts()["poison"] == deaths + 1, f"attempt {deaths + 1}")
        wait_until(lambda: atlas.states()["other"] == "completed", "the other TODO is completed")
        worker.kill()
        boots.append(boot)
    last, _ = start_worker(atlas)
    wait_until(lambda: atlas.run_state() == "failed", f"the run has failed: {atlas.states()}")
    [row] = atlas.sql("SELECT * FROM todo WHERE key = 'poison'")
    assert (row["state"], row["reason"], row["crash_count"], row["attempt"]) == ("failed", "poison", 3, 0)
    assert "3" in row["detail"]
    assert boots[-1][-8:] in row["detail"], "who died last, for whoever looks into its log"
    assert atlas.states() == {"poison": "failed", "after": "skipped", "other": "completed"}
    assert effects.starts() == {"poison": 3, "other": 1}
    assert_sound(atlas)
    wait_for_tidiness(atlas, 1)

    healed.touch()
    atlas("retry", "last", "poison", code=0)
    wait_until(lambda: atlas.run_state() == "completed", f"it is tried again: {atlas.states()}")
    assert effects.starts() == {"poison": 4, "other": 1, "after": 1}
    [row] = atlas.sql("SELECT * FROM todo WHERE key = 'poison'")
    assert (row["state"], row["crash_count"]) == ("completed", 0)
    assert_sound(atlas)
    stop(last)
    assert_nothing_left(atlas)


def test_what_does_not_end_within_the_grace_is_given_back(atlas: Atlas, effects: Effects) -> None:
    todos = [effects.todo("short", [], 1.0), effects.todo("long", [], PATIENCE)]
    atlas("run", atlas.plan(todos), "--detach", code=0)
    atlas.variables["ATLAS_WORKER_GRACE"] = "4s"
    worker, _ = start_worker(atlas)
    wait_until(lambda: effects.starts() == {"short": 1, "long": 1}, "it works")
    worker.send(signal.SIGTERM)
    assert worker.ended().code == 0, worker.err
    rows = {row["key"]: row for row in atlas.sql("SELECT * FROM todo")}
    assert rows["short"]["state"] == "completed"
    assert (rows["long"]["state"], rows["long"]["crash_count"], rows["long"]["attempt"]) == ("ready", 0, 0)
    assert effects.ends() == {"short": 1}
    assert_sound(atlas)
    assert_nothing_left(atlas)


def test_drained_worker_counts_nothing_against_what_it_gives_back(atlas: Atlas, effects: Effects) -> None:
    atlas("run", atlas.plan([effects.todo("t", [], 2.0)]), "--detach", code=0)
    first, _ = start_worker(atlas)
    wait_until(lambda: effects.starts()["t"] == 1, "it works")
    first.send(signal.SIGINT)
    interrupted = time.monotonic()
    assert_gone(atlas, interrupted, first)
    assert first.ended().code in (0, 130), first.err
    [row] = atlas.sql("SELECT * FROM todo")
    assert (row["state"], row["crash_count"], row["attempt"]) == ("ready", 0, 0)
    second, _ = start_worker(atlas)
    wait_until(lambda: effects.starts()["t"] == 2, "another one works on it")
    second.send(signal.SIGTERM)  # finishes what runs
    assert second.ended().code == 0
    assert atlas.run_state() == "completed"
    assert_sound(atlas)
    assert_nothing_left(atlas)
