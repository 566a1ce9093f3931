"""docker/compose.yaml with its override for hosts without a bridge, as docs/deploy.md starts it, apart from others."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from tests.services import availability
from tests.services.ports import free_port
from tests.services.s3 import S3Service

DOCKER = Path(__file__).resolve().parents[2] / "docker"
PORTS = ("POSTGRES", "RABBITMQ", "RABBITMQ_NODES", "EPMD", "MINIO", "SERVER")
UP_SECONDS = 1800
"""It may build the image, and eight workers may start, on a busy machine."""


def program() -> list[str]:
    """`docker compose`, or what was before it; skips the test where neither is."""
    asked = ["docker", "compose", "version"]
    if shutil.which("docker") and subprocess.run(asked, capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is None:
        availability.missing("neither `docker compose` nor docker-compose is here (package docker-compose)")
    return ["docker-compose"]


class Stack:
    """One project. Its directories, ports and names are its own."""

    def __init__(self, directory: Path, engine: str, images: Mapping[str, str], base: str, sandbox: str) -> None:
        self.project = f"atlas-test-{uuid.uuid4().hex[:8]}"
        self.data, self.secrets, self.plans = (directory / name for name in ("data", "secrets", "plans"))
        for made in (self.data, self.plans):
            made.mkdir(mode=0o755)
        override = directory / "images.yaml"
        override.write_text(json.dumps({"services": {name: {"image": image} for name, image in images.items()}}))
        files = (DOCKER / "compose.yaml", DOCKER / "compose.host.yaml", override)
        self._engine = engine
        self._command = [*program(), *(part for file in files for part in ("-f", str(file)))]
        self._environ = {
            **os.environ,
            **{f"ATLAS_{name}_PORT": str(free_port()) for name in PORTS},
            "COMPOSE_PROJECT_NAME": self.project,
            "DOCKER_HOST": engine,
            "DOCKER_BUILDKIT": os.environ.get("DOCKER_BUILDKIT", "0"),
            "ATLAS_DATA": str(self.data),
            "ATLAS_SECRETS": str(self.secrets),
            "ATLAS_ENGINE_SOCKET": urlsplit(engine).path,
            "ATLAS_IMAGE": "atlas-test/atlas-stack:1",
            "ATLAS_BASE_IMAGE": base,
            "ATLAS_DOCKER_IMAGE": sandbox,
            "ATLAS_WORKER_CONCURRENCY": "1",
        }

    def prepare(self) -> None:
        """Passwords and directories; what it says to do on such a host is done."""
        _run(["sh", str(DOCKER / "prepare.sh"), "--host"], 60, self._environ)
        _run(["mount", "--bind", str(self.data), str(self.data)], 60)
        _run(["mount", "--make-shared", str(self.data)], 60)

    def compose(self, *arguments: str, seconds: float = 300) -> str:
        """What it prints; fails with what it complains of."""
        return _run([*self._command, *arguments], seconds, self._environ)

    def up(self, *arguments: str) -> None:
        """Returns once they have begun."""
        self.compose("up", "-d", *arguments, seconds=UP_SECONDS)

    def atlas(self, *arguments: str) -> str:
        """The command line in its container, where the plans are at hand."""
        plans = [f"--volume={self.plans}:/plans:ro", "--workdir=/plans"]
        return self.compose("run", "--rm", "-T", *plans, "atlas", *arguments)

    def docker(self, *arguments: str) -> str:
        """Of the engine."""
        return _run(["docker", "-H", self._engine, *arguments], 300)

    def ids(self, service: str = "", *, all: bool = False) -> list[str]:
        """Of containers that run."""
        labels = [
            f"com.docker.compose.project={self.project}",
            *([f"com.docker.compose.service={service}"] * bool(service)),
        ]
        filters = [f"--filter=label={label}" for label in labels]
        return self.docker("ps", "--quiet", "--no-trunc", *filters, *(["--all"] if all else [])).split()

    def inspected(self, service: str) -> list[dict[str, Any]]:
        """What the engine knows of a service's containers, also of those that have ended."""
        found = self.ids(service, all=True)
        return cast("list[dict[str, Any]]", json.loads(self.docker("inspect", *found))) if found else []

    def listens(self, service: str) -> set[str]:
        """The addresses at which its processes take TCP connections."""
        processes = [pid for id in self.ids(service) for pid in self.docker("top", id, "-eo", "pid").split()[1:]]
        sockets = {name for pid in processes for name in _open_files(pid)}
        found: set[str] = set()
        for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                _, local, _, state, *_ = fields = line.split()
                if state == "0A" and f"socket:[{fields[9]}]" in sockets:
                    found.add(socket.inet_ntop(family, _as_sent(local.partition(":")[0])))
        return found

    def sandboxes(self) -> list[str]:
        """Containers that workers have started through this project's guard."""
        return self.docker("ps", "--all", "--quiet", f"--filter=label=atlas.guard={self.data}/run/guard.sock").split()

    def volumes(self) -> list[str]:
        return self.docker(
            "volume", "ls", "--quiet", f"--filter=label=com.docker.compose.project={self.project}"
        ).split()

    @property
    def server(self) -> str:
        """Where `atlas serve` is."""
        return f"http://127.0.0.1:{self._environ['ATLAS_SERVER_PORT']}"

    def s3(self) -> S3Service:
        """As the workers reach it."""
        lines = (self.secrets / "aws_credentials").read_text().splitlines()[1:]
        key, secret = (line.split(" = ")[1] for line in lines)
        return S3Service(f"http://127.0.0.1:{self._environ['ATLAS_MINIO_PORT']}", key, secret)

    def root_s3(self) -> S3Service:
        """As nobody but bucket.sh is to reach it."""
        user, password = ((self.secrets / name).read_text().strip() for name in ("minio_user", "minio_password"))
        return S3Service(self.s3().endpoint, user, password)

    def remove(self) -> None:
        """All of it."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "60")


def until(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Return once it holds. It is asked once a second, since asking an engine starts a program."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(1.0)


@contextmanager
def stack(engine: str, images: Mapping[str, str], base: str, sandbox: str) -> Generator[Stack]:
    """One that is prepared and not started; what is left of it at the end is removed. Root only."""
    if os.geteuid() != 0 or not urlsplit(engine).path:
        availability.missing("the stack needs root and an engine on this host")
    directory = Path(tempfile.mkdtemp(prefix="atlas-stack-"))  # a short path, for sockets; its parents are root's
    made = Stack(directory, engine, images, base, sandbox)
    try:
        made.prepare()
        yield made
    finally:
        try:
            made.remove()
        finally:
            subprocess.run(["umount", "--recursive", str(made.data)], capture_output=True, check=False)
            shutil.rmtree(directory, ignore_errors=True)


def _open_files(pid: str) -> list[str]:
    """Without what is closed meanwhile, or has ended: a health check."""
    found: list[str] = []
    with suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.append(str(each.readlink()))
    return found


def _as_sent(address: str) -> bytes:
    """The kernel prints each four bytes as a number of this machine."""
    words = [address[start : start + 8] for start in range(0, len(address), 8)]
    return b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)


def _run(command: list[str], seconds: float, environ: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds, env=environ)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout
