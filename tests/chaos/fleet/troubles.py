"""What happens to a fleet. Each trouble does one thing, ends it where it has an end, and says what it was."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import psycopg
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import QueueEmpty

from state.records import new_id
from tests.chaos.fleet.ground import Ground
from tests.chaos.fleet.workers import Hand
from tests.services.postgres import statement

Trouble = Callable[[Ground, random.Random], Coroutine[Any, Any, str]]
_SECONDS = 60.0
_QUEUES = ("atlas.todos", "atlas.todos", "atlas.intake", "atlas.dead")
AWAY = (OSError, psycopg.Error, *aio_pika.exceptions.CONNECTION_EXCEPTIONS, aio_pika.exceptions.AMQPError)
"""What a trouble meets when the service that it is for is away already."""

# --- workers ----------------------------------------------------------------------------------------------------------


async def worker_killed(ground: Ground, chance: random.Random) -> str:
    """`kill -9`."""
    hand = _one(ground, chance)
    ground.workers.end(hand, signal.SIGKILL)
    return hand.name


async def workers_killed_together(ground: Ground, chance: random.Random) -> str:
    """As when a host loses its power: `kill -9` of all on it."""
    host = chance.choice(ground.hosts)
    hands = [hand for hand in ground.workers.hands if hand.host is host and hand.up]
    for hand in hands:
        ground.workers.end(hand, signal.SIGKILL)
    return ", ".join(hand.name for hand in hands)


async def worker_frozen(ground: Ground, chance: random.Random) -> str:
    """SIGSTOP; SIGCONT after less or more than a lease."""
    hand, seconds = _one(ground, chance), chance.choice((chance.uniform(0.2, 3.0), chance.uniform(3.0, 16.0)))
    ground.workers.freeze(hand, seconds)
    return f"{hand.name} for {seconds:.1f} s"


async def worker_drained(ground: Ground, chance: random.Random) -> str:
    """As when another version is rolled out."""
    hand, how = _one(ground, chance), chance.choice((signal.SIGTERM, signal.SIGINT))
    ground.workers.end(hand, how)
    return f"{hand.name} by {how.name}"


def _one(ground: Ground, chance: random.Random) -> Hand:
    """That is up: who is killed before it begins has nothing to lose."""
    up = [hand for hand in ground.workers.hands if hand.up]
    if not up:
        raise ConnectionError("nobody is up")
    return chance.choice(up)


# --- the broker -------------------------------------------------------------------------------------------------------


async def broker_stopped(ground: Ground, chance: random.Random) -> str:
    """`rabbitmqctl stop_app`, then `start_app`."""
    seconds = chance.uniform(0.0, 6.0)
    await asyncio.to_thread(ground.rabbit.stop_app)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(ground.rabbit.start_app)
    return f"for {seconds:.1f} s"


async def broker_killed(ground: Ground, chance: random.Random) -> str:
    """`kill -9`, then a start."""
    seconds = chance.uniform(0.0, 3.0)
    await asyncio.to_thread(ground.rabbit.kill)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(ground.rabbit.start)
    return f"for {seconds:.1f} s"


async def broker_connections_closed(ground: Ground, chance: random.Random) -> str:
    """`rabbitmqctl close_all_connections`."""
    await asyncio.to_thread(ground.rabbit.close_connections)
    return "all"


async def queue_deleted(ground: Ground, chance: random.Random) -> str:
    """With all that is in it."""
    queue = chance.choice(_QUEUES)
    async with _channel(ground) as channel:
        await channel.queue_delete(queue)
    return queue


async def wake_ups_dropped(ground: Ground, chance: random.Random) -> str:
    """The queue is purged."""
    async with _channel(ground) as channel:
        queue = await channel.get_queue("atlas.todos")
        dropped = await queue.purge()
    return f"{dropped.message_count} message(s)"


async def wake_ups_taken(ground: Ground, chance: random.Random) -> str:
    """Somebody else consumes and acknowledges what workers should have got, for some seconds."""
    taken, seconds = 0, chance.uniform(0.5, 3.0)
    async with _channel(ground) as channel:
        queue = await channel.get_queue("atlas.todos")
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            try:
                message = await queue.get()
                await message.ack()
                taken += 1
            except QueueEmpty:
                await asyncio.sleep(0.01)
    return f"{taken} message(s) in {seconds:.1f} s"


async def wake_ups_repeated(ground: Ground, chance: random.Random) -> str:
    """Copies of wake-ups: for TODOs in whatever state, and for some that do not exist."""
    rows = await asyncio.to_thread(ground.sql, "SELECT id FROM todo ORDER BY random() LIMIT 200")
    known = [row["id"] for row in rows]
    envelopes = [chance.sample(known, min(len(known), chance.randint(1, 30))) for _ in range(chance.randint(1, 20))]
    async with _channel(ground) as channel:
        for todos in envelopes:
            body = json.dumps({"todos": [*todos, new_id()]}).encode()
            await channel.default_exchange.publish(aio_pika.Message(body), "atlas.todos")
    return f"{len(envelopes)} message(s)"


@asynccontextmanager
async def _channel(ground: Ground) -> AsyncGenerator[AbstractChannel]:
    async with asyncio.timeout(_SECONDS), await aio_pika.connect(ground.rabbit.url) as connection:
        yield await connection.channel()


# --- the database -----------------------------------------------------------------------------------------------------


async def database_restarted(ground: Ground, chance: random.Random) -> str:
    """In good order, or in a hurry."""
    stop = chance.choice((ground.postgres.shut_down, ground.postgres.stop))
    return await _again(ground, chance, stop)


async def database_killed(ground: Ground, chance: random.Random) -> str:
    """`kill -9` of the server and all of its processes, then a start."""
    return await _again(ground, chance, ground.postgres.kill)


async def _again(ground: Ground, chance: random.Random, stop: Callable[[], None]) -> str:
    seconds = chance.choice((0.0, chance.uniform(0.0, 4.0)))
    await asyncio.to_thread(stop)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(ground.postgres.start)
    return f"by {stop.__name__} for {seconds:.1f} s"


async def session_killed(ground: Ground, chance: random.Random) -> str:
    """`kill -9` of a process that serves one client: the server ends all sessions and recovers."""
    process = await asyncio.to_thread(ground.postgres.kill_a_session, chance.choice)
    return str(process)


async def sessions_ended(ground: Ground, chance: random.Random) -> str:
    """As an operator does; some of them, or all."""
    share = chance.choice((0.2, 0.5, 1.0))
    text = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
    await asyncio.to_thread(statement, ground.database, f"{text} AND datname = 'atlas' AND random() < {share}")
    return f"{share:.0%} of them"


# --- a schedule -------------------------------------------------------------------------------------------------------

OF_WORKERS: tuple[tuple[Trouble, float], ...] = (
    (worker_killed, 5), (worker_frozen, 3), (worker_drained, 2), (workers_killed_together, 0.7),
)  # fmt: skip
OF_SERVICES: tuple[tuple[Trouble, float], ...] = (
    (wake_ups_dropped, 2), (wake_ups_taken, 2), (wake_ups_repeated, 3), (queue_deleted, 2),
    (broker_connections_closed, 1), (broker_stopped, 1), (broker_killed, 0.4), (database_restarted, 1),
    (database_killed, 1), (session_killed, 1), (sessions_ended, 1),
)  # fmt: skip


async def troubled(
    ground: Ground, chance: random.Random, kinds: tuple[tuple[Trouble, float], ...], pause: tuple[float, float],
    until: Callable[[], bool], say: Callable[[str, str], None],
) -> None:  # fmt: skip
    """One after the other, drawn by weight (each kind first once), until it is time. `say` is told (trouble, what)."""
    first = [trouble for trouble, _ in kinds]
    chance.shuffle(first)
    while not until():
        await asyncio.sleep(chance.uniform(*pause))
        drawn = random.Random(chance.random())  # what one draws must not depend on how far another came
        trouble = first.pop() if first else chance.choices([each for each, _ in kinds], [w for _, w in kinds])[0]
        say(trouble.__name__, await _tried(trouble(ground, drawn)))


async def _tried(trouble: Awaitable[str]) -> str:
    try:
        return await trouble
    except AWAY as error:
        return f"came to nothing: {error!r}"[:200]
