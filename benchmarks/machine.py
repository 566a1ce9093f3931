"""How quick this machine is at the moment: numbers to hold the others against, and waiting for a quiet moment."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.measuring import percentile, scratch
from benchmarks.reporting import Figure

_PATIENCE = 20.0
"""Seconds that a round waits for a quiet moment, unless ATLAS_BENCH_PATIENCE says otherwise."""
_QUIET = 0.85
"""Idle share of all cores."""
_LOOK = 0.25


def until_quiet() -> bool:
    """Wait until most of the machine is idle; False when it would not be."""
    end = time.monotonic() + float(os.environ.get("ATLAS_BENCH_PATIENCE", _PATIENCE))
    while idle_share(_LOOK) < _QUIET:
        if time.monotonic() > end:
            return False
    return True


def idle_share(seconds: float) -> float:
    """Of all cores, over so many seconds from now; 1 where the system does not tell."""
    before = _ticks()
    time.sleep(seconds)
    after = _ticks()
    total = sum(after) - sum(before)
    return (after[3] - before[3]) / total if total > 0 else 1.0


def _ticks() -> list[int]:
    try:
        return [int(part) for part in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    except OSError:
        return [0, 0, 0, 0]


def yardstick() -> list[Figure]:
    """CPU time of a fixed piece of Python, and what a durable write costs here: other runs differ in these first."""
    return [
        Figure("machine", "CPU of 100,000 dictionary updates", min(_python() for _ in range(5)), "ms"),
        Figure("machine", "write and fdatasync p50", _sync(), "ms"),
    ]


def _python() -> float:
    start = time.process_time()
    table: dict[int, int] = {}
    for number in range(100_000):
        table[number % 1000] = table.get(number % 1000, 0) + 1
    return 1000 * (time.process_time() - start)


def _sync(count: int = 100) -> float:
    took: list[float] = []
    with scratch() as directory, (directory / "file").open("wb", buffering=0) as file:
        for _ in range(count):
            start = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            took.append(1000 * (time.perf_counter() - start))
    return percentile(took, 0.5)
