"""What the world does to a run: no engine, no store, a locked database, a full disk. It says so, and goes on."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.command_line import COMMAND, Atlas, installation, wait_until
from tests.acceptance.effects import Effects
from tests.acceptance.invariants import assert_sound
from tests.acceptance.processes import assert_nothing_left
from tests.services.ports import free_port
from tests.services.s3 import S3Service, moto_process
from tests.services.small_disk import fill, small_disk

_LOCKED_SECONDS = float(os.environ.get("ATLAS_TEST_LOCKED_SECONDS", "6"))


def test_no_engine_blocks_and_says_so(atlas: Atlas, effects: Effects) -> None:
    todos = [{"id": "contained", "run": "true", "image": "python:3.12-slim"}, effects.todo("after", ["contained"])]
    ended = atlas("run", atlas.plan(todos, sandbox="docker"), code=3)
    assert atlas.states() == {"contained": "blocked", "after": "pending"}
    assert "contained blocked (sandbox)" in ended.out
    assert "atlas doctor" in ended.out
    assert not effects.lines()
    assert_sound(atlas)


def test_the_doctor_says_once_what_to_do_about_no_engine(atlas: Atlas) -> None:
    atlas.variables |= {"DOCKER_HOST": "unix:///none.sock"}
    said = atlas("doctor").out
    assert "No such file or directory; commands of yours run on the host" in said
    assert said.count("Start Docker") == 1
    assert "sandbox: host" not in said


def test_unreachable_store_blocks_and_retry_goes_on(atlas: Atlas) -> None:
    port = free_port()
    service = S3Service(f"http://127.0.0.1:{port}")
    atlas.variables |= {
        "ATLAS_S3_ENDPOINT": service.endpoint, "AWS_ACCESS_KEY_ID": service.access_key,
        "AWS_SECRET_ACCESS_KEY": service.secret_key,
    }  # fmt: skip
    todos = [
        {"id": "here", "run": "true"},
        {"id": "away", "run": "cat in.txt >out.txt", "inputs": {"s3://bucket/in.txt": "in.txt"},
         "outputs": {"out.txt": "s3://bucket/out/"}},
        {"id": "leaves", "run": "echo x >out.txt", "outputs": {"out.txt": "s3://bucket/leaves/"}},
        {"id": "after", "run": "grep -q content got.txt", "inputs": {"s3://bucket/out/out.txt": "got.txt"},
         "needs": ["away"]},
    ]  # fmt: skip
    ended = atlas("run", atlas.plan(todos), code=3)
    assert atlas.states() == {"here": "completed", "away": "blocked", "leaves": "blocked", "after": "pending"}
    assert "away blocked (store)" in ended.out
    assert str(port) in ended.out or "s3://bucket/in.txt" in ended.out
    server = moto_process(port)
    try:
        client = service.client()
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key="in.txt", Body=b"content\n")
        atlas("retry", "last", "away", code=3)
        atlas("retry", "last", "leaves", code=0)
        assert set(atlas.states().values()) == {"completed"}
        assert client.get_object(Bucket="bucket", Key="out/out.txt")["Body"].read() == b"content\n"
        client.close()
    finally:
        server.terminate()
        server.wait()
    assert_sound(atlas)


def test_locked_database_is_waited_for(atlas: Atlas, effects: Effects) -> None:
    plan = atlas.plan([effects.todo(f"t{number}", [], 0.2) for number in range(40)], concurrency=4)
    running = atlas.start("run", plan)
    wait_until(lambda: len(effects.ends()) >= 4, "it is going")
    with closing(sqlite3.connect(atlas.database, isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN EXCLUSIVE")
        locked = time.monotonic()
        wait_until(lambda: time.monotonic() - locked > _LOCKED_SECONDS, "locked for long", 2 * _LOCKED_SECONDS)
        assert running.alive, running.ended()
        other.execute("ROLLBACK")
    ended = running.ended()
    assert ended.code == 0, ended
    assert "locked by another program" in ended.err
    assert "Traceback" not in ended.err
    assert set(effects.starts().values()) == {1}
    assert_sound(atlas)
    assert_nothing_left(atlas)


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Generator[Path]:
    with small_disk(tmp_path / "disk") as directory:
        yield directory


def test_full_disk_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    with installation(tmp_path / "installation", ATLAS_HOME=str(small_disk)) as atlas:
        effects = Effects(atlas)
        todos = [effects.todo(f"t{number:02d}", [f"t{number - 1:02d}"] if number else [], 0.1) for number in range(12)]
        running = atlas.start("run", atlas.plan(todos))
        wait_until(lambda: len(effects.ends()) >= 2, "it is going")
        ballast = fill(small_disk)
        wait_until(lambda: "no room left" in running.err or not running.alive, "it notices")
        ballast.unlink()
        ended = running.ended()
        assert "Traceback" not in ended.err, ended
        if ended.code != 0:  # a TODO that could not be carried out is blocked, and says why
            assert ended.code == 3, ended
            blocked = atlas.sql("SELECT key, reason, detail FROM todo WHERE state = 'blocked'")
            assert all(row["reason"] == "store" and "no space" in row["detail"] for row in blocked), blocked
            for row in blocked:
                atlas("retry", "last", row["key"])
        assert set(atlas.states().values()) == {"completed"}
        assert_sound(atlas)


def test_submitting_to_a_full_disk_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    with installation(tmp_path / "installation", ATLAS_HOME=str(small_disk)) as atlas:
        plan = atlas.plan([{"id": "a", "run": "true"}])
        atlas("runs", code=0)
        fat = atlas.plan([{"id": f"t{number}", "run": "true # " + "x" * 20_000} for number in range(100)], "fat")
        with (small_disk / "ballast").open("wb", buffering=0) as file:
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            file.write(bytes(max(0, free - (1 << 20))))
        ended = atlas("run", fat, "--detach", code=1)
        assert "no room left" in ended.err
        (small_disk / "ballast").unlink()
        assert atlas.sql("SELECT count(*) AS n FROM run") == [{"n": 0}]
        atlas("run", plan, code=0)
        assert_sound(atlas)


def test_home_that_cannot_be_used_is_told(atlas: Atlas) -> None:
    plan = atlas.plan([{"id": "a", "run": "true"}])
    file = atlas.directory / "file"
    file.touch()
    ended = atlas("run", plan, code=2, ATLAS_HOME=str(file / "below"))
    assert "ATLAS_HOME" in ended.err
    garbage = atlas.directory / "garbage.db"
    garbage.write_bytes(b"no database " * 1000)
    ended = atlas("run", plan, code=1, ATLAS_DATABASE_URL=f"sqlite:///{garbage}")
    assert "not a readable SQLite database" in ended.err
    assert garbage.read_bytes() == b"no database " * 1000
    worker = atlas.start("worker", ATLAS_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert worker.ended().code in (1, 2)
    assert "Traceback" not in worker.err
    worker.send(signal.SIGTERM)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(atlas: Atlas, effects: Effects, closed: str) -> None:
    plan = atlas.plan([effects.todo("a", []), effects.todo("b", ["a"])])
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "run", str(plan)]
    ended = subprocess.run(command, env=atlas.environment(), cwd=atlas.work, timeout=60, check=False)
    assert ended.returncode == 0
    assert atlas.states() == {"a": "completed", "b": "completed"}
    assert_sound(atlas)
