"""The real `atlas serve`, as a process, and a client of its API."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance.command_line import PATIENCE, Atlas, Running, installation, wait_until

PLAN = {"atlas": 1, "name": "hello", "sandbox": "host", "todos": [{"id": "greet", "run": "echo hello"}]}


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event."""

    id: int | None
    type: str
    data: dict[str, Any]


def events_in(lines: Iterator[str]) -> Iterator[Event]:
    """As the standard has it, as far as Atlas uses it."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "event" in fields:
                id = int(fields["id"]) if "id" in fields else None
                yield Event(id, fields["event"], json.loads(fields["data"]))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


@dataclass
class Server:
    """`atlas serve` in an installation of its own. `client` has the first token."""

    atlas: Atlas
    options: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    port: int = 0
    cwd: Path | None = None

    def __post_init__(self) -> None:
        self.process: Running | None = None
        self.token = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it answers; after the first time, on the same port."""
        variables: dict[str, Any] = dict(self.variables)
        arguments = ("serve", "--port", str(self.port), *self.options)
        self.process = self.atlas.start(*arguments, cwd=self.cwd, **variables)
        wait_until(lambda: "listening on" in self.said or not self.running.alive, "it listens")
        found = re.search(r"listening on http://\S+?:(\d+)/", self.said)
        assert found, self.said
        self.port = int(found[1])
        file = self.atlas.home / "token"
        self.token = self.token or (file.read_text("utf-8").strip() if file.exists() else "none")

    @property
    def running(self) -> Running:
        assert self.process
        return self.process

    @property
    def said(self) -> str:
        """On standard error, so far."""
        return self.running.err

    def client(self, token: str | None = None, **options: Any) -> httpx.Client:
        """With this token; by default the first."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE, trust_env=False, **options)

    def plain(self, **options: Any) -> httpx.Client:
        """Without any token."""
        return httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False, **options)

    def new_token(self, name: str, scope: str, *options: str) -> str:
        """Made by the command line."""
        return self.atlas("token", "new", name, "--scope", scope, *options, code=0).out.strip()


@contextmanager
def served(directory: Path, *options: str, cwd: Path | None = None, **variables: str) -> Generator[Server]:
    """Up, and gone afterwards."""
    with installation(directory) as atlas:
        server = Server(atlas, options, variables, cwd=cwd)
        server.start()
        yield server


def submitted(client: httpx.Client, plan: Mapping[str, Any] = PLAN, **headers: Any) -> str:
    """The run's id."""
    answer = client.post("/api/runs", json={"plan": plan}, headers=headers)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()["run"]["id"]


def ended(client: httpx.Client, run: str, *states: str) -> dict[str, Any]:
    """The run, once it is in one of these states."""
    wanted = states or ("completed", "failed", "cancelled")

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/api/runs/{run}").json()
        return found if found["state"] in wanted else None

    found = wait_until(look, f"{run} is {wanted}")
    assert found
    return found


def watched(client: httpx.Client, run: str, after: int | None = None) -> list[Event]:
    """All events until the run has ended."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    with client.stream("GET", f"/api/runs/{run}/events?until=end", headers=headers) as stream:
        assert stream.status_code == 200, stream.read()
        return list(events_in(stream.iter_lines()))
