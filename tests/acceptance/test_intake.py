"""Tasks that other programs put into RabbitMQ, through to what comes back, with real workers that are killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import aio_pika
import pytest

from tests.acceptance.command_line import Atlas, wait_until
from tests.acceptance.processes import assert_nothing_left
from tests.acceptance.test_submit import document, stopped, worker, written
from tests.services.rabbit_client import Peer
from tests.services.rabbitmq import RabbitServer

pytestmark = pytest.mark.rabbitmq
T = TypeVar("T")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def intake(atlas: Atlas, request: pytest.FixtureRequest, rabbitmq_alone: str) -> Atlas:
    """An installation with a broker of its own, whose workers may use this host."""
    atlas.variables |= {
        "ATLAS_BROKER_URL": rabbitmq_alone,
        "ATLAS_ALLOW_HOST": "true",
        "ATLAS_INTAKE_REMOTES": "file:///,s3://",
    }
    if request.param == "postgres":
        atlas.variables["ATLAS_DATABASE_URL"] = request.getfixturevalue("postgres_database")
    return atlas


def runs(atlas: Atlas) -> list[dict[str, Any]]:
    return atlas("runs", "--json", code=0).rows


def letters(url: str, number: int) -> list[tuple[bytes, str]]:
    """(body, reason) of so many dead letters."""

    async def take() -> list[tuple[bytes, str]]:
        async with await aio_pika.connect(url) as connection:
            peer = Peer(await connection.channel(), "atlas")
            taken = [await peer.take("dead") for _ in range(number)]
            return [(each.body, str(each.headers["x-atlas-reason"])) for each in taken]

    return _apart(lambda: asyncio.run(take()))


def waiting(url: str) -> int:
    """Messages in the intake queue that nobody holds."""

    async def look() -> int:
        async with await aio_pika.connect(url) as connection:
            return await Peer(await connection.channel(), "atlas").ready("intake")

    return _apart(lambda: asyncio.run(look()))


def _apart(call: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def test_what_is_handed_in_is_carried_out_and_what_is_no_task_comes_back(intake: Atlas) -> None:
    url = intake.variables["ATLAS_BROKER_URL"]
    hand = worker(intake)
    path = written(intake, document(intake, "echo from outside; exit 4"))
    sent = intake("submit", path, "--amqp", code=0)
    assert "billing/1: in the intake queue" in sent.out
    assert "warning" not in sent.err
    warned = intake("submit", path, "--amqp", code=0, ATLAS_INTAKE_REMOTES="s3://")
    assert "workers with these settings refuse file://" in warned.err
    assert {row["name"]: row["state"] for row in intake("doctor", "--json").rows}["broker"] == "good"
    [told] = intake("submit", path, "--amqp", "--json", code=0).rows
    assert told == {"message": "billing/1"}
    log = intake.work / "log.txt"
    wait_until(log.exists, "its output comes back, though it failed")
    assert log.read_text() == "from outside\n"
    bad = document(intake, comand="x")
    intake("submit", written(intake, bad, "bad.json"), "--amqp", "--unchecked", code=0)
    [(body, reason)] = letters(url, 1)
    assert json.loads(body) == bad
    assert reason.startswith("billing/1: task:")
    assert 'did you mean "command"?' in reason
    assert [(run["name"], run["state"]) for run in runs(intake)] == [("billing/1", "failed")]
    [again] = intake("submit", path, "--json", code=0).rows
    assert again["repeated"], "by whatever way it comes"
    stopped(hand)
    assert_nothing_left(intake)


@pytest.mark.parametrize("failpoint", ["intake.received", "submit.before_commit", "submit.after_commit"])
def test_killed_between_receipt_and_acknowledgement_it_is_one_run(intake: Atlas, failpoint: str) -> None:
    first = worker(intake, f"{failpoint}=kill")
    intake("submit", written(intake, document(intake)), "--amqp", code=0)
    assert first.ended().code == -signal.SIGKILL
    assert len(runs(intake)) == (failpoint == "submit.after_commit")
    second = worker(intake)
    log = intake.work / "log.txt"
    wait_until(log.exists, "another worker takes it")
    url = intake.variables["ATLAS_BROKER_URL"]
    intake("submit", written(intake, {"schema": "the end"}), "--amqp", "--unchecked", code=0)
    letters(url, 1)  # so that all before it was taken
    assert [(run["name"], run["state"]) for run in runs(intake)] == [("billing/1", "completed")]
    stopped(second)
    assert waiting(url) == 0
    assert_nothing_left(intake)


def test_a_worker_that_is_not_to_leaves_the_queue_alone(atlas: Atlas, rabbitmq_alone: str) -> None:
    atlas.variables |= {
        "ATLAS_BROKER_URL": rabbitmq_alone,
        "ATLAS_ALLOW_HOST": "true",
        "ATLAS_INTAKE_REMOTES": "file:///,s3://",
    }
    idle = worker(atlas, intake=False)
    atlas("submit", written(atlas, document(atlas)), "--amqp", code=0)
    atlas("submit", written(atlas, document(atlas, id="2"), "other.json"), "--wait", code=0)  # it works, all the same
    assert waiting(rabbitmq_alone) == 1
    assert len(runs(atlas)) == 1
    stopped(idle)


def test_a_broker_that_comes_back_is_listened_to_again(
    atlas: Atlas, rabbitmq_alone: str, rabbitmq_own: RabbitServer
) -> None:
    atlas.variables |= {
        "ATLAS_BROKER_URL": rabbitmq_alone,
        "ATLAS_ALLOW_HOST": "true",
        "ATLAS_INTAKE_REMOTES": "file:///,s3://",
    }
    hand = worker(atlas)
    path = written(atlas, document(atlas))
    rabbitmq_own.stop_app()
    try:
        assert "RabbitMQ at 127.0.0.1:" in atlas("submit", path, "--amqp", code=1).err
        found = {row["name"]: row for row in atlas("doctor", "--json").rows}["broker"]
        assert found["state"] == "limited", "workers do without"
        assert found["said"].startswith("RabbitMQ at 127.0.0.1:")
    finally:
        rabbitmq_own.start_app()
    atlas("submit", path, "--amqp", code=0)
    wait_until(Path(atlas.work / "log.txt").exists, "it is carried out")
    stopped(hand)
    assert hand.err.count("is away") == 1


def test_the_producer_of_the_manual_works(atlas: Atlas, rabbitmq_alone: str) -> None:
    atlas.variables |= {
        "ATLAS_BROKER_URL": rabbitmq_alone,
        "ATLAS_ALLOW_HOST": "true",
        "ATLAS_INTAKE_REMOTES": "file:///,s3://",
    }
    hand = worker(atlas)
    manual = (Path(__file__).resolve().parents[2] / "docs" / "tasks.md").read_text()
    [program] = re.findall(r"```python\n(.*?)```", manual, re.DOTALL)
    environment = {**os.environ, "ATLAS_BROKER_URL": rabbitmq_alone}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], cwd=atlas.work, env=environment, check=True, timeout=60)
    log = atlas.work / "hello.log"
    wait_until(log.exists, "what it wanted comes back")
    assert log.read_text() == "hello\n"
    [document] = re.findall(r"```json\n(.*?)```", manual, re.DOTALL)
    atlas("submit", "-", "--amqp", stdin=document.encode(), code=0)
    wait_until(lambda: len(runs(atlas)) == 2, "the manual's document is one, too")
    stopped(hand)
