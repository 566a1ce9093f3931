"""Worker processes of a round, whoever's: started, counted, killed, frozen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.measuring import ROOT

_TICKS = os.sysconf("SC_CLK_TCK")
_END_SECONDS = 10.0


class WorkerProcess:
    """One worker, in a session of its own with all that it starts."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env={**os.environ, **environment},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of its first process."""
        return self._process.pid

    def pids(self) -> list[int]:
        """Of all its processes."""
        return [pid for pid, fields in _processes() if int(fields[3]) == self.pid]

    def cpu(self) -> float:
        """Seconds that its processes have had, as far as they still run."""
        return (
            sum(int(fields[11]) + int(fields[12]) for _, fields in _processes() if int(fields[3]) == self.pid) / _TICKS
        )

    def send(self, number: signal.Signals) -> None:
        """To all of them."""
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def kill(self) -> None:
        """All of it, now."""
        self.send(signal.SIGKILL)
        self._process.wait()

    def end(self) -> None:
        """In good order, or at least soon."""
        if self._process.poll() is None:
            self.send(signal.SIGCONT)
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
        self.kill()

    @property
    def gone(self) -> bool:
        """Whether its first process has ended."""
        return self._process.poll() is not None


def _processes() -> list[tuple[int, list[str]]]:
    """(pid, the fields of its stat from the state on)"""
    found: list[tuple[int, list[str]]] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:  # it has just ended
                continue
            found.append((int(entry.name), text.rpartition(")")[2].split()))
    return found


@contextmanager
def workforce(count: int, arguments: Sequence[str], directory: Path) -> Generator[list[WorkerProcess]]:
    """So many of the same kind; each has a home of its own. What is in the list at the end is ended."""
    found: list[WorkerProcess] = []
    try:
        for number in range(count):
            found.append(another(number, arguments, directory))
        yield found
    finally:
        for worker in found:
            worker.end()


def another(number: int, arguments: Sequence[str], directory: Path) -> WorkerProcess:
    """Started; it is not ready yet."""
    home = directory / f"worker-{number}"
    return WorkerProcess(arguments, {"ATLAS_HOME": str(home)}, directory / f"worker-{number}.log")


def said(directory: Path) -> str:
    """What the workers have said last."""
    return "".join(log.read_text(errors="replace")[-1000:] for log in directory.glob("worker-*.log"))
