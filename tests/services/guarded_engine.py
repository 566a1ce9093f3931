"""The engine behind our guard, as workers in containers have it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.services import availability


@pytest.fixture(scope="session")
def guarded_url(docker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a guard whose containers may have what is in the tests' directories."""
    with guard(docker_url, tmp_path_factory.getbasetemp()) as url:
        yield url


@contextmanager
def guard(engine: str, binds: Path, *more: str) -> Generator[str]:
    """Its address."""
    if os.geteuid() != 0:
        availability.missing("the guard mounts directories, and this user may not")
    with tempfile.TemporaryDirectory(prefix="atlas-guard-") as home:  # a short path, for a socket
        url = f"unix://{home}/guard.sock"
        arguments = [
            "--listen", url, "--engine", engine, "--binds", str(binds), "--own", f"{home}/own",
            "--containers", "64", *more,
        ]  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "mcp_servers.container.guard", *arguments], stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            if not said.startswith("listening on "):
                pytest.fail(f"the guard did not start: {said}{process.stderr.read()}")
            yield url
        finally:
            process.terminate()
            assert process.stderr is not None
            left = process.stderr.read()
            process.stderr.close()
            process.wait(30)
        assert "Traceback" not in left, left
