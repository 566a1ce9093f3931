"""An engine: the one named by ATLAS_TEST_DOCKER_URL, else one that answers, else our own dockerd (root only)."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.services import availability

if TYPE_CHECKING:
    from docker import DockerClient

BUSYBOX_IMAGE = "atlas-test/busybox:1"
START_SECONDS = 60.0


@pytest.fixture(scope="session")
def docker_url() -> Iterator[str]:
    """The address of an engine that answers. Its containers get no network or the host's: none need be set up."""
    if url := os.environ.get("ATLAS_TEST_DOCKER_URL"):
        if not _answers(url):
            pytest.fail(f"ATLAS_TEST_DOCKER_URL={url} does not answer")
        yield url
        return
    url = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if _answers(url):
        yield url
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        availability.missing(f"no engine answers at {url}, and this user can't start a dockerd")
    with _private_engine() as own:
        yield own


@pytest.fixture(scope="session")
def busybox_image(docker_url: str) -> str:
    """An image with a static busybox and its applets, made here: no registry is needed."""
    busybox = shutil.which("busybox")
    if busybox is None or _is_dynamic(Path(busybox)):
        availability.missing("no static busybox on this host (package busybox-static)")
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    archive = _image(Path(busybox).read_bytes(), applets)
    with _client(docker_url) as client:
        client.api.import_image_from_data(archive, *BUSYBOX_IMAGE.split(":"))  # pyright: ignore[reportUnknownMemberType]
    return BUSYBOX_IMAGE


def containers_of(url: str, home: Path) -> list[str]:
    """Names of the containers of this installation, those that have ended included."""
    with _client(url) as client:
        found = client.containers.list(all=True, filters={"label": f"atlas.home={home}"}, ignore_removed=True)
        return [str(each.name) for each in found]


def image_under_name(url: str, image: str, name: str) -> None:
    """Tag a local image as `name`, which a user would have pulled."""
    with _client(url) as client:
        client.images.get(image).tag(*name.split(":"))


def without_image(url: str, name: str) -> None:
    """Take this name off an image, which keeps its others."""
    with _client(url) as client:
        client.images.remove(name)


def _image(busybox: bytes, applets: list[str]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("bin", "etc", "tmp"):  # a /tmp closed to others is unusual, and must work
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(directory)
        program = tarfile.TarInfo("bin/busybox")
        program.size, program.mode = len(busybox), 0o755
        tar.addfile(program, io.BytesIO(busybox))
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
    return archive.getvalue()


def _is_dynamic(program: Path) -> bool:
    return b"/ld-linux" in program.read_bytes()[:4096]


def _answers(url: str) -> bool:
    address = urlsplit(url)
    unix = address.scheme == "unix"
    try:
        with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as probe:
            probe.settimeout(10)
            probe.connect(address.path if unix else (address.hostname, address.port))
            probe.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return probe.recv(4096).split()[1:2] == [b"200"]
    except OSError:
        return False


@contextmanager
def _client(url: str) -> Generator[DockerClient]:
    import docker  # not for every test run: it takes its time

    client = docker.DockerClient(base_url=url, timeout=30)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _private_engine() -> Generator[str]:
    """A dockerd with nothing shared: data, state and socket below one directory, no network set up."""
    home = Path(tempfile.mkdtemp(prefix="atlas-dockerd-"))
    url = f"unix://{home}/docker.sock"
    log = home / "log"
    arguments = [
        "dockerd",
        f"--host={url}",
        f"--data-root={home}/data",
        f"--exec-root={home}/exec",
        f"--pidfile={home}/pid",
        "--iptables=false",
        "--bridge=none",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        _wait(process, url, log)
        yield url
    finally:
        process.terminate()
        process.wait(30)
        subprocess.run(["umount", "--recursive", str(home / "data")], capture_output=True, check=False)
        shutil.rmtree(home, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if _answers(url):
            return
        time.sleep(0.05)
    availability.missing(f"dockerd did not start: {log.read_text(errors='replace')[-500:]}")
