"""Programs run and timed from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import ROUND_SECONDS, RoundFailed


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds; `cpu` of the program and of all its descendants that were waited for."""

    wall: float
    cpu: float


def timed(command: Sequence[str], directory: Path) -> Timed:
    """Run it in `directory`, which is its ATLAS_HOME too. `RoundFailed` unless it exits with 0."""
    environment = {**os.environ, "ATLAS_HOME": str(directory / "home")}
    before, start = os.times(), time.perf_counter()
    ended = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=ROUND_SECONDS
    )
    wall, after = time.perf_counter() - start, os.times()
    if ended.returncode:
        raise RoundFailed(f"{' '.join(command)}: exit code {ended.returncode}\n{ended.stderr[-2000:]}")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Timed(wall, cpu)


def atlas(arguments: Sequence[str], directory: Path) -> Timed:
    """The console script of this installation."""
    return timed([str(Path(sys.executable).with_name("atlas")), *arguments], directory)
