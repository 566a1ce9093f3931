"""Fixtures of integration tests that need a store, or a repository to pin."""

from __future__ import annotations

from tests.contract.store_world import empty_sqlite, open_store, world
from tests.integration.pinned_repositories import artifacts, checkouts, repository

__all__ = ["artifacts", "checkouts", "empty_sqlite", "open_store", "repository", "world"]
