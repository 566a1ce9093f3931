"""Directories that belong to one process, on this host or another."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from orchestrator.cli.belongings import abandoned, kept, marked, own_scratch


def _lockable(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_it_is_kept_by_a_file_which_other_hosts_see_locked_and_for_who_tidies_up_here(tmp_path: Path) -> None:
    with kept(tmp_path):
        assert not _lockable(tmp_path / ".lock")
        assert not _lockable(tmp_path)
        assert not abandoned(tmp_path)
    assert abandoned(tmp_path)


@pytest.mark.parametrize("which", [".lock", "."])
def test_one_lock_is_enough(tmp_path: Path, which: str) -> None:
    """A lock on a directory of a network file system is not seen from elsewhere; workers before this one had only
    that."""
    if which != ".":
        (tmp_path / which).touch()
    descriptor = os.open(tmp_path / which, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    assert not abandoned(tmp_path)
    os.close(descriptor)
    assert abandoned(tmp_path)


def test_what_is_not_there_is_nobodys_to_remove(tmp_path: Path) -> None:
    assert not abandoned(tmp_path / "gone")


def test_nothing_stays_after_a_clean_end(tmp_path: Path) -> None:
    with marked(tmp_path / "one"), own_scratch(tmp_path) as scratch:
        (scratch / "a").mkdir()
        assert (tmp_path / "one").is_dir()
    assert not [*tmp_path.iterdir()]


def test_a_lock_that_can_not_be_made_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to("/nowhere")  # as a full disk would
    with kept(tmp_path):
        assert not abandoned(tmp_path)
