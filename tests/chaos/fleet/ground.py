"""What a fleet stands on: PostgreSQL and RabbitMQ of its own, hosts, a model server; all gone afterwards."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from state.migrations import upgrade
from tests.acceptance.command_line import Atlas, installation
from tests.acceptance.processes import processes_of
from tests.agents.world import KEY, make_repository
from tests.chaos.fleet.aftermath import Row, query
from tests.chaos.fleet.demands import Places
from tests.chaos.fleet.models import Models
from tests.chaos.fleet.workers import Hand, Workers
from tests.services import postgres, rabbitmq
from tests.services.docker_engine import containers_of
from tests.services.model_server import ModelServer, model_server
from tests.services.postgres import PostgresServer, statement
from tests.services.rabbitmq import RabbitServer

_HOSTS = 2
_STACKS = Path(__file__).parent / "stacks"
"""What a worker does that is asked where it hangs."""
WORKERS = 4


@dataclass
class Ground:
    """See the module. Workers of different hosts share nothing but the services and the artifact store."""

    path: Path
    postgres: PostgresServer
    rabbit: RabbitServer
    models: ModelServer
    hosts: list[Atlas]
    workers: Workers
    places: Places
    engine: str

    @property
    def database(self) -> str:
        """Its URL."""
        return self.postgres.url.removesuffix("postgres") + "atlas"

    @property
    def store(self) -> str:
        """The artifact store's URL."""
        return f"file://{self.path}/artifacts"

    def sql(self, text: str, *values: object) -> list[Row]:
        """Read the database, past the program."""
        return query(self.database, text, *values)

    def left(self) -> list[str]:
        """What should not be there once all workers have ended."""
        found: list[str] = []
        for host in self.hosts:
            found += [f"process {pid}: {line}" for pid, line in processes_of(host).items()]
            places = (host.temporary, host.home / "work", host.home / "scratch", host.home / "containers")
            found += [str(entry) for place in places if place.exists() for entry in place.iterdir()]
            found += [f"container {name}" for name in containers_of(self.engine, host.home)]
        return found


@contextmanager
def opened_ground(
    path: Path, engine: str, chance: random.Random, say: Callable[[str], None]
) -> Generator[Ground]:  # fmt: skip
    """Everything is up but the workers. `engine`: the address of one that has the image of the tests."""
    with ExitStack() as stack:
        # Commits that were confirmed survive `kill -9`: what is tested is Atlas.
        database = postgres.private_server(durable=True)
        stack.callback(database.remove)
        broker = rabbitmq.private_server()
        stack.callback(broker.remove)
        server = stack.enter_context(model_server())
        hosts = [stack.enter_context(installation(path / f"host-{number}")) for number in range(_HOSTS)]
        hands = [Hand(f"worker {number}", hosts[number % _HOSTS]) for number in range(WORKERS)]
        workers = Workers(hands, chance, say)
        places = Places(path / "effects", path / "published", path / "marks", path / "repository")
        ground = Ground(path, database, broker, server, hosts, workers, places, engine)
        _prepare(ground)
        Models(places.log, random.Random(chance.random())).play_on(server)
        yield ground


def _prepare(ground: Ground) -> None:
    statement(ground.postgres.url, "CREATE DATABASE atlas")
    upgrade(ground.database)
    for each in (ground.places.published, ground.places.marks):
        each.mkdir()
    make_repository(ground.places.repository)
    for host in ground.hosts:
        host.variables |= {
            "ATLAS_DATABASE_URL": ground.database, "ATLAS_BROKER_URL": ground.rabbit.url,
            "ATLAS_STORE_URL": ground.store, "ATLAS_ALLOW_HOST": "true", "ATLAS_INTAKE_REMOTES": "file:///,s3://",
            "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": ground.models.url, "ANTHROPIC_AUTH_TOKEN": "",
            "OPENAI_API_KEY": "", "DOCKER_HOST": ground.engine, "PYTHONPATH": str(_STACKS),
        }  # fmt: skip
