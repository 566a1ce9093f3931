"""Four workers on RabbitMQ and PostgreSQL, and everything goes wrong, by chance: whatever happens, every TODO ends once
and as it should, nothing is lost, and the books are right.

A failure is looked into with its seed: `ATLAS_FLEET_SEED=… pytest tests/chaos/test_fleet.py`. What is drawn is the same
then; when exactly it happens is not.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.fleet.experiment import Experiment, Size

pytestmark = [
    pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.docker, pytest.mark.usefixtures("busybox_image"),
    # RabbitMQ's library forgets some of its own coroutines when a connection that it makes is refused
    pytest.mark.filterwarnings("ignore:coroutine 'Connection.close' was never awaited:RuntimeWarning"),
]  # fmt: skip
Record = Callable[[str, object], None]
_SHOWN = 60
_IN_A_MINUTE = {"a command", "a call of a model", "a TODO in a container"}
"""What even a slow machine comes to. Troubles take turns: a minute may not be enough for all."""


async def _survive(size: Size, path: Path, engine: str, record_property: Record) -> list[str]:
    """What never happened meanwhile."""
    with (path / "log").open("w", buffering=1) as log:
        experiment = Experiment(size, path, engine, lambda text: print(text, file=log))
        violated = await experiment.carry_out()
    record_property("trial", f"fleet: {experiment.summary}")
    gc.collect()  # what the library forgot is found here, and not by another test
    told = "\n".join(violated[:_SHOWN])
    assert not violated, f"{len(violated)} violations:\n{told}\n\n{(path / 'log').read_text()}"
    return experiment.never


@pytest.mark.timeout(1800)
async def test_everything_goes_wrong(tmp_path: Path, docker_url: str, record_property: Record) -> None:
    never = await _survive(Size.wanted(60.0, 300, seed=2), tmp_path, docker_url, record_property)
    assert not _IN_A_MINUTE & {*never}, "nothing is shown of these"


@pytest.mark.chaos
@pytest.mark.timeout(7200)
async def test_everything_goes_wrong_for_long(tmp_path: Path, docker_url: str, record_property: Record) -> None:
    never = await _survive(Size.wanted(600.0, 2_000), tmp_path, docker_url, record_property)
    assert not never, "nothing is shown of these"
