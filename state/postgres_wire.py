"""Statements to PostgreSQL with as little as possible around each: prepared once, many sent at once.

psycopg's own pipeline costs four times as much of the client for each statement; the store's writer sends a dozen for
every command that comes alone. What is sent, and in which order, is the same.
"""

from __future__ import annotations

import re
import select
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, cast

import psycopg
from psycopg import errors
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

Row = tuple[Any, ...]
Values = Sequence[Any] | Mapping[str, Any]
_PLACEHOLDER = re.compile(r"%(?:s|\((\w+)\)s)")
_TROUBLE = frozenset((ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE, ExecStatus.NONFATAL_ERROR))


@dataclass(frozen=True, slots=True)
class _Statement:
    """`names` of its parameters in order, when they have some; prepared as `name`."""

    name: bytes
    sql: bytes
    names: tuple[str, ...]

    def parameters(self, values: Values) -> list[bytes | None]:
        given = [values[name] for name in self.names] if isinstance(values, Mapping) else values
        return [_text(value) for value in given]


class Answer:
    """The rows of a statement, which is sent when somebody looks at one of them, at the latest."""

    __slots__ = ("_wire", "result")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.result: PGresult | None = None

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows())

    def rows(self) -> list[Row]:
        """All of them."""
        if self.result is None:
            self._wire.send()
        if self.result is None:
            raise psycopg.InterfaceError("it was not carried out")
        return self._wire.load(self.result)


class Wire:
    """Of one connection, which may be used in other ways between two calls. Errors are psycopg's; one that leaves it
    unknown what is still to come closes the connection."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self.connection = connection
        self._pg: PGconn = connection.pgconn
        self._loading = Transformer.from_context(connection)
        self._encoding = connection.info.encoding
        self._statements: dict[str, _Statement] = {}
        self._prepared: set[bytes] = set()
        self._waiting: list[tuple[_Statement, list[bytes | None], Answer]] = []
        self._poll = select.poll()

    def later(self, sql: str, values: Values = ()) -> Answer:
        """Send it with what comes next: each journey there and back costs more than most statements do."""
        statement = self._statements.get(sql)
        if statement is None:
            statement = self._statements[sql] = _statement(f"atlas{len(self._statements)}", sql)
        answer = Answer(self)
        self._waiting.append((statement, statement.parameters(values), answer))
        return answer

    def forget(self) -> None:
        """Do not send what has not been sent."""
        self._waiting.clear()

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """Of this one; what waits is sent before it. The first error is raised; what came after it was not done."""
        return self.later(sql, values).rows()

    def send(self) -> list[PGresult]:
        """What waits, in one go; one result for each."""
        batch, self._waiting = self._waiting, []
        pg = self._pg
        asked: list[bytes | None] = []
        """For each result that will come: the name of what it prepares, or None."""
        pg.enter_pipeline_mode()
        try:
            for statement, values, _ in batch:
                if statement.name not in self._prepared and statement.name not in asked:
                    pg.send_prepare(statement.name, statement.sql)
                    asked.append(statement.name)
                pg.send_query_prepared(statement.name, values)
                asked.append(None)
            pg.pipeline_sync()
            self._flush()
            found, failed = self._results(asked)
            pg.exit_pipeline_mode()
        except BaseException:
            self.connection.close()
            raise
        if failed:
            raise errors.error_from_result(failed, self._encoding)
        for (_, _, answer), result in zip(batch, found, strict=True):
            answer.result = result
        return found

    def _results(self, asked: Sequence[bytes | None]) -> tuple[list[PGresult], PGresult | None]:
        found: list[PGresult] = []
        failed: PGresult | None = None
        for prepared in asked:
            result = self._next()
            if result.status in _TROUBLE:
                failed = failed or result
            elif prepared and result.status == ExecStatus.COMMAND_OK:
                self._prepared.add(prepared)
            if prepared is None:
                found.append(result)
            self._end_of_one()
        self._next()  # the end of the pipeline
        return found, failed

    def _next(self) -> PGresult:
        """The next result; `OperationalError` when there will be none."""
        while True:
            self._receive()
            result = self._pg.get_result()
            if result is not None:
                return result
            if self._pg.status != psycopg.pq.ConnStatus.OK:
                raise psycopg.OperationalError(f"the connection is lost: {self._pg.get_error_message()}")

    def _end_of_one(self) -> None:
        """Each statement's results end with None."""
        self._receive()
        if self._pg.get_result() is not None:
            raise psycopg.InternalError("a statement had two results")

    def _receive(self) -> None:
        pg = self._pg
        while pg.is_busy():
            self._wait(select.POLLIN)
            pg.consume_input()

    def _flush(self) -> None:
        """What the server answers meanwhile is read, so that neither waits for the other."""
        while self._pg.flush():
            if self._wait(select.POLLIN | select.POLLOUT) & select.POLLIN:
                self._pg.consume_input()

    def _wait(self, events: int) -> int:
        self._poll.register(self._pg.socket, events)
        return self._poll.poll()[0][1]

    def load(self, result: PGresult) -> list[Row]:
        """Its rows."""
        if not result.ntuples:
            return []
        self._loading.set_pgresult(result)
        return self._loading.load_rows(0, result.ntuples, tuple)


def _statement(name: str, sql: str) -> _Statement:
    """psycopg's placeholders as the server has them."""
    names = tuple(dict.fromkeys(place[1] for place in _PLACEHOLDER.finditer(sql) if place[1]))
    numbers = {name: number for number, name in enumerate(names, 1)}
    unnamed = count(1)
    text = _PLACEHOLDER.sub(lambda place: f"${numbers[place[1]] if place[1] else next(unnamed)}", sql)
    return _Statement(name.encode(), text.encode(), names)


def _text(value: Any) -> bytes | None:  # noqa: ANN401
    """A parameter as PostgreSQL reads it."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        value = "{" + ",".join(_element(item) for item in cast("Sequence[Any]", value)) + "}"
    text = _plain(value)
    if "\0" in text:  # libpq would take it for the end
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return text.encode()


def _element(item: Any) -> str:  # noqa: ANN401
    text = _plain(item)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return repr(value)
    raise TypeError(f"a parameter of the type {type(value).__name__}")
