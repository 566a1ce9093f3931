"""The real `atlas`: every command is a process of its own, in an installation of its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that a test waits for what takes a fraction of one on an idle machine."""
_POLL = 0.01
_OF_OTHERS = ("ATLAS_", "AWS_", "DOCKER_", "COV_CORE", "OTEL_", "TRACEPARENT")
COMMAND = (sys.executable, "-m", "orchestrator.cli.main")


def wait_until(condition: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """The first true value of `condition`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(_POLL)
    return value


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended. A negative code is a signal."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Standard output as NDJSON."""
        return [json.loads(line) for line in self.lines]

    def __str__(self) -> str:
        return f"exit {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


class Running:
    """A command that runs, in a process group of its own like that of an interactive shell."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self._process = process
        self._out = out
        self._err = err

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._out.read_text("utf-8", "replace")

    @property
    def err(self) -> str:
        return self._err.read_text("utf-8", "replace")

    def send(self, number: signal.Signals) -> None:
        """To the whole group, as a terminal does."""
        if self.alive:
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """`kill -9` of this one process; returns when it is gone."""
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)

    def ended(self, seconds: float = PATIENCE) -> Ended:
        """Wait for its end."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {seconds:g} s\n{Ended(0, self.out, self.err)}") from None
        return Ended(code, self.out, self.err)


@dataclass
class Atlas:
    """An installation in `directory`: its ATLAS_HOME, its temporary directory, a working directory for plans."""

    directory: Path
    variables: dict[str, str] = field(default_factory=dict[str, str])
    _started: list[Running] = field(default_factory=list[Running])

    def __post_init__(self) -> None:
        for each in (self.work, self.temporary):
            each.mkdir(parents=True, exist_ok=True)

    @property
    def home(self) -> Path:
        return Path(self.variables.get("ATLAS_HOME", self.directory / "home"))

    @property
    def work(self) -> Path:
        return self.directory / "work"

    @property
    def temporary(self) -> Path:
        return self.directory / "tmp"

    @property
    def database(self) -> Path:
        return self.home / "atlas.db"

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """This process's, without what would set up another installation."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_OF_OTHERS)}
        own = {"ATLAS_HOME": str(self.home), "TMPDIR": str(self.temporary), "DOCKER_HOST": "unix:///nowhere.sock"}
        return inherited | own | self.variables | dict(extra or {})

    # --- commands ----------------------------------------------------------------------------------------------------

    def start(
        self, *arguments: str, stdin: bytes = b"", cwd: Path | None = None, **variables: str
    ) -> Running:  # fmt: skip
        """Start `atlas ARGUMENTS`."""
        number = len(self._started)
        out, err = (self.directory / f"{number}.{name}" for name in ("out", "err"))
        given = self.directory / f"{number}.in"
        given.write_bytes(stdin)
        with given.open("rb") as source, out.open("wb") as to_out, err.open("wb") as to_err:
            process = subprocess.Popen(
                [*COMMAND, *arguments], stdin=source, stdout=to_out, stderr=to_err, cwd=cwd or self.work,
                env=self.environment(variables), start_new_session=True,
            )  # fmt: skip
        self._started.append(running := Running(process, out, err))
        return running

    def __call__(
        self, *arguments: str, stdin: bytes = b"", cwd: Path | None = None, seconds: float = 2 * PATIENCE,
        code: int | None = None, **variables: str,
    ) -> Ended:  # fmt: skip
        """Run `atlas ARGUMENTS` to its end; with `code`, that must be its exit code."""
        ended = self.start(*arguments, stdin=stdin, cwd=cwd, **variables).ended(seconds)
        assert "Traceback" not in ended.err, ended
        assert code is None or ended.code == code, f"atlas {' '.join(arguments)}: {ended}"
        return ended

    def plan(self, todos: Sequence[Mapping[str, Any]], name: str = "plan", **keys: Any) -> str:
        """Write a plan (JSON is YAML) that runs on the host; returns its path."""
        document = {"atlas": 1, "name": name, "sandbox": "host", **keys, "todos": list(todos)}
        path = self.work / f"{name}.yaml"
        path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        return str(path)

    # --- what it left ------------------------------------------------------------------------------------------------

    def sql(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """Read the database, past the program."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=PATIENCE)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, parameters)]

    def change(self, statement: str, *parameters: object) -> None:
        """Write to the database, past the program."""
        with closing(sqlite3.connect(self.database, timeout=PATIENCE)) as connection, connection:
            connection.execute(statement, parameters)

    def states(self) -> dict[str, str]:
        """Key to state of the newest run's TODOs; empty as long as there is none."""
        if not self.has_tables():
            return {}
        rows = self.sql("SELECT key, state FROM todo WHERE run_id = (SELECT max(id) FROM run)")
        return {row["key"]: row["state"] for row in rows}

    def has_tables(self) -> bool:
        """Whether the database has been made."""
        return self.database.exists() and bool(self.sql("SELECT 1 FROM sqlite_master WHERE name = 'worker'"))

    def run_state(self) -> str:
        """Of the newest run."""
        return self.sql("SELECT state FROM run ORDER BY id DESC LIMIT 1")[0]["state"]

    def wait_for(self, key: str, *states: str, seconds: float = PATIENCE) -> None:
        """Until a TODO of the newest run is in one of these states."""
        wait_until(lambda: self.states().get(key) in states, f"{key} {' or '.join(states)}: {self.states()}", seconds)

    def kill_all(self) -> None:
        """End every command that is still running."""
        for running in self._started:
            running.kill()


@contextmanager
def installation(directory: Path, **variables: str) -> Generator[Atlas]:
    """One whose commands are gone afterwards."""
    atlas = Atlas(directory, dict(variables))
    try:
        yield atlas
    finally:
        atlas.kill_all()
