"""What real workers tell others while one of them is killed: the topic exchange, webhooks as atlas.toml names them, and
whoever asks for their health and metrics."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
from collections import defaultdict
from pathlib import Path
from typing import Any

import aio_pika
import httpx
import pytest

from tests.acceptance.command_line import Atlas, Running, wait_until
from tests.acceptance.effects import Effects
from tests.services.rabbit_client import until
from tests.services.webhook_receiver import Received, Receiver, receiver

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

KEY = b"the key of the team's own webhook"
PATIENCE = 60.0


def signed(received: Received) -> bool:
    """As Standard Webhooks says."""
    id, moment = (received.headers[f"webhook-{name}"] for name in ("id", "timestamp"))
    made = hmac.new(KEY, b"%b.%b.%b" % (id.encode(), moment.encode(), received.body), hashlib.sha256).digest()
    return received.headers["webhook-signature"] == f"v1,{base64.b64encode(made).decode()}"


def in_order(events: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Numbers by run, each where it came for the first time."""
    found: dict[str, list[int]] = defaultdict(list)
    for event in events:
        if event["seq"] not in found[event["run"]]:
            found[event["run"]].append(event["seq"])
    return found


def asked(health: Path, path: str) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(health)), base_url="http://worker") as client:
        return client.get(path)


def worked_off(atlas: Atlas, effects: Effects, hook: Receiver) -> list[dict[str, Any]]:
    """Six runs by two workers, each of which is killed once; as they are in the end."""

    def start() -> Running:
        worker = atlas.start("worker")
        wait_until(lambda: "worker " in worker.err, "it is up")
        return worker

    workers = [start(), start()]
    for number in range(6):
        todos = [effects.todo(f"{number}-{each}", [], 0.3) for each in range(4)]
        atlas("run", atlas.plan(todos, f"p{number}"), "--detach", code=0)
        if number in (2, 4):  # one of them tells, whichever it is
            wait_until(lambda: bool(hook.received), "something is told")
            workers.pop(0).kill()
            workers.append(start())
    for run in atlas("runs", "--json", code=0).rows:
        atlas("watch", run["id"], code=0)
    return atlas("runs", "--json", code=0).rows


async def test_all_is_told_in_order_though_who_tells_it_is_killed(
    atlas: Atlas, effects: Effects, postgres_database: str, rabbitmq_alone: str
) -> None:
    atlas.variables |= {"ATLAS_DATABASE_URL": postgres_database, "ATLAS_BROKER_URL": rabbitmq_alone}
    async with receiver() as hook, await aio_pika.connect(rabbitmq_alone) as connection:
        (secret := atlas.directory / "secret").write_text(f"whsec_{base64.b64encode(KEY).decode()}\n")
        atlas.home.mkdir(parents=True, exist_ok=True)
        (atlas.home / "atlas.toml").write_text(
            f'[webhooks.team]\nurl = "{hook.url}"\nsecret_file = "{secret}"\nevents = ["run.state", "todo.*"]\n'
        )
        channel = await connection.channel()
        exchange = await channel.declare_exchange("atlas.events", "topic", durable=True)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, "#")
        heard: list[dict[str, Any]] = []

        async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            async with message.process():
                heard.append(json.loads(message.body))

        await queue.consume(hear)

        runs = await asyncio.to_thread(worked_off, atlas, effects, hook)
        assert {run["state"] for run in runs} == {"completed"}
        every = {run["id"]: list(range(1, run["last_event"] + 1)) for run in runs}
        await until(lambda: in_order(heard) == every, PATIENCE)

        def posted() -> list[dict[str, Any]]:
            return [each.event for each in hook.received]

        worth = [event for event in heard if event["type"] == "run.state" or event["type"].startswith("todo.")]
        wanted = in_order(sorted(worth, key=lambda each: (each["run"], each["seq"])))
        await until(lambda: in_order(posted()) == wanted, PATIENCE)
        assert all(signed(each) for each in hook.received)
        assert {f"{event['run']}/{event['seq']}" for event in posted()} == {
            each.headers["webhook-id"] for each in hook.received
        }
        await asyncio.to_thread(atlas.kill_all)
        await until(lambda: not hook.serving, PATIENCE)  # whoever told has gone


def test_a_worker_tells_how_it_is(atlas: Atlas, effects: Effects, postgres_database: str, rabbitmq_alone: str) -> None:
    atlas.variables |= {"ATLAS_DATABASE_URL": postgres_database, "ATLAS_BROKER_URL": rabbitmq_alone}
    health = atlas.directory / "health"
    worker = atlas.start("worker", "--health", f"unix://{health}")
    wait_until(health.exists, f"it listens: {worker.err}")
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(health))
        raw.sendall(b"nonsense\r\n\r\n")
        raw.recv(100)
    assert asked(health, "/healthz").status_code == 200
    wait_until(lambda: asked(health, "/readyz").status_code == 200, "it takes TODOs")
    atlas("run", atlas.plan([effects.todo("t", [])]), "--detach", code=0)
    atlas("watch", "last", code=0)
    text = asked(health, "/metrics").raise_for_status().text
    assert "# TYPE atlas_" in text
    assert any(
        line.startswith("atlas_") and "completed" in line and line.endswith(" 1.0") for line in text.splitlines()
    )
    assert asked(health, "/nothing").status_code == 404
