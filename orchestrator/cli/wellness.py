"""The health endpoint of a worker, and what it shows: composed of what the worker is made of."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.cli.compose import House
from state.errors import InputError

if TYPE_CHECKING:
    from orchestrator.heartbeat import Heartbeat
    from orchestrator.metrics import ProcessMetrics
    from orchestrator.worker import Worker

_HERE = "127.0.0.1"
_UNIX = "unix://"
_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """Where it listens; port 0 is any that is free. A host that begins with `/` is the path of a Unix socket."""

    host: str
    port: int = 0

    @classmethod
    def read(cls, text: str) -> Address:
        """``PORT``, ``HOST:PORT``, or ``unix:///PATH``. `InputError`: it is none of these."""
        if text.startswith(_UNIX + "/"):
            return cls(text.removeprefix(_UNIX))
        host, _, port = text.rpartition(":")
        if not port.isascii() or not port.isdigit() or int(port) > _LAST_PORT:
            raise InputError(
                f"{text!r} is no address to listen on", "Write 9464, 0.0.0.0:9464, or unix:///run/atlas.sock."
            )
        return cls(host.strip("[]") or _HERE, int(port))

    def told(self, port: int) -> str:
        """As people read it, with the port that it got."""
        if self.host.startswith("/"):
            return _UNIX + self.host
        return f"http://[{self.host}]:{port}" if ":" in self.host else f"http://{self.host}:{port}"


@dataclass(frozen=True, slots=True)
class Watched:
    """What somebody may look at, and where."""

    address: Address
    metrics: ProcessMetrics


@asynccontextmanager
async def endpoint(watched: Watched, house: House, worker: Worker, heartbeat: Heartbeat) -> AsyncGenerator[int]:
    """Served meanwhile; the port. `house` is metered by what is watched."""
    from orchestrator.fleet_metrics import FleetMetrics
    from orchestrator.health import Health, database_answers, lease_fresh, not_draining, serving
    from orchestrator.measured_store import MeasuredStore
    from state import reading

    metrics, address, measured = watched.metrics, watched.address, house.store
    assert isinstance(measured, MeasuredStore), "a house that is metered"  # noqa: S101

    async def alive() -> int:
        boots = await house.store.read(reading.queue_workers)
        return sum(verdict == "alive" for verdict in (await house.census.verdicts(boots)).values())

    metrics.lease_age(lambda: heartbeat.age)
    if (rabbit := house.rabbit) is not None:
        metrics.broker_connected(lambda: rabbit.connected)
    metrics.add(fleet := FleetMetrics(house.store, alive))

    async def text() -> bytes:
        await fleet.refresh()
        return metrics.text()

    health = Health(
        {"lease": lease_fresh(lambda: heartbeat.age)},
        {
            "database": database_answers(lambda: measured.silent),
            "worker": not_draining(lambda: worker.draining),
            "host": lambda: "short of something; its log says of what" if worker.rests else None,
        },
        text,
    )
    try:
        async with serving(health, port=address.port, host=address.host) as port:
            yield port
    finally:
        await fleet.close()
