"""Memory of conversations that are over: the models' libraries free it, and the C library keeps it for later."""

from __future__ import annotations

import contextlib
import ctypes


def give_back() -> None:
    """To the system, where the C library can (glibc's `malloc_trim`). Takes some ten milliseconds; for a thread."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
