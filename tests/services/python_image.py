"""A base for our image where there is no registry: Debian by debootstrap, with its own Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.services import availability

HUB = "python:3.12-slim"
OWN = "atlas-test/python:1"
_PACKAGES = "ca-certificates,python3,python3-pip,python3-venv"
_SECONDS = 600
_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"


@pytest.fixture(scope="session")
def python_image(docker_url: str) -> str:
    """The image that the Dockerfile names if the engine has it, else one made here: no registry is needed."""
    docker = ["docker", "-H", docker_url]
    if shutil.which("docker") is None:
        availability.missing("the docker program is not here (package docker.io)")
    for name in (HUB, OWN):
        if subprocess.run([*docker, "image", "inspect", name], capture_output=True, check=False).returncode == 0:
            return name
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        availability.missing(f"{HUB} is not on the engine, and no base can be made (package debootstrap, as root)")
    with tempfile.TemporaryDirectory(prefix="atlas-base-") as made:
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", made],
            check=True, capture_output=True, timeout=_SECONDS,
        )  # fmt: skip
        (Path(made) / "usr/bin/python").symlink_to("python3")
        shutil.copy(Path("/") / _CERTIFICATES, Path(made) / _CERTIFICATES)  # whom this machine trusts
        trusted = f"ENV SSL_CERT_FILE=/{_CERTIFICATES} PIP_CERT=/{_CERTIFICATES}"
        with subprocess.Popen(["tar", "-C", made, "-c", "."], stdout=subprocess.PIPE) as packing:
            subprocess.run(
                [*docker, "import", "--change", trusted, "-", OWN],
                check=True,
                stdin=packing.stdout,
                capture_output=True,
            )
    return OWN
