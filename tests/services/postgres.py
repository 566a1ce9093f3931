"""A PostgreSQL server: ATLAS_TEST_POSTGRES_URL, else a private one made from the local binaries.

Each pytest process (an xdist worker is one) has its own server, or database; each test that asks for
`postgres_database` has one of its own, copied from a migrated template.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from state.migrations import upgrade
from state.tables import Run
from tests.services.availability import missing
from tests.services.ports import free_port, wait_for_port

_PLACES = "/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin"
_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
}


_START_SECONDS = 120.0
_END_SECONDS = 30.0


def binaries() -> Path | None:
    """Where initdb and postgres are."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    root = Path("/")
    return next((p for place in _PLACES for p in sorted(root.glob(place[1:])) if (p / "initdb").exists()), None)


class PostgresServer:
    """A private server on a loopback port, that can be stopped and started again. `durable`: with fsync. `within`: the
    directory for its own one."""

    def __init__(self, programs: Path, *, durable: bool = False, within: Path | None = None) -> None:
        self._programs = programs
        self._user = "nobody" if os.geteuid() == 0 else None  # postgres refuses to run as root
        self._directory = Path(tempfile.mkdtemp(prefix="atlas-postgres-", dir=within))
        if self._user:
            shutil.chown(self._directory, self._user)
        self._data = self._directory / "data"
        self._settings = dict(list(_FAST.items())[3:]) if durable else _FAST
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        options = ["--no-sync", "-A", "trust", "-U", "atlas", "-E", "UTF8", "--locale=C"]
        made = subprocess.run(
            [programs / "initdb", "-D", self._data, *options],
            user=self._user, cwd=self._directory, capture_output=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise OSError(made.stderr.decode(errors="replace"))

    @property
    def url(self) -> str:
        """Of the server's own database, as its superuser."""
        return f"postgresql+psycopg://atlas@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Return once it answers."""
        settings = [f"--{name.replace('_', '-')}={value}" for name, value in self._settings.items()]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-p", str(self.port), *settings],
                user=self._user, cwd=self._directory, stdout=log, stderr=log,
            )  # fmt: skip
        wait_for_port(self.port, _START_SECONDS)
        self.wait()

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + _START_SECONDS
        while True:  # it listens before it has recovered
            try:
                statement(self.url, "SELECT 1")
                return
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def stop(self) -> None:
        """As a crash: immediately."""
        self._end(signal.SIGQUIT)

    def shut_down(self) -> None:
        """As an operator does: clients are sent away, everything is written."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """`kill -9` of the server and of all that it has started."""
        children = self.children()
        self._end(signal.SIGKILL)
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def kill_a_session(self, chosen: Callable[[Sequence[int]], int]) -> int:
        """`kill -9` of one process that serves a client, as the kernel does when memory is short: the server ends all
        others and recovers, without a restart of its own. Its process id."""
        sessions = [child for child in self.children() if b"127.0.0.1(" in _command(child)]
        if not sessions:
            return 0
        with suppress(ProcessLookupError):
            os.kill(victim := chosen(sessions), signal.SIGKILL)
            return victim
        return 0

    def children(self) -> list[int]:
        """Processes of the server."""
        if self._process is None:
            return []
        return [
            int(pid) for pid in Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        ]

    def _end(self, how: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(how)
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:  # seen of 15.x that was asked to end while it recovered from a crash
                children = self.children()
                self._process.kill()
                self._process.wait()
                for child in children:
                    with suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
            self._process = None

    def remove(self) -> None:
        """Stop it and leave nothing."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


def _command(process: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def private_server(*, durable: bool = False) -> PostgresServer:
    """A server of the caller's own, started; skips the test when there are no binaries."""
    programs = binaries()
    if programs is None:
        missing("no PostgreSQL: set ATLAS_TEST_POSTGRES_URL, or install its server")
    try:
        server = PostgresServer(programs, durable=durable)
        server.start()
    except (OSError, psycopg.Error) as error:
        missing(f"PostgreSQL does not start: {error}")
    return server


@pytest.fixture(scope="session")
def postgres_server() -> Generator[str]:
    """URL of a database on a server where we may make databases."""
    if url := os.environ.get("ATLAS_TEST_POSTGRES_URL"):
        yield url
        return
    server = private_server()
    try:
        yield server.url
    finally:
        server.remove()


def statement(url: str, sql: str) -> None:
    """Run one statement outside of any transaction."""
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(sql.encode())


def _database(server: str, template: str = "template1") -> Generator[str]:
    name = f"atlas_test_{uuid.uuid4().hex}"
    statement(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        statement(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_url(postgres_server: str) -> Generator[str]:
    """An empty database of this session."""
    yield from _database(postgres_server)


@pytest.fixture
def postgres_empty(postgres_server: str) -> Generator[str]:
    """An empty database of this test."""
    yield from _database(postgres_server)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Generator[str]:
    """Name of a migrated database to copy."""
    for url in _database(postgres_server):
        upgrade(url)
        yield str(make_url(url).database)


@pytest.fixture(scope="session")
def postgres_shared(postgres_server: str, postgres_template: str) -> Generator[str]:
    """A migrated database that many tests use, one after the other."""
    yield from _database(postgres_server, postgres_template)


@pytest.fixture
def postgres_cleared(postgres_shared: str) -> str:
    """The shared database without a row in it: much faster than a database of its own."""
    clear(postgres_shared)
    return postgres_shared


def clear(url: str) -> None:
    """Delete every row."""
    tables = reversed(Run.metadata.sorted_tables)
    statement(url, "; ".join(f"DELETE FROM {table.name}" for table in tables))  # noqa: S608


@pytest.fixture
def postgres_database(postgres_server: str, postgres_template: str) -> Generator[str]:
    """A migrated database of this test."""
    yield from _database(postgres_server, postgres_template)
