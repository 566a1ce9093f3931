"""Rounds: each in a process of its own, with a fresh directory on a real disk; and what becomes of their numbers.

This machine may be busy with other things. So systems take turns, round by round, and the best round of each counts
(`best`), or the middle one where a tail is measured (`middle`); CPU time and ratios are the robust numbers.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]
ROUND_SECONDS = 1_500.0
IN_MEMORY = frozenset(("tmpfs", "ramfs"))
Round = Mapping[str, float]
"""What one round found: metric -> value."""
Better = Literal["higher", "lower"]


class RoundFailed(Exception):
    """A round did not come to its end; the message is the end of what it said."""


def filesystem(path: Path) -> str:
    """The type of the file system that `path` is on, as Linux names it; "unknown" elsewhere."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "unknown"
    inside = [(mount[1], mount[2]) for mount in mounts if path.resolve().is_relative_to(mount[1])]
    return max(inside, key=lambda mount: len(mount[0]))[1] if inside else "unknown"


def disk() -> Path:
    """A directory on a disk, for databases: ATLAS_BENCH_DIR, else the temporary directory, else this checkout's."""
    if asked := os.environ.get("ATLAS_BENCH_DIR"):
        return Path(asked)
    temporary = Path(tempfile.gettempdir())
    return temporary if filesystem(temporary) not in IN_MEMORY else ROOT


@contextmanager
def scratch() -> Generator[Path]:
    """A fresh directory on `disk`, removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="atlas-bench-", dir=disk()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def one_round(module: str, **options: str | float) -> Round:
    """Run ``benchmarks.<module>`` in a process of its own; see `in_round` for its side."""
    with scratch() as directory:
        command = [sys.executable, "-m", f"benchmarks.{module}", str(directory), json.dumps(options)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=ROUND_SECONDS)
        if ended.returncode:
            raise RoundFailed(f"{module} {options}: exit code {ended.returncode}\n{ended.stderr[-2000:]}")
        return json.loads(ended.stdout.splitlines()[-1])


def in_round() -> tuple[Path, dict[str, str | float]]:
    """In that process: (fresh directory, options). It prints its `Round` with `report`."""
    return Path(sys.argv[1]), json.loads(sys.argv[2])


def report(found: Round) -> None:
    """The end of a round."""
    print(json.dumps(found), flush=True)


def best(rounds: Sequence[Round], metric: str, better: Better) -> float:
    """Over all rounds that have it."""
    values = [found[metric] for found in rounds if metric in found]
    return max(values) if better == "higher" else min(values)


def middle(rounds: Sequence[Round], metric: str) -> float:
    """The median over all rounds that have it."""
    return statistics.median(found[metric] for found in rounds if metric in found)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of all lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Stopwatch:
    """Wall and CPU seconds of this process since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """(wall, CPU of all threads)"""
        return time.perf_counter() - self._wall, time.process_time() - self._cpu
