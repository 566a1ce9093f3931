"""The fixtures of the acceptance tests."""

from __future__ import annotations

from tests.acceptance.conftest import atlas, effects

__all__ = ["atlas", "effects"]
