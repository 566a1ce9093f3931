"""The worker's pulse: a thread of its own, so that a busy event loop does not cost the lease nor a dead one keep it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from state.limits import HEARTBEAT_SECONDS, LEASE_SECONDS, LOOP_STALL_SECONDS, PULSE_SECONDS
from state.ports import Liveness

log = logging.getLogger(__name__)


class Held(Protocol):
    """What lives as long as the lease: the two methods of `state.ports.Sandbox` that other threads call."""

    def pulse(self) -> None: ...
    def kill_all(self) -> None: ...


class Heartbeat:
    """Renews the lease while the event loop answers, and keeps the sandboxes going while the lease lasts.

    When the lease ran out (the process was stopped, the loop hung), everything that runs is killed from here, then
    `lost` is called in the loop; the lease is fresh again by then. The lease is measured on the monotonic clock from
    before the renewal.
    """

    def __init__(self, liveness: Liveness, held: Held, lost: Callable[[], None]) -> None:
        self._liveness = liveness
        self._held = held
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._answered = time.monotonic()
        self._renewed = time.monotonic()
        self._stop = threading.Event()
        self._timer = self._loop.call_later(PULSE_SECONDS, self._answer)
        self._thread = threading.Thread(target=self._beat, name="atlas-heartbeat", daemon=True)
        liveness.renew()
        self._thread.start()

    @property
    def age(self) -> float:
        """Seconds since the lease was renewed."""
        return time.monotonic() - self._renewed

    async def close(self) -> None:
        """Stop; the lease runs out by itself, or `Liveness.close` ends it."""
        self._stop.set()
        self._timer.cancel()
        await asyncio.to_thread(self._thread.join)

    def _answer(self) -> None:
        """In the loop: it lives."""
        self._answered = time.monotonic()
        self._timer = self._loop.call_later(PULSE_SECONDS, self._answer)

    def _beat(self) -> None:
        while not self._stop.wait(PULSE_SECONDS):
            self._once(time.monotonic())

    def _once(self, now: float) -> None:
        held = now - self._renewed < LEASE_SECONDS
        if held:
            self._held.pulse()
        else:
            log.warning("the lease ran out; dropping what was in progress")
            self._held.kill_all()
        answers = now - self._answered < LOOP_STALL_SECONDS
        if answers and (not held or now - self._renewed >= HEARTBEAT_SECONDS):
            self._renew(now, held)

    def _renew(self, now: float, held: bool) -> None:
        try:
            still = self._liveness.renew()
        except OSError as error:
            log.warning("the lease could not be renewed: %s", error)
            return
        self._renewed = now
        if not (held and still):
            try:
                self._loop.call_soon_threadsafe(self._lost)
            except RuntimeError:  # the loop is closed: nobody is left to tell
                self._stop.set()
