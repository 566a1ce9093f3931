"""Who commits when a repository does not say: the operator, as their own git knows them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

_SECONDS = 10.0


def operator_identity(home: Path) -> Mapping[str, str]:
    """Environment for git that gives the operator's name and mail, and nothing else of their configuration. They are
    kept in a file below `home`, named by its content: servers share it, and none has to remove it."""
    program = shutil.which("git")
    with tempfile.TemporaryDirectory(prefix="atlas-git-") as directory:
        made = Path(directory) / "config"
        made.touch()
        for key in ("user.name", "user.email"):
            if program and (value := _configured(program, key)):
                subprocess.run([program, "config", "--file", made, key, value], check=False, timeout=_SECONDS)
        content = made.read_bytes()
    kept = home / "git" / f"{sha256(content).hexdigest()[:16]}.config"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        making = kept.with_name(f"{kept.name}.{os.getpid()}")
        making.write_bytes(content)
        making.replace(kept)
    return {"GIT_CONFIG_GLOBAL": str(kept)}


def _configured(program: str, key: str) -> str:
    said = subprocess.run(
        [program, "config", "--global", "--get", key], cwd=os.sep, capture_output=True, text=True, check=False,
        timeout=_SECONDS,
    )  # fmt: skip
    return said.stdout.strip()
