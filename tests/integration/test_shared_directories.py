"""Outputs in a directory of many: whoever came first is in nobody's way."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from mcp_servers.storage.outputs import Declared, publish, stage
from mcp_servers.storage.stores import ObjectStores
from state.records import new_id
from tests.unit.test_removing import NOBODY


@pytest.fixture
def shared() -> Generator[Path]:
    """As `/tmp` is."""
    path = Path(tempfile.mkdtemp(prefix="atlas-test-"))
    path.chmod(0o1777)
    yield path
    shutil.rmtree(path)


async def _publish(shared: Path, name: str) -> None:
    source = Path(tempfile.mkdtemp(prefix="atlas-test-"))
    try:
        (source / "result").write_text(name)
        stores = ObjectStores(scratch=source)
        remote = f"file://{shared}/{name}"
        [output] = await stage([Declared("result", source, "result", remote)], new_id(), 1, stores)
        await publish(output, stores)
        await stores.close()
    finally:
        shutil.rmtree(source)


@contextmanager
def another_user() -> Generator[None]:
    """All threads of this process are, meanwhile."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.parametrize("first", ["root", "another"])
async def test_two_users_publish_in_one_directory(shared: Path, first: str) -> None:
    if os.geteuid():
        pytest.skip("it takes two users")
    for who in ("root", "another") if first == "root" else ("another", "root"):
        with nullcontext() if who == "root" else another_user():
            await _publish(shared, who)
    assert (shared / "root").read_text() == "root"
    assert (shared / "another").read_text() == "another"
    assert (shared / "another").stat().st_uid == NOBODY
    assert (shared / ".atlas").stat().st_mode & 0o1002 == 0o1002, "nobody may remove what others staged"


async def test_in_a_directory_of_ones_own_nobody_else_is_let_in(tmp_path: Path) -> None:
    await _publish(tmp_path, "one")
    assert (tmp_path / ".atlas").stat().st_mode & 0o022 == 0
