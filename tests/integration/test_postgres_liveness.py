"""What only a database server can do to those who are alive: end their sessions, stop, start again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from state.errors import StoreUnavailable
from state.migrations import upgrade
from state.postgres import PostgresStore
from state.postgres_liveness import PostgresCensus, PostgresLiveness
from tests.services.postgres import PostgresServer, private_server, statement

pytestmark = pytest.mark.postgres
DEADLINE = 20.0
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'atlas liveness'"


@pytest.fixture
async def server() -> AsyncGenerator[PostgresServer]:
    server = private_server(durable=True)
    try:
        yield server
    finally:
        server.remove()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_session_that_was_ended_is_noticed_and_taken_again(postgres_cleared: str) -> None:
    store = PostgresStore(postgres_cleared)
    census, one = PostgresCensus(store), PostgresLiveness(postgres_cleared)
    try:
        statement(postgres_cleared, END_SESSIONS)
        await until(lambda: not one.intact())
        assert (await census.verdicts([one.boot]))[one.boot] == "dead", "nobody can tell it from a death"
        assert one.renew()
        assert one.intact()
        assert (await census.verdicts([one.boot]))[one.boot] == "alive"
    finally:
        one.close()
        await store.close()


def restart(server: PostgresServer) -> None:
    """By an operator."""
    server.stop()
    server.start()


def lose_a_session(server: PostgresServer) -> None:
    """To the kernel: the server ends all others and recovers, and is the same process as before."""
    assert server.kill_a_session(lambda sessions: sessions[0])
    server.wait()


@pytest.mark.parametrize("recover", [restart, lose_a_session])
async def test_after_a_recovery_of_the_server_a_free_lock_tells_nothing(
    server: PostgresServer, recover: Callable[[PostgresServer], None]
) -> None:
    store = PostgresStore(server.url)
    census, one = PostgresCensus(store), PostgresLiveness(server.url)
    brief = PostgresLiveness(server.url, lease=0.1)
    try:
        recover(server)
        assert not one.intact()
        found = await census.verdicts([one.boot, brief.boot])
        assert found == {one.boot: "alive", brief.boot: "expired"}, "by its lease alone"
        assert one.renew()
        assert (await census.verdicts([one.boot]))[one.boot] == "alive"
        statement(server.url, END_SESSIONS)
        assert (await census.verdicts([one.boot]))[one.boot] == "dead", "since then, it counts again"
    finally:
        one.close()
        brief.close()
        await store.close()


async def test_nobody_renews_while_the_server_is_away(server: PostgresServer) -> None:
    upgrade(server.url)
    one = PostgresLiveness(server.url)
    try:
        server.stop()
        with pytest.raises(StoreUnavailable):
            one.renew()
    finally:
        one.close()


async def test_a_pooler_that_shares_sessions_is_told_of(postgres_cleared: str) -> None:
    """It answers, and the lock is on a session that may end any time: others would take us for dead, and we would go
    on. Here the next statement is answered by another session."""
    one, other = PostgresLiveness(postgres_cleared), PostgresLiveness(postgres_cleared)
    mine, theirs = vars(one)["_connection"], vars(other)["_connection"]
    vars(one)["_connection"] = theirs
    with pytest.raises(StoreUnavailable, match="PgBouncer"):
        one.renew()
    mine.close()
    other.close()
    assert one.renew()
    one.close()
