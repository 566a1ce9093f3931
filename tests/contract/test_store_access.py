"""Tokens, sessions, and the record of who asked for what."""

from __future__ import annotations

import pytest

from state import access_reading
from state.access_commands import Audited, IssueToken, RevokeToken
from state.access_tables import TokenRow
from state.commands import Cancel, Done, Refused
from tests.contract.store_world import RUN, World, task


def token(name: str = "laptop", digest: str = "d1", seconds: float | None = None) -> IssueToken:
    return IssueToken(name, digest, "operate", True, "ada", seconds=seconds)


def session(name: str, digest: str, parent: str = "laptop", seconds: float = 60.0) -> IssueToken:
    return IssueToken(name, digest, "operate", True, "laptop", parent, seconds)


async def valid(world: World, digest: str) -> TokenRow | None:
    return await world.store.read(lambda found: access_reading.valid_token(found, digest))


async def named(world: World, name: str) -> TokenRow | None:
    return await world.store.read(lambda found: access_reading.token(found, name))


@pytest.fixture(autouse=True)
def real_clock(world: World) -> None:
    """Whether a token has ended is asked of the database's own clock."""
    import time

    world.clock.time = time.time()


async def test_a_token_is_known_by_its_digest(world: World) -> None:
    await world.done(token())
    found = await valid(world, "d1")
    assert found
    assert (found.name, found.kind, found.scope, found.trusted, found.made_by) == (
        "laptop", "token", "operate", True, "ada",
    )  # fmt: skip
    assert await valid(world, "d2") is None


async def test_a_name_is_one_token_for_ever(world: World) -> None:
    assert not await world.store.read(access_reading.some_token)
    await world.done(token())
    await world.done(token(digest="other"))
    assert await valid(world, "other") is None
    assert await world.store.read(access_reading.some_token)
    await world.done(RevokeToken("laptop", "bob"))
    await world.done(token(digest="third"))
    row = await named(world, "laptop")
    assert row
    assert (row.digest, row.revoked_by) == ("d1", "bob")
    assert await valid(world, "d1") is None
    assert not await world.store.read(access_reading.some_token)
    assert [each.name for each in await world.store.read(access_reading.tokens)] == ["laptop"]


async def test_a_token_ends(world: World) -> None:
    await world.do(token(seconds=60.0), token("short", "d2", 0.0))
    assert await valid(world, "d1")
    assert await valid(world, "d2") is None


async def test_sessions_end_with_their_token(world: World) -> None:
    await world.do(token(), session("s1", "e1"), token("phone", "d2"), session("s2", "e2", "phone"))
    assert await valid(world, "e1")
    await world.done(RevokeToken("laptop", "bob"))
    assert await valid(world, "e1") is None
    assert await valid(world, "e2"), "of another token"
    await world.done(RevokeToken("s2", "bob"))
    assert await valid(world, "d2"), "who logs out keeps the token"


async def test_sessions_that_have_ended_are_forgotten(world: World) -> None:
    await world.do(token("short", "d2", 10.0), session("s1", "e1", seconds=10.0), session("s2", "e2"))
    world.clock.time += 20.0
    await world.done(session("s3", "e3"))
    assert [await named(world, name) is not None for name in ("short", "s1", "s2", "s3")] == [True, False, True, True]


async def test_what_was_asked_for_is_noted_with_the_act(world: World) -> None:
    await world.submit(task("a"))
    for number in range(3):
        await world.do(Audited(Cancel(RUN, "laptop"), "laptop", "cancel", RUN, str(number)))
        world.clock.time += 1.0
    rows = await world.store.read(lambda found: access_reading.audits(found, 2))
    assert [(row.who, row.act, row.subject, row.outcome, row.detail) for row in rows] == [
        ("laptop", "cancel", RUN, "not_allowed", "2"), ("laptop", "cancel", RUN, "not_allowed", "1"),
    ]  # fmt: skip
    rest = await world.store.read(lambda found: access_reading.audits(found, 2, rows[-1].id))
    assert [(row.outcome, row.detail) for row in rest] == [("done", "0")]


@pytest.mark.parametrize("command", [token("a\0b"), token("x" * 3000), Audited(token(), "a", "b", "c", "\ud800")])
async def test_what_no_database_can_hold(world: World, command: IssueToken | Audited) -> None:
    assert await world.refused(command) == "invalid"


async def test_what_was_refused_is_noted_as_that(world: World) -> None:
    refused, done = await world.do(
        Audited(Cancel("nowhere", "laptop"), "laptop", "cancel", "nowhere"),
        Audited(token(), "laptop", "token", "laptop"),
    )
    assert isinstance(refused, Refused)
    assert isinstance(done, Done)
    rows = await world.store.read(access_reading.audits)
    assert [row.outcome for row in rows] == ["done", refused.code]
