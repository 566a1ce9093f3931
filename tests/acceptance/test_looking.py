"""What programs and people read: NDJSON with the names of the design, logs to the byte, references, exit codes."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import time
from typing import Any

from state.limits import EVIDENCE_TAIL, LOG_BYTES
from tests.acceptance.command_line import COMMAND, Atlas, wait_until
from tests.acceptance.effects import Effects
from tests.acceptance.invariants import assert_sound

_RUN = {
    "id", "name", "goal", "state", "reason", "progress", "spend", "created_at", "updated_at", "last_event",
}  # fmt: skip
_TODO = {
    "id", "key", "title", "kind", "role", "state", "reason", "needs", "attempt", "progress", "checklist", "started_at",
    "ended_at",
}  # fmt: skip
_QUESTION = {"id", "run", "todo", "text", "choices", "state", "answer", "answered_by", "expires_at"}
_EVENT = {"run", "seq", "at", "type", "todo", "data"}


def test_json_has_the_names_of_the_design(atlas: Atlas, effects: Effects) -> None:
    todos = [
        effects.todo("a", []),
        {"id": "gate", "ask": "Go?", "choices": ["yes", "no"], "needs": ["a"]},
        {"id": "b", "run": "true", "needs": [{"gate": "yes"}]},
    ]
    rows = atlas("run", atlas.plan(todos, goal="All\nof it"), "--json", code=3).rows
    *events, run = rows
    assert all(set(event) == _EVENT for event in events)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert set(run) == _RUN
    assert (run["state"], run["progress"]) == ("awaiting_input", {"settled": 1, "total": 3})
    assert set(run["spend"]) == {"tokens", "cached_tokens", "usd"}
    assert atlas("runs", "--json", code=0).rows == [run]
    listed = atlas("todos", "last", "--json", code=0).rows
    assert all(set(todo) - {"detail"} == _TODO for todo in listed)
    assert [(todo["key"], todo["kind"], todo["needs"]) for todo in listed] == [
        ("a", "task", []), ("gate", "ask", ["a"]), ("b", "task", ["gate=yes"]),
    ]  # fmt: skip
    [question] = atlas("questions", "--json", code=0).rows
    assert set(question) == _QUESTION
    assert question["run"] == run["id"]
    assert set(atlas("answer", "gate", "yes", "--json", code=0).rows[0]) == _QUESTION
    assert set(atlas("hold", "last", "--json", code=0).rows[0]) == _RUN
    resumed = atlas("resume", "last", "--json", code=0).rows
    assert resumed[0]["seq"] > events[-1]["seq"]
    watched = atlas("watch", "last", "--json", "--after", "2", code=0).rows
    assert [row["seq"] for row in watched if "seq" in row] == list(range(3, resumed[-2]["seq"] + 1))
    error = json.loads(atlas("todos", "nobody", "--json", code=2).err)
    assert set(error["error"]) == {"code", "message", "hint"}
    assert_sound(atlas)


def test_references(atlas: Atlas) -> None:
    for name in ("one", "two"):
        atlas(
            "run", atlas.plan([{"id": key, "run": "true"} for key in ("ab-1", "ab-2", "c")], name), "--detach", code=0
        )
    one, two = (row["id"] for row in atlas.sql("SELECT id FROM run ORDER BY id"))
    for reference, run in (("one", one), (one[-8:], one), (two[-6:], two), ("last", two)):
        assert atlas("hold", reference, "--json", code=0).rows[0]["id"] == run
    assert "fits several runs" in atlas("cancel", one[:4], code=2).err
    assert "fits several TODOs" in atlas("logs", "one", "ab", code=2).err
    assert "ab-2 has not been started" in atlas("logs", "one", "ab-2", code=2).err
    for odd in ("", "%", "\udcff", "x" * 5000, "-1"):
        ended = atlas("todos", "--", odd, code=2)
        assert ended.out == ""
        assert ended.err


def test_closed_pipe_is_no_error(atlas: Atlas) -> None:
    for number in range(2):
        atlas(
            "run", atlas.plan([{"id": f"t{n}", "run": "true"} for n in range(1500)], f"p{number}"), "--detach", code=0
        )
    for arguments in ("todos last --json", "runs"):
        command = f"{' '.join(COMMAND)} {arguments} | head -1"
        ended = subprocess.run(
            ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
            capture_output=True, text=True, env=atlas.environment(), check=False, timeout=60,
        )  # fmt: skip
        assert ended.stderr == "", ended
        assert ended.returncode == 0, ended
        assert len(ended.stdout.splitlines()) == 1


def test_two_thousand_todos_take_seconds(atlas: Atlas) -> None:
    chance = random.Random(7)
    keys = [f"t{number:04d}" for number in range(2000)]
    todos: list[dict[str, Any]] = [
        {"id": key, "run": "true", "needs": chance.sample(keys[:place], min(place, 3))}
        for place, key in enumerate(keys)
    ]  # fmt: skip
    plan = atlas.plan(todos, "big")
    for command in (("run", plan, "--detach"), ("todos", "last"), ("runs",), ("cancel", "last")):
        started = time.monotonic()
        atlas(*command, code=0)
        assert time.monotonic() - started < 30, command  # a second or two on an idle machine
    assert set(atlas.states().values()) == {"cancelled"}
    assert_sound(atlas)


# --- logs ------------------------------------------------------------------------------------------------------------

_BIG = """
import sys
block = bytes(range(256)) * 4096
for _ in range(30): sys.stdout.buffer.write(block)
"""
_SPLIT = """
import os, sys, time
secret = os.environ["TOKEN"].encode()
for place in range(1, len(secret)):
    for part in (secret[:place], secret[place:]):
        os.write(1, part)
        time.sleep(0.002)
