"""``push:``, the only way out of a run: what a person's plan names gets the run's branch, once it is proved, and nobody
else gets anything."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agents.people import Person, a_person
from tests.agents.world import todo
from tests.integration.git_repositories import plain

SEND = {"id": "send", "push": "origin", "needs": ["fix"]}


@contextmanager
def with_origin(path: Path) -> Generator[tuple[Person, Path]]:
    """A person whose repository has a remote of that name."""
    with a_person(path) as person:
        origin = path / "origin.git"
        plain(path, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
        plain(person.repository, "remote", "add", "origin", str(origin))
        plain(person.repository, "push", "--quiet", "origin", "main")
        yield person, origin


def branches(repository: Path) -> list[str]:
    return plain(repository, "for-each-ref", "--format=%(refname:short)").split()


def test_the_branch_is_sent_when_it_is_proved(tmp_path: Path) -> None:
    with with_origin(tmp_path) as (person, origin):
        before = branches(person.repository)
        person.atlas("run", person.plan(todo(), SEND), code=0)
        [branch] = [name for name in branches(origin) if name != "main"]
        assert branch.startswith("atlas/plan-")
        assert plain(origin, "show", f"{branch}:answer.txt") == "right\n"
        assert plain(origin, "rev-list", "--count", f"main..{branch}").strip() == "1"
        assert branches(person.repository) == before, "the person's own repository is as it was"
        [said] = [
            row for row in person.atlas("evidence", "last", "--json", code=0).rows if "push" in row.get("item", {})
        ]
        assert said["passed"]
        assert plain(origin, "rev-parse", branch).strip() in said["output_tail"]


def test_what_was_not_proved_is_not_sent(tmp_path: Path) -> None:
    with with_origin(tmp_path) as (person, origin):
        ended = person.atlas("run", person.plan(todo(verify=[{"run": "false"}]), SEND))
        assert ended.code != 0
        assert branches(origin) == ["main"]


def test_nothing_there_is_overwritten(tmp_path: Path) -> None:
    """A branch of that name that went another way is a failure that says so."""
    with with_origin(tmp_path) as (person, origin):
        other = tmp_path / "other"
        plain(tmp_path, "clone", "--quiet", str(origin), str(other))
        plain(other, "commit", "--quiet", "--allow-empty", "-m", "Another way")
        plain(other, "push", "--quiet", "origin", "HEAD:refs/heads/release")
        there = plain(origin, "rev-parse", "release")
        send = SEND | {"push": {"remote": "origin", "branch": "release"}, "retries": {"max": 0, "backoff": 0.01}}
        assert person.atlas("run", person.plan(todo(), send)).code != 0
        [row] = person.atlas.sql("SELECT state, reason, detail FROM todo WHERE key = 'send'")
        assert (row["state"], row["reason"]) == ("failed", "push")
        assert "the push to origin was refused" in row["detail"]
        assert plain(origin, "rev-parse", "release") == there


@pytest.mark.parametrize(
    "label", ["worker.before_settle", pytest.param("worker.after_settle", marks=pytest.mark.chaos)]
)
def test_who_dies_with_it_on_its_way_sends_it_once(tmp_path: Path, label: str) -> None:
    with with_origin(tmp_path) as (person, origin):
        ended = person.atlas("run", person.plan(todo(), SEND), ATLAS_FAILPOINTS=f"{label}=kill@2")
        assert ended.code == -signal.SIGKILL, ended
        person.atlas("resume", "last", code=0)
        [branch] = [name for name in branches(origin) if name != "main"]
        assert plain(origin, "rev-list", "--count", f"main..{branch}").strip() == "1"
