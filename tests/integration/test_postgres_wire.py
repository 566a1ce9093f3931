"""Statements on the writer's own connection: what is sent together, what an error leaves, what a value may be."""

from __future__ import annotations

from collections.abc import Generator

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import make_url

from state.postgres_wire import Wire
from state.postgres_writer import connect

pytestmark = pytest.mark.postgres


@pytest.fixture
def wire(postgres_database: str) -> Generator[Wire]:
    connection = connect(make_url(postgres_database).set(drivername="postgresql").render_as_string(hide_password=False))
    connection.execute("CREATE TEMPORARY TABLE noted (what text)")
    yield Wire(connection)
    connection.close()


def _noted(wire: Wire) -> list[str]:
    return [row[0] for row in wire.rows("SELECT what FROM noted ORDER BY what")]


def test_values_arrive_as_they_are(wire: Wire) -> None:
    texts = ['"', "\\", "{,}", "NULL", "", " a ", "ä\n\t€", "'; --"]
    [row] = wire.rows(
        "SELECT %s::varchar[], %s::text, %s::int, %s::float8, %s::int[]", (texts, 'say "\\"', 7, 0.1 + 0.2, [1, 2])
    )
    assert row == (texts, 'say "\\"', 7, 0.1 + 0.2, [1, 2])
    named = "SELECT %(b)s::text, %(a)s::float8, %(b)s::text, %(none)s::int"
    assert wire.rows(named, {"a": float("inf"), "b": "b", "none": None}) == [("b", float("inf"), "b", None)]


def test_what_no_text_can_hold_is_refused_before_it_is_sent(wire: Wire) -> None:
    for values in (["a\0b"], "a\0b"):
        with pytest.raises(psycopg.DataError):
            wire.later("SELECT %s::varchar[]", (values,))
    with pytest.raises(UnicodeEncodeError):
        wire.later("SELECT %s::text", ("\ud800",))
    assert wire.rows("SELECT 1") == [(1,)]


def test_what_waits_is_sent_first_and_each_has_its_result(wire: Wire) -> None:
    for what in ("a", "b"):
        wire.later("INSERT INTO noted VALUES (%s)", (what,))
    assert _noted(wire) == ["a", "b"]
    wire.later("UPDATE noted SET what = what")
    wire.later("DELETE FROM noted WHERE what = %s", ("a",))
    assert [result.command_tuples for result in wire.send()] == [2, 1]
    wire.later("INSERT INTO noted VALUES ('never')")
    wire.forget()
    assert _noted(wire) == ["b"]


def test_what_is_asked_is_answered_when_somebody_looks(wire: Wire) -> None:
    before, insert = wire.later("SELECT what FROM noted"), wire.later("INSERT INTO noted VALUES ('a') RETURNING what")
    after = wire.later("SELECT what FROM noted")
    assert list(insert) == list(after) == [("a",)]
    assert not list(before)
    forgotten = wire.later("INSERT INTO noted VALUES ('never')")
    wire.forget()
    with pytest.raises(psycopg.InterfaceError):
        forgotten.rows()
    failing, behind = wire.later("SELECT 1 / %s::int", (0,)), wire.later("SELECT 1")
    with pytest.raises(errors.DivisionByZero):
        behind.rows()
    with pytest.raises(psycopg.InterfaceError):
        failing.rows()


def test_after_an_error_nothing_more_is_done_and_all_goes_on(wire: Wire) -> None:
    """Also with statements that were to be prepared behind the error, and so were not."""
    for _ in range(2):
        wire.later("INSERT INTO noted VALUES ('before')")
        wire.later("SELECT 1 / %s::int", (0,))
        wire.later("INSERT INTO noted VALUES ('behind')")
        with pytest.raises(errors.DivisionByZero):
            wire.rows("SELECT count(*) FROM noted")
    assert not wire.connection.closed
    wire.later("INSERT INTO noted VALUES ('behind')")
    assert wire.rows("SELECT count(*) FROM noted") == [(1,)]
    wire.later("BEGIN")
    with pytest.raises(errors.UndefinedTable):
        wire.rows("SELECT * FROM nowhere")
    with pytest.raises(errors.InFailedSqlTransaction):
        wire.rows("SELECT 1")
    wire.rows("ROLLBACK")
    assert wire.connection.execute("SELECT what FROM noted").fetchall() == [("behind",)]


def test_more_than_both_ends_can_hold_goes_through(wire: Wire) -> None:
    large = "x" * 3_000_000
    for _ in range(8):
        wire.later("SELECT %s::text", (large,))
    assert [len(result.get_value(0, 0) or b"") for result in wire.send()] == [len(large)] * 8


def test_a_connection_that_ends_in_between_is_closed_and_said(wire: Wire) -> None:
    wire.later("INSERT INTO noted VALUES ('a')")
    with pytest.raises(psycopg.OperationalError):
        wire.rows("SELECT pg_terminate_backend(pg_backend_pid())")
    assert wire.connection.closed
    with pytest.raises(psycopg.OperationalError):
        wire.rows("SELECT 1")
