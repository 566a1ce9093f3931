"""Checkouts of what was pinned, side by side, broken off at any step, and from what was damaged."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from mcp_servers.git.checkouts import Checkouts
from mcp_servers.git.pinning import Pinned, pin
from mcp_servers.git.program import GitError
from mcp_servers.storage.artifacts import Artifacts
from mcp_servers.storage.trees import digest_tree
from state.errors import InputError, RemoteMissing
from tests.integration.pinned_repositories import child, content, dead, git, until


async def test_where_a_checkout_may_go(
    tmp_path: Path, repository: Path, artifacts: Artifacts, checkouts: Checkouts
) -> None:
    pinned = await pin(str(repository), None, artifacts)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        await checkouts.fresh(pinned.oid, pinned.digest, tmp_path / "taken")
    assert (tmp_path / "taken" / "mine").read_text() == "mine"
    with pytest.raises(InputError, match="not the id of a commit"):
        await checkouts.fresh("HEAD", pinned.digest, tmp_path / "into")
    with pytest.raises(RemoteMissing):
        await checkouts.fresh("0" * 40, f"sha256:{'0' * 64}", tmp_path / "into")
    with pytest.raises(GitError, match="does not hold the commit"):
        await checkouts.fresh("0" * 40, pinned.digest, tmp_path / "into")
    await checkouts.fresh(pinned.oid, pinned.digest, tmp_path / "into")


async def test_many_commits_side_by_side(
    tmp_path: Path, repository: Path, artifacts: Artifacts, checkouts: Checkouts
) -> None:
    pins: list[tuple[Pinned, str]] = []
    for number in range(5):
        (repository / "crlf.txt").write_text(f"version {number}")
        git(repository, "commit", "--quiet", "--all", f"--message={number}")
        pins.append((await pin(str(repository), None, artifacts), await content(repository)))
    await asyncio.gather(
        *(
            checkouts.fresh(pinned.oid, pinned.digest, tmp_path / f"{number}-{copy}")
            for number, (pinned, _) in enumerate(pins)
            for copy in range(3)
        )
    )
    for number, (_, expected) in enumerate(pins):
        for copy in range(3):
            assert await digest_tree(tmp_path / f"{number}-{copy}") == expected


async def test_processes_at_the_same_time(tmp_path: Path, repository: Path, artifacts: Artifacts) -> None:
    pinned = await pin(str(repository), None, artifacts)
    expected = await content(repository)
    processes = [await child(tmp_path, pinned, f"into{number}") for number in range(4)]
    assert [await process.wait() for process in processes] == [0, 0, 0, 0]
    for number in range(4):
        assert await digest_tree(tmp_path / f"into{number}") == expected
    assert len(list((tmp_path / "checkouts" / "sha1.git" / "objects" / "pack").glob("*.pack"))) == 1


@pytest.mark.parametrize("verb", ["index-pack", "read-tree", "init"])
async def test_a_worker_killed_at_any_step(
    tmp_path: Path, repository: Path, artifacts: Artifacts, checkouts: Checkouts, verb: str
) -> None:
    """A git that reports when it starts `verb`, with half of the work on disk, and then hangs."""
    pinned = await pin(str(repository), None, artifacts)
    (tmp_path / "bin").mkdir()
    slow = tmp_path / "bin" / "git"
    real = shutil.which("git")
    left = tmp_path / "checkouts" / "sha1.git"
    slow.write_text(
        f"#!/bin/sh\ncase \" $* \" in *' {verb} '*)\n"
        f"  mkdir -p {left}/objects/pack; echo torn > {left}/objects/pack/tmp_pack_x; echo > {left}/config.lock\n"
        f"  echo $$ > {tmp_path}/started.new; mv {tmp_path}/started.new {tmp_path}/started; exec sleep 1000;;\n"
        f'esac\nexec {real} "$@"\n'
    )
    slow.chmod(0o755)
    process = await child(tmp_path, pinned, "killed", str(slow.parent))
    await until((tmp_path / "started").exists)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    os.kill(int((tmp_path / "started").read_text()), signal.SIGKILL)
    await checkouts.fresh(pinned.oid, pinned.digest, tmp_path / "into")
    assert await digest_tree(tmp_path / "into") == await content(repository)


async def test_a_cancelled_checkout_leaves_nothing_and_no_process(
    tmp_path: Path, repository: Path, artifacts: Artifacts, checkouts: Checkouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = await pin(str(repository), None, artifacts)
    (tmp_path / "bin").mkdir()
    slow = tmp_path / "bin" / "git"
    real = shutil.which("git")
    slow.write_text(
        "#!/bin/sh\ncase \" $* \" in *' read-tree '*)\n"
        f"  echo half > {tmp_path}/into/half; sleep 1000 & echo $! > {tmp_path}/pid.new\n"
        f'  mv {tmp_path}/pid.new {tmp_path}/pid; wait;;\nesac\nexec {real} "$@"\n'
    )
    slow.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
        task = asyncio.create_task(checkouts.fresh(pinned.oid, pinned.digest, tmp_path / "into"))
        await until((tmp_path / "pid").exists)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert list((tmp_path / "into").iterdir()) == []
    assert list((tmp_path / "checkouts").glob("index-*")) == []
    await until(lambda: dead(int((tmp_path / "pid").read_text())))
    await checkouts.fresh(pinned.oid, pinned.digest, tmp_path / "into")


async def test_a_damaged_pack_is_fetched_again(
    tmp_path: Path, repository: Path, artifacts: Artifacts, checkouts: Checkouts
) -> None:
    pinned = await pin(str(repository), None, artifacts)
    await checkouts.fresh(pinned.oid, pinned.digest, tmp_path / "one")
    [pack] = (tmp_path / "checkouts" / "sha1.git" / "objects" / "pack").glob("*.pack")
    pack.chmod(0o644)
    for damage in (lambda: pack.write_bytes(b"PACK torn"), pack.unlink):
        damage()
        into = tmp_path / f"after {damage.__name__}"
        await checkouts.fresh(pinned.oid, pinned.digest, into)
        assert await digest_tree(into) == await content(repository)
