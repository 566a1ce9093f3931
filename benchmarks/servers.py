"""A PostgreSQL and a RabbitMQ of the benchmark's own, on loopback, with everything on that makes a write durable."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
from sqlalchemy import make_url

from benchmarks.measuring import RoundFailed, disk
from tests.services import postgres, rabbitmq
from tests.services.postgres import PostgresServer, statement
from tests.services.rabbitmq import RabbitServer


@dataclass(frozen=True, slots=True)
class Place:
    """What one round has for itself: an empty database and an empty virtual host, which goes with its server."""

    database: str
    broker: str


@dataclass(frozen=True, slots=True)
class Servers:
    """Both, running."""

    postgres: PostgresServer
    rabbit: RabbitServer

    @contextmanager
    def place(self) -> Generator[Place]:
        """For one round."""
        name = f"bench_{uuid.uuid4().hex[:12]}"
        statement(self.postgres.url, f"CREATE DATABASE {name}")
        url = make_url(self.postgres.url).set(database=name).render_as_string(hide_password=False)
        try:
            yield Place(url, self.rabbit.virtual_host(name))
        finally:
            statement(self.postgres.url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def servers() -> Generator[Servers]:
    """Both. `RoundFailed` when one is not installed, or does not start."""
    found, other = postgres.binaries(), rabbitmq.binaries()
    if found is None or other is None:
        raise RoundFailed("it needs the programs of a PostgreSQL and of a RabbitMQ server: install them")
    with ExitStack() as stack:
        try:
            database = PostgresServer(found, durable=True, within=disk())
            stack.callback(database.remove)
            database.start()
            broker = RabbitServer(other, within=disk())
            stack.callback(broker.remove)
            broker.start()
        except (OSError, psycopg.Error) as error:
            raise RoundFailed(f"a server does not start: {error}") from error
        yield Servers(database, broker)
