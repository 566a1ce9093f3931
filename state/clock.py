"""Durations are measured on the monotonic clock; moments are the database's. This is the local fallback for both."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """`now` is seconds since the Unix epoch, UTC; `monotonic` is for durations and comparable on one host."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...


class SystemClock:
    """This host's clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()