os.write(2, b"err " + secret + b"\\n")
os.write(1, b"\\n" + b"x" * (262144 - 3 - (len(secret) - 1) * 14) + secret + b"\\nlast " + secret)
open("out.txt", "wb").write(b"nothing")
"""


def test_logs_are_byte_exact_and_bounded(atlas: Atlas) -> None:
    todos = [
        {"id": "binary", "run": ["python3", "-c", _BIG]},
        {"id": "line", "run": ["python3", "-c", "import sys; sys.stdout.write('x' * 30_000_000)"]},
        {"id": "silent", "run": "true"},
        {"id": "endless", "run": f"head -c {LOG_BYTES + 5_000_000} /dev/zero; echo the end"},
    ]
    atlas("run", atlas.plan(todos, concurrency=2), code=0)
    stored = {key: _log(atlas, key) for key in ("binary", "line", "silent", "endless")}
    for key, whole in (("binary", bytes(range(256)) * 4096 * 30), ("line", b"x" * 30_000_000)):
        assert len(stored[key]) == len(whole), key
        assert hashlib.sha256(stored[key]).digest() == hashlib.sha256(whole).digest(), key  # no diff of megabytes
    assert stored["silent"] == b""
    assert stored["endless"][:LOG_BYTES] == bytes(LOG_BYTES)
    assert b"cut here" in stored["endless"][LOG_BYTES:]
    assert len(stored["endless"]) < LOG_BYTES + 100
    tails = {row["key"]: row for row in atlas.sql("SELECT key, output_tail FROM evidence JOIN todo ON id = todo_id")}
    assert tails["line"]["output_tail"] == "x" * EVIDENCE_TAIL
    assert tails["endless"]["output_tail"].endswith("the end\n")
    assert "\0" not in tails["binary"]["output_tail"]
    assert max(row["n"] for row in atlas.sql("SELECT max(length(data)) AS n FROM event")) < 20_000


def _log(atlas: Atlas, key: str) -> bytes:
    command = [*COMMAND, "logs", "last", key]
    return subprocess.run(command, capture_output=True, env=atlas.environment(), check=True, timeout=120).stdout


def test_secrets_are_nowhere(atlas: Atlas) -> None:
    secret = "s3cr3t-VALUE-9"
    atlas.variables |= {"ATLAS_SECRETS_ALLOW": "TOKEN", "TOKEN": secret}
    todos = [
        {"id": "prints", "run": ["python3", "-c", _SPLIT], "secrets": ["TOKEN"], "outputs": {"out.txt": "file://out/"}},
        {"id": "fails", "run": "echo $TOKEN >&2; exit 3", "secrets": ["TOKEN"]},
        {"id": "not-given", "run": "test -z \"$TOKEN\"", "verify": [{"run": "test -z \"$TOKEN\""}]},
        {"id": "forbidden", "run": "true", "secrets": ["PATH"]},
        {"id": "verified", "run": "true", "secrets": ["TOKEN"], "verify": [{"run": "test -z \"$TOKEN\""}]},
    ]  # fmt: skip
    ended = atlas("run", atlas.plan(todos), code=3, ATLAS_LOG_LEVEL="debug")
    assert atlas.states() == {
        "prints": "completed", "fails": "failed", "not-given": "completed", "forbidden": "blocked",
        "verified": "completed",
    }  # fmt: skip
    assert "forbidden blocked (secret)" in ended.out
    log = atlas("logs", "last", "prints", code=0)
    assert log.out.count("[secret TOKEN]") == len(secret) - 1 + 3
    shown = [ended, log, atlas("evidence", "last", "--json"), atlas("todos", "last")]
    assert not [each for each in shown if secret in each.out + each.err]
    assert "[secret TOKEN]" in ended.out  # the reason of the failure has its last line
    found = [
        path
        for path in [*atlas.home.rglob("*"), *(atlas.work / "out").rglob("*")]
        if path.is_file() and secret.encode() in path.read_bytes()
    ]
    assert not found


def test_logs_while_it_runs(atlas: Atlas) -> None:
    running = atlas.start("run", atlas.plan([{"id": "a", "run": "echo early; sleep 60"}]))
    wait_until(lambda: "a" in atlas.states() and "early" in atlas("logs", "last", "a").out, "its log so far")
    running.kill()
