"""Where a command works."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.executors.workplace import Workplace
from orchestrator.plan.spec import OutputSpec, TaskSpec


def with_output(scratch: Path, internal: str) -> Workplace:
    output = OutputSpec(internal, "file:///remote/x", tree=False)
    return Workplace(scratch, TaskSpec(("true",), outputs=(output,)), contained=False)


def test_there_is_a_place_for_each_output(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with_output(tmp_path, "a/b/c.txt").make_room_for_outputs()
    assert (tmp_path / "work" / "a" / "b").is_dir()
    with_output(tmp_path, "a/b/c.txt").make_room_for_outputs()


@pytest.mark.parametrize("way", ["link", "file", "nowhere"])
def test_no_link_of_a_repository_leads_a_worker_elsewhere(tmp_path: Path, way: str) -> None:
    """It made directories wherever its checkout said: `out -> /etc`."""
    (work := tmp_path / "work").mkdir()
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (work / "link").symlink_to(elsewhere)
    (work / "nowhere").symlink_to(tmp_path / "nowhere")
    (work / "file").touch()
    with_output(tmp_path, f"{way}/made/c.txt").make_room_for_outputs()
    assert not [*elsewhere.iterdir()]
    assert not (tmp_path / "nowhere").exists()
    assert sorted(path.name for path in work.iterdir()) == ["file", "link", "nowhere"]
