"""The images that docker/compose.yaml names, where there is no registry: made of Debian's packages, and kept.

An image that the engine has under its own name is taken instead. Ours never get such a name: somebody would take them
for the real ones.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from tests.services import availability

HERE = Path(__file__).parent
COMPOSE = HERE.parents[2] / "docker/compose.yaml"
SERVICES = ("postgres", "rabbitmq", "minio")
BUILD_SECONDS = 1800


@pytest.fixture(scope="session")
def service_images(docker_url: str, python_image: str) -> dict[str, str]:
    """By the name of its service, the image that it is to have here."""
    asked = cast("dict[str, Any]", yaml.safe_load(COMPOSE.read_text()))["services"]
    images = {name: _image(docker_url, name, str(asked[name]["image"]), python_image) for name in SERVICES}
    return images | {name: images["minio"] for name, each in asked.items() if each["image"] == asked["minio"]["image"]}


def _image(url: str, service: str, real: str, base: str) -> str:
    if _docker(url, "image", "inspect", real).returncode == 0:
        return real
    name = f"atlas-test/{service}:1"
    arguments = [f"--build-arg=BASE={base}"]
    if service == "minio":
        arguments.append(f"--build-arg=MOTO={importlib.metadata.version('moto')}")
    file = str(HERE / f"{service}.Dockerfile")
    built = _docker(url, "build", "--network=host", *arguments, "--quiet", "--tag", name, "--file", file, str(HERE))
    if built.returncode:
        availability.missing(f"{real} is not on the engine, and nothing can be made for it: {built.stderr[-1000:]}")
    return name


def _docker(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "DOCKER_BUILDKIT": os.environ.get("DOCKER_BUILDKIT", "0")}
    return subprocess.run(
        ["docker", "-H", url, *arguments],
        capture_output=True, text=True, check=False, env=environ, timeout=BUILD_SECONDS,
    )  # fmt: skip
