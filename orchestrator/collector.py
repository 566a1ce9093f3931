"""Python's garbage collector, told what it need not look at."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

_BETWEEN_LOOKS = (20_000, 20, 20)
"""A batch of commands makes thousands of objects that live until it is written; at Python's default of 700 the
collector would walk them again and again, for cycles that are not there."""


@contextmanager
def imported_for_good() -> Generator[None]:
    """Around imports: what they make lives as long as the process. Left to itself the collector walks all of it again
    and again (measured: an eighth of a worker's time, a tenth of a command's start)."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*_BETWEEN_LOOKS)
        gc.enable()
