"""Who commits when a repository does not say: the operator, as their own git knows them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

_SECONDS = 10.0


@contextmanager
def operator_identity() -> Generator[Mapping[str, str]]:
    """Environment for git that gives the operator's name and mail, and nothing else of their configuration."""
    program = shutil.which("git")
    with tempfile.TemporaryDirectory(prefix="atlas-git-") as directory:
        file = Path(directory) / "config"
        file.touch()
        for key in ("user.name", "user.email"):
            if program and (value := _configured(program, key)):
                subprocess.run([program, "config", "--file", file, key, value], check=False, timeout=_SECONDS)
        yield {"GIT_CONFIG_GLOBAL": str(file)}


def _configured(program: str, key: str) -> str:
    said = subprocess.run(
        [program, "config", "--global", "--get", key], cwd=os.sep, capture_output=True, text=True, check=False,
        timeout=_SECONDS,
    )  # fmt: skip
    return said.stdout.strip()
