"""How fast something may come."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Something that may come `ahead` seconds early, and then no faster than time goes by."""

    def __init__(self, ahead: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ahead = ahead
        self._clock = clock
        self._until = 0.0

    def early(self, seconds: float) -> float:
        """How long to wait before more is taken, now that something has come that lasts for so long."""
        now = self._clock()
        self._until = max(self._until, now) + seconds
        return max(0.0, self._until - now - self._ahead)
