"""Directories of commands are removed whatever was done to them, and nothing besides is touched."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from mcp_servers.storage.clearing import discard

NOBODY = 65534


@pytest.fixture
def place() -> Generator[Path]:
    """Whoever does not run as root may work here."""
    path = Path(tempfile.mkdtemp(prefix="atlas-test-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


def as_nobody(work: Callable[[], None]) -> None:
    """Permissions are nothing to root: in a process of another user. Whoever is not root is that already."""
    if os.geteuid():
        work()
        return
    child = os.fork()
    if not child:
        try:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("mode", [0o000, 0o500, 0o300, 0o100])
def test_what_a_command_closed_goes(place: Path, mode: int) -> None:
    top = place / "top"

    def work() -> None:
        deep = top / "a" / "b" / "c"
        deep.mkdir(parents=True)
        for path in (deep, deep.parent, deep.parent.parent, top):
            (path / "file").write_text("x")
            path.chmod(mode)
        discard(top)
        assert not top.exists()

    as_nobody(work)
    assert not top.exists()


def test_the_deepest_tree_goes(place: Path) -> None:
    """Deeper than Python's stack and than what a path may be long."""
    top = place / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(5_000):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    discard(top)
    assert not top.exists()


def test_what_it_is_in_stays_as_it_is(place: Path) -> None:
    """Also when it is not there: no place of all is closed to others."""
    place.chmod(0o1777)
    discard(place / "never")
    (place / "there").mkdir()
    discard(place / "there")
    assert place.stat().st_mode & 0o7777 == 0o1777
    assert not (place / "there").exists()


def test_what_its_links_lead_to_stays_as_it_is(place: Path) -> None:
    (elsewhere := place / "elsewhere").mkdir()
    (elsewhere / "kept").write_text("x")
    elsewhere.chmod(0o555)

    def work() -> None:
        (top := place / "top").mkdir()
        (top / "link").symlink_to(elsewhere)
        (top / "file").symlink_to(elsewhere / "kept")
        top.chmod(0o500)
        discard(top)

    as_nobody(work)
    assert not (place / "top").exists()
    assert (elsewhere / "kept").read_text() == "x"
    assert elsewhere.stat().st_mode & 0o777 == 0o555
    elsewhere.chmod(0o755)


def test_what_can_not_be_removed_stays_and_nothing_is_raised(place: Path) -> None:
    (top := place / "top").mkdir()
    (top / "file").write_text("x")
    place.chmod(0o755)  # and nobody's is neither

    as_nobody(lambda: discard(top))
    assert os.geteuid() or top.exists()
