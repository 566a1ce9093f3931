"""A worker that is hindered, by its host or by its age, is no reason for a TODO to fail: others do it, or it does it
later."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.acceptance.command_line import Atlas, wait_until
from tests.acceptance.effects import Effects
from tests.acceptance.invariants import assert_sound
from tests.services.engine_line import engine_line
from tests.services.small_disk import no_more_files, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Path]:
    with small_disk(tmp_path / "small") as directory:
        yield directory


def put_off(atlas: Atlas) -> list[str]:
    """Keys of TODOs, as often as they were."""
    rows = atlas.sql(
        "SELECT key FROM attempt JOIN todo ON id = todo_id WHERE outcome = 'released' AND attempt.reason = 'hindered'"
    )
    return [row["key"] for row in rows]


def test_a_worker_without_room_on_its_disk_leaves_the_queue_to_others(
    atlas: Atlas, effects: Effects, disk: Path
) -> None:
    """Failing is quick: it would have blocked all that is queued, while another worker was well."""
    sick = atlas.start(
        "worker", "--concurrency", "2", ATLAS_HOME=str(disk), ATLAS_DATABASE_URL=f"sqlite:///{atlas.database}"
    )
    wait_until(lambda: atlas.has_tables() and atlas.sql("SELECT 1 FROM worker"), "it is up")
    with no_more_files(disk):
        todos = [effects.todo(f"t{number}", [], 0.3) for number in range(40)]
        atlas("run", atlas.plan(todos, concurrency=40), "--detach", code=0)
        wait_until(lambda: "takes nothing for" in sick.err, f"it rests: {sick.err}")
        well = atlas.start("worker", "--concurrency", "2")
        wait_until(lambda: atlas.run_state() == "completed", "the other one does it")
        assert 1 <= len(put_off(atlas)) <= 20
        assert "no space left on this worker's disk" in sick.err
        well.send(signal.SIGTERM)
        assert well.ended().code == 0
    atlas("run", atlas.plan([effects.todo("later", [])], "later"), "--detach", code=0)
    wait_until(lambda: atlas.run_state() == "completed", "it is well again")
    sick.send(signal.SIGTERM)
    assert sick.ended().code == 0
    assert_sound(atlas)


def test_a_worker_that_may_open_too_few_files_does_less_at_a_time(atlas: Atlas, effects: Effects) -> None:
    worker = atlas.start("worker", "--concurrency", "40")
    wait_until(lambda: atlas.has_tables() and atlas.sql("SELECT 1 FROM worker"), "it is up")
    opened = len([*Path(f"/proc/{worker.pid}/fd").iterdir()])
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (opened + 40, opened + 40))
    todos = [effects.todo(f"t{number}", [], 0.3) for number in range(30)]
    atlas("run", atlas.plan(todos, concurrency=40), "--detach", code=0)
    wait_until(lambda: atlas.run_state() == "completed", f"all are done: {worker.err}")
    assert put_off(atlas), "it was short of them"
    assert sum(effects.ends().values()) == 30
    assert_sound(atlas)


def test_what_a_newer_version_wrote_waits_for_a_newer_worker(atlas: Atlas, effects: Effects) -> None:
    atlas("run", atlas.plan([effects.todo("new", []), effects.todo("old", [])]), "--detach", code=0)
    [row] = atlas.sql("SELECT document FROM todo WHERE key = 'new'")
    atlas.change("UPDATE todo SET document = ? WHERE key = 'new'", json.dumps({**json.loads(row["document"]), "x": 1}))
    worker = atlas.start("worker")
    wait_until(lambda: put_off(atlas) == ["new"], "it is put off")
    told = atlas.sql("SELECT data FROM event WHERE type = 'todo.progress'")
    assert "was written by another version of Atlas" in told[-1]["data"]
    wait_until(lambda: atlas.states()["old"] == "completed", "the rest goes on")
    atlas.change("UPDATE todo SET document = ? WHERE key = 'new'", row["document"])
    wait_until(lambda: atlas.run_state() == "completed", f"it is done later: {worker.err}")
    assert "Traceback" not in worker.err
    assert_sound(atlas)


def test_who_waits_for_his_own_run_is_told_at_once(atlas: Atlas, effects: Effects) -> None:
    running = atlas.start("run", atlas.plan([effects.todo("old", [], 2.0), effects.todo("new", ["old"])]))
    wait_until(lambda: effects.starts()["old"], "it is going")
    atlas.change("UPDATE todo SET document = json_set(document, '$.x', 1) WHERE key = 'new'")
    ended = running.ended()
    assert ended.code == 3, ended
    assert "new blocked (input): this TODO was written by another version of Atlas" in ended.out
    assert "Upgrade this worker." in ended.out


@pytest.mark.docker
def test_an_engine_that_is_away_for_a_while_fails_and_blocks_nothing(
    atlas: Atlas, tmp_path: Path, docker_url: str, busybox_image: str
) -> None:
    """As when a guard is replaced by a newer one."""
    todos = [{"id": f"t{number}", "run": "true", "image": busybox_image} for number in range(6)]
    with engine_line(tmp_path, docker_url) as line:
        atlas.variables |= {"DOCKER_HOST": line.url, "ATLAS_DOCKER_NETWORK": "host"}
        worker = atlas.start("worker", "--concurrency", "2")
        atlas("run", atlas.plan(todos[:1], "before", sandbox="docker"), "--detach", code=0)
        wait_until(lambda: atlas.states().get("t0") == "completed", "the engine is used")
        line.cut()
        atlas("run", atlas.plan(todos, sandbox="docker"), "--detach", code=0)
        wait_until(lambda: len(put_off(atlas)) >= 2, "it is away")
        line.mend()
        wait_until(lambda: atlas.run_state() == "completed", f"it goes on: {worker.err}")
    assert "No engine answers at" in worker.err
    assert_sound(atlas)
