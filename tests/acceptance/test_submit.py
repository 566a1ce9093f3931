"""`atlas submit`: one task, one run, however often and by how many it is handed in."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from state.limits import DOCUMENT_BYTES
from tests.acceptance.command_line import Atlas, Running, wait_until
from tests.acceptance.invariants import assert_no_rows, assert_sound
from tests.acceptance.processes import assert_nothing_left
from tests.services.ports import free_port


def document(atlas: Atlas, script: str = "echo out", **keys: Any) -> dict[str, Any]:
    """A task whose standard output goes to `work/log.txt`, always."""
    stdout = {"remote": f"file://{atlas.work}/log.txt"}
    base = {"schema": "atlas.task/1", "source": "billing", "id": "1", "command": ["sh", "-c", script], "stdout": stdout}
    return {**base, **keys}


def written(atlas: Atlas, task: dict[str, Any], name: str = "task.json") -> str:
    """In a file."""
    (atlas.work / name).write_text(json.dumps(task, indent=1))
    return name


def worker(atlas: Atlas, failpoints: str = "", *, intake: bool = True) -> Running:
    """One that is ready."""
    found = atlas.start("worker", ATLAS_FAILPOINTS=failpoints, ATLAS_WORKER_INTAKE=str(intake).lower())
    wait_until(lambda: "at a time" in found.err, "the worker is up")
    return found


def stopped(*workers: Running) -> None:
    """In good order."""
    for each in workers:
        each.send(signal.SIGTERM)
    for each in workers:
        ended = each.ended()
        assert ended.code == 0, ended
        assert "Traceback" not in ended.err, ended


def test_it_is_submitted_once_and_says_so(atlas: Atlas) -> None:
    path = written(atlas, document(atlas, name="The bill"))
    first = atlas("submit", path, code=0)
    assert first.out.startswith("The bill ")
    assert "submitted; a worker carries it out" in first.out
    again = atlas("submit", "-", stdin=(atlas.work / path).read_bytes(), code=0)
    assert "was handed in before, and nothing has changed; it is in_progress" in again.out
    assert not again.err
    [row] = atlas("submit", path, "--json", code=0).rows
    assert (row["name"], row["state"], row["repeated"]) == ("The bill", "in_progress", True)
    other = atlas("submit", written(atlas, document(atlas, "echo other")), "--json", code=0)
    assert "warning: billing/1 was handed in before with another document" in other.err
    assert other.rows[0]["id"] == row["id"]
    [new] = atlas("submit", written(atlas, document(atlas, id="2")), "--json", code=0).rows
    assert (new["name"], new["repeated"]) == ("billing/2", False)
    assert len(atlas.sql("SELECT * FROM run")) == len(atlas.sql("SELECT * FROM todo")) == 2
    assert {row["provenance"] for row in atlas.sql("SELECT provenance FROM run")} == {"person"}
    assert_sound(atlas)


def test_many_at_once_are_one_run(atlas: Atlas) -> None:
    atlas("db", "upgrade", code=0)
    path = written(atlas, document(atlas))
    several = [atlas.start("submit", path, "--json") for _ in range(4)]
    rows = [each.ended() for each in several]
    assert [each.code for each in rows] == [0] * 4, rows
    assert len({each.rows[0]["id"] for each in rows}) == 1
    assert sorted(each.rows[0]["repeated"] for each in rows) == [False, True, True, True]


def test_waiting_ends_as_the_run_does(atlas: Atlas) -> None:
    hand = worker(atlas)
    good = atlas("submit", written(atlas, document(atlas)), "--wait", code=0)
    assert "billing/1" in good.out
    assert "completed, 1/1 settled" in good.out
    assert (atlas.work / "log.txt").read_text() == "out\n"
    bad = atlas("submit", written(atlas, document(atlas, "echo no; exit 7", id="2")), "--wait", code=1)
    assert "failed (exit): exit code 7: no" in bad.out
    wait_until(lambda: (atlas.work / "log.txt").read_text() == "no\n", "its output is published, too")
    atlas("submit", written(atlas, document(atlas, id="2")), "--wait", code=1)  # has ended already
    events = atlas("submit", written(atlas, document(atlas, id="3")), "--wait", "--json", code=0).rows
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert "file://" in atlas("evidence", "last", code=0).out
    stopped(hand)
    assert_sound(atlas)
    assert_nothing_left(atlas)


def test_bad_documents_are_refused_with_their_line(atlas: Atlas) -> None:
    task = document(atlas)
    del task["command"]
    ended = atlas("submit", written(atlas, {**task, "comand": ["x"]}), code=2)
    assert 'task.json:8:2: comand: unknown key; did you mean "command"?' in ended.err
    assert "command: this key is required" in ended.err
    (atlas.work / "task.json").write_text("{")
    assert "task.json:1:2: not JSON: " in atlas("submit", "task.json", code=2).err
    assert "no-such.json does not exist" in atlas("submit", "no-such.json", code=2).err
    assert "at most 4,194,304 bytes" in atlas("submit", "-", stdin=b" " * (DOCUMENT_BYTES + 1), code=2).err
    assert "--unchecked is for --amqp" in atlas("submit", "task.json", "--unchecked", code=2).err
    [error] = [json.loads(line) for line in atlas("submit", "task.json", "--json", code=2).err.splitlines()]
    assert error["error"]["code"] == "bad_document"
    assert_no_rows(atlas)


def test_without_a_broker_it_says_what_is_missing(atlas: Atlas) -> None:
    path = written(atlas, document(atlas))
    assert "needs a broker, and none is set" in atlas("submit", path, "--amqp", code=2).err
    nowhere = f"amqp://127.0.0.1:{free_port()}/"
    ended = atlas("submit", path, "--amqp", code=1, ATLAS_BROKER_URL=nowhere, ATLAS_INTAKE_REMOTES="file:///")
    assert ended.err.startswith("atlas: RabbitMQ at 127.0.0.1:")
    assert len(ended.err.splitlines()) == 2, ended
    assert "--wait can't be had with --amqp" in atlas("submit", path, "--amqp", "--wait", code=2).err
    bad = atlas("submit", written(atlas, {"schema": "atlas.task/1"}), "--amqp", code=2, ATLAS_BROKER_URL=nowhere)
    assert "command: this key is required" in bad.err
    (atlas.work / "task.yaml").write_text("schema: atlas.task/1\n")
    assert "not JSON" in atlas("submit", "task.yaml", "--amqp", code=2, ATLAS_BROKER_URL=nowhere).err
    assert not atlas.database.exists()


@pytest.mark.parametrize("failpoint", ["leftovers.staged", "outputs.before_publish", "outputs.after_publish"])
def test_what_a_failure_leaves_outlives_its_worker(atlas: Atlas, failpoint: str) -> None:
    first = worker(atlas, f"{failpoint}=kill")
    atlas("submit", written(atlas, document(atlas, "echo said; exit 7")), code=0)
    assert first.ended().code == -signal.SIGKILL
    second = worker(atlas)

    def published() -> bool:
        return atlas.sql("SELECT published_at IS NOT NULL AS done FROM artifact") == [{"done": 1}]

    wait_until(published, "another one sees to it")
    assert (atlas.work / "log.txt").read_text() == "said\n"
    [todo] = atlas.sql("SELECT * FROM todo")
    died_at_work = int(failpoint == "leftovers.staged")
    assert (todo["state"], todo["reason"], todo["crash_count"]) == ("failed", "exit", died_at_work)
    assert_sound(atlas)
    stopped(second)
    assert_nothing_left(atlas)
