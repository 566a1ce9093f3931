"""Fixtures of the contract suites."""

from __future__ import annotations

from tests.contract.broker_bench import subscribe
from tests.contract.sandbox_bench import bench
from tests.contract.store_world import empty_sqlite, open_store, world

__all__ = ["bench", "empty_sqlite", "open_store", "subscribe", "world"]
