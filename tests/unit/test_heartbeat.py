"""A heart beats on, whatever goes wrong beside it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from orchestrator.heartbeat import Heartbeat
from state.errors import StoreUnavailable

PATIENCE = 30.0


class Held:
    """Sandboxes that break whenever they are touched."""

    pulses = 0

    def pulse(self) -> None:
        self.pulses += 1
        raise ZeroDivisionError

    def kill_all(self) -> None:
        raise ZeroDivisionError


class Lease:
    """Must be renewed at each beat; every other time that goes wrong, in one of two ways."""

    boot = "boot"
    renewals = 0

    def renew(self) -> bool:
        self.renewals += 1
        if self.renewals % 4 == 2:
            raise StoreUnavailable("the database is away", "Wait.")
        if self.renewals % 4 == 0:
            raise ZeroDivisionError
        return True

    def intact(self) -> bool:
        return False

    def close(self) -> None: ...


async def test_it_beats_on(caplog: pytest.LogCaptureFixture) -> None:
    held, lease = Held(), Lease()
    with caplog.at_level(logging.WARNING):
        heartbeat = Heartbeat(lease, held, lambda: None)
        async with asyncio.timeout(PATIENCE):
            while lease.renewals < 9 or held.pulses < 9:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await heartbeat.close()
    assert "a heartbeat failed" in caplog.text
    assert "the lease could not be renewed: the database is away" in caplog.text
    assert heartbeat.age < PATIENCE
