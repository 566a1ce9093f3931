"""What a test does when a real service is not to be had: skip with the reason, or fail where CI promised it."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skip the test; under ``CI=true`` a missing service is a failure."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"service missing under CI: {reason}")
    pytest.skip(reason)
