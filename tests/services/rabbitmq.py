"""A RabbitMQ server: ATLAS_TEST_RABBITMQ_URL, else a private one made from the local binaries.

A start takes some seconds, so each pytest process (an xdist worker is one) has one server, and tests keep apart by the
prefix of their names. What only the private one can do (stop, be killed) is skipped on the other.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.services.availability import missing
from tests.services.ports import free_port, wait_for_port

_PLACES = "/usr/lib/rabbitmq/bin", "/opt/homebrew/opt/rabbitmq/sbin"
_START_SECONDS = 180.0
_STOP_SECONDS = 30.0


def binaries() -> Path | None:
    """Where rabbitmq-server itself is. (Debian's in the PATH is a wrapper that changes the user.)"""
    places = [Path(place) for place in _PLACES]
    if found := shutil.which("rabbitmq-server"):
        places.append(Path(found).resolve().parent)
    return next((place for place in places if (place / "rabbitmqctl").exists() and shutil.which("epmd")), None)


class RabbitServer:
    """A private server on loopback ports. It has its own port mapper, which it would leave behind otherwise. `within`:
    the directory for its own one."""

    def __init__(self, programs: Path, *, within: Path | None = None) -> None:
        self._programs = programs
        self._directory = Path(tempfile.mkdtemp(prefix="atlas-rabbitmq-", dir=within))
        self._node = f"atlas-{uuid.uuid4().hex[:8]}@localhost"
        self._process: subprocess.Popen[bytes] | None = None
        self._mapper: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self._environment = self._surroundings()
        cookie = self._directory / ".erlang.cookie"
        cookie.write_text(uuid.uuid4().hex)
        cookie.chmod(0o400)

    def _surroundings(self) -> dict[str, str]:
        home, mapper = str(self._directory), str(free_port())
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": home,
            "ERL_EPMD_PORT": mapper,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": loopback,
            "RABBITMQ_CTL_ERL_ARGS": loopback,
            "RABBITMQ_MNESIA_BASE": f"{home}/data",
            "RABBITMQ_LOG_BASE": f"{home}/log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{home}/none",
            "RABBITMQ_CONF_ENV_FILE": f"{home}/none.conf",
            "RUNNING_UNDER_SYSTEMD": "true",  # no shell between us and the server: a signal reaches it
        }

    @property
    def url(self) -> str:
        """As the user that every new server has."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Return once it takes connections."""
        if self._mapper is None:
            self._mapper = self._run("epmd", "-port", self._environment["ERL_EPMD_PORT"], "-address", "127.0.0.1")
            wait_for_port(int(self._environment["ERL_EPMD_PORT"]))
        self._process = self._run(self._programs / "rabbitmq-server")
        try:
            wait_for_port(self.port, _START_SECONDS)
        except TimeoutError as error:
            log = (self._directory / "output").read_text(errors="replace")
            raise OSError(f"{error}: {log[-1000:]}") from error

    def _run(self, *command: str | Path) -> subprocess.Popen[bytes]:
        with (self._directory / "output").open("ab") as output:
            return subprocess.Popen(
                command, env=self._environment, cwd=self._directory,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        """In good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a crash."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(how)
            try:
                self._process.wait(_STOP_SECONDS)
            finally:
                with contextlib.suppress(ProcessLookupError):  # what it has started ends on its own, but later
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
                self._process = None

    def control(self, *command: str) -> str:
        """What rabbitmqctl can do, and prints. It takes a second."""
        return subprocess.run(
            [self._programs / "rabbitmqctl", "-n", self._node, "--quiet", *command],
            env=self._environment, cwd=self._directory, stdin=subprocess.DEVNULL, capture_output=True, check=True,
            timeout=60, text=True,
        ).stdout  # fmt: skip

    def stop_app(self) -> None:
        """The broker ends, its machine stays."""
        self.control("stop_app")

    def start_app(self) -> None:
        """Return once it takes connections again."""
        self.control("start_app")
        wait_for_port(self.port)

    def close_connections(self) -> None:
        """As an operator would."""
        self.control("close_all_connections", "a test")

    def virtual_host(self, name: str) -> str:
        """A world of its own, for programs that can't set their names apart; its URL."""
        self.control("add_vhost", name, "--default-queue-type", "quorum")
        self.control("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        return f"{self.url}{name}"

    def delete_queue(self, name: str) -> None:
        """With everything in it."""
        self.control("delete_queue", name)

    def remove(self) -> None:
        """Kill it and leave nothing."""
        self.kill()
        if self._mapper:
            self._mapper.kill()
            self._mapper.wait()
            self._mapper = None
        shutil.rmtree(self._directory, ignore_errors=True)


def private_server() -> RabbitServer:
    """A server of the caller's own, started; skips the test when there are no binaries."""
    programs = binaries()
    if programs is None:
        missing("no RabbitMQ: set ATLAS_TEST_RABBITMQ_URL, or install its server")
    server = RabbitServer(programs)
    try:
        server.start()
    except OSError as error:
        server.remove()
        missing(f"RabbitMQ does not start: {error}")
    return server


@pytest.fixture(scope="session")
def rabbitmq_server() -> Generator[str | RabbitServer]:
    """The private server, or the URL of one that is not ours."""
    if url := os.environ.get("ATLAS_TEST_RABBITMQ_URL"):
        yield url
        return
    server = private_server()
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
def rabbitmq_url(rabbitmq_server: str | RabbitServer) -> str:
    """A server that answers."""
    return rabbitmq_server if isinstance(rabbitmq_server, str) else rabbitmq_server.url


@pytest.fixture
def rabbitmq_own(rabbitmq_server: str | RabbitServer) -> RabbitServer:
    """The private server, for what is done to a server; whoever stops it starts it again."""
    if isinstance(rabbitmq_server, str):
        missing("needs a RabbitMQ server that may be stopped: unset ATLAS_TEST_RABBITMQ_URL")
    return rabbitmq_server


@pytest.fixture
def rabbitmq_alone(rabbitmq_own: RabbitServer, rabbitmq_prefix: str) -> str:
    """URL of a virtual host of this test, for the command line, whose names have no prefix of their own."""
    return rabbitmq_own.virtual_host(rabbitmq_prefix)


@pytest.fixture
def rabbitmq_prefix() -> str:
    """Names of this test alone."""
    return f"atlas-test-{uuid.uuid4().hex[:12]}"
