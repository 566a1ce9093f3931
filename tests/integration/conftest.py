"""Fixtures of integration tests that need a store."""

from __future__ import annotations

from tests.contract.store_world import empty_sqlite, open_store, world

__all__ = ["empty_sqlite", "open_store", "world"]
