"""The worker's pulse: threads of its own, so that a busy event loop does not cost the lease nor a dead one keep it, and
a database that does not answer holds up nothing else."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from state.errors import StoreError
from state.limits import HEARTBEAT_SECONDS, LEASE_SECONDS, LOOP_STALL_SECONDS, PULSE_SECONDS
from state.ports import Liveness

log = logging.getLogger(__name__)


class Held(Protocol):
    """What lives as long as the lease: the two methods of `state.ports.Sandbox` that other threads call."""

    def pulse(self) -> None: ...
    def kill_all(self) -> None: ...


class Heartbeat:
    """Renews the lease while the event loop answers, and keeps the sandboxes going while the lease lasts.

    When the lease ran out (the process was stopped, the loop hung, the database was away), everything that runs is
    killed from here, and once the lease is fresh again `lost` is called in the loop. The lease is measured on the
    monotonic clock from before a renewal was sent.
    """

    def __init__(self, liveness: Liveness, held: Held, lost: Callable[[], None]) -> None:
        self._liveness = liveness
        self._held = held
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._answered = time.monotonic()
        self._renewed = time.monotonic()
        self._dropped = False
        """The lease has run out, and what was in progress is not dropped yet."""
        self._renewals = ThreadPoolExecutor(1, "atlas-lease")
        self._renewing: Future[None] | None = None
        self._stop = threading.Event()
        self._timer = self._loop.call_later(PULSE_SECONDS, self._answer)
        self._thread = threading.Thread(target=self._beat, name="atlas-heartbeat", daemon=True)
        liveness.renew()
        self._thread.start()

    @property
    def age(self) -> float:
        """Seconds since the lease was renewed."""
        return time.monotonic() - self._renewed

    def fresh(self) -> bool:
        """Whether the lease lasts, and what was in progress when it did not is dropped."""
        return not self._dropped and self.age < LEASE_SECONDS

    async def close(self) -> None:
        """Stop; the lease runs out by itself, or `Liveness.close` ends it."""
        self._stop.set()
        self._timer.cancel()
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._renewals.shutdown)

    def _answer(self) -> None:
        """In the loop: it lives."""
        self._answered = time.monotonic()
        self._timer = self._loop.call_later(PULSE_SECONDS, self._answer)

    def _go_on(self) -> None:
        """In the loop, with a fresh lease."""
        self._lost()
        self._dropped = False

    def _beat(self) -> None:
        while not self._stop.wait(PULSE_SECONDS):
            now = time.monotonic()
            for step in (self._hold, self._keep_lease):
                try:
                    step(now)
                except Exception:  # without a pulse this worker would go on claiming what others then take from it
                    log.exception("a heartbeat failed")

    def _hold(self, now: float) -> None:
        """Keep the sandboxes going, or kill them."""
        if now - self._renewed < LEASE_SECONDS:
            self._held.pulse()
        else:
            if not self._dropped:
                log.warning("the lease ran out; dropping what was in progress")
            self._dropped = True
            self._held.kill_all()

    def _keep_lease(self, now: float) -> None:
        answers = now - self._answered < LOOP_STALL_SECONDS
        if answers and (self._renewing is None or self._renewing.done()) and self._is_due(now):
            self._renewing = self._renewals.submit(self._renew)

    def _is_due(self, now: float) -> bool:
        return self._dropped or now - self._renewed >= HEARTBEAT_SECONDS or not self._liveness.intact()

    def _renew(self) -> None:
        now = time.monotonic()
        try:
            still = self._liveness.renew()
        except (OSError, StoreError) as error:
            log.warning("the lease could not be renewed: %s", error)
            return
        except Exception:
            log.exception("the lease could not be renewed")
            return
        self._renewed = now
        if self._dropped or not still:
            self._dropped = True
            try:
                self._loop.call_soon_threadsafe(self._go_on)
            except RuntimeError:  # the loop is closed: nobody is left to tell
                self._stop.set()
