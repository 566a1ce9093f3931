"""One small round of each benchmark that has worker processes, for Atlas, on real servers."""

from __future__ import annotations

import pytest

from benchmarks.measuring import one_round

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.timeout(300)]


@pytest.fixture
def place(postgres_empty: str, rabbitmq_alone: str) -> dict[str, str | float]:
    """Of this test alone."""
    return {"database": postgres_empty, "broker": rabbitmq_alone}


@pytest.mark.parametrize("shape", ["runs", "fan"])
def test_a_burst(place: dict[str, str | float], shape: str) -> None:
    found = one_round("queue_round", system="atlas", shape=shape, todos=20, **place)
    assert found["per_second"] > 0
    assert found["twice"] == 0


def test_one_at_a_time(place: dict[str, str | float]) -> None:
    found = one_round("queue_round", system="atlas", alone=5, **place)
    assert 0 < found["start_p50"] <= found["start_p99"]


def test_claims(place: dict[str, str | float]) -> None:
    found = one_round("queue_claims", queued=30, claims=5, database=place["database"])
    assert 0 < found["p50"] <= found["p99"]


def test_a_death(place: dict[str, str | float]) -> None:
    found = one_round("takeover_round", system="atlas", how="death", trials=1, slots=1, **place)
    assert 0 < found["took 0"] < 60
    assert (found["stale"], found["doubles"]) == (0, 0)
