"""The process dies between a role's last word and the end of its TODO: what is delivered is there once, and proved."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.agents.cast import DONE, Answering, Heard, acts, writes
from tests.agents.people import a_person
from tests.agents.world import todo
from tests.integration.git_repositories import plain


@pytest.mark.parametrize("label", ["agent.merged", "agent.verified", "agent.published", "worker.before_settle"])
@pytest.mark.parametrize("hit", [1, 2])
def test_dies_while_it_delivers(tmp_path: Path, label: str, hit: int) -> None:
    """Of two TODOs, the first or the second."""
    work = acts(writes(), DONE)
    others = acts(writes("other.txt", "other\n"), DONE)

    def hephaestus(heard: Heard) -> Answering:
        return others(heard) if "Write the other" in heard.first else work(heard)

    other = todo(
        id="other", title="Write the other", touches=["other.txt"], needs=["fix"], verify=[{"run": "cat other.txt"}]
    )
    with a_person(tmp_path, cast={"hephaestus": hephaestus}) as person:
        ended = person.atlas("run", person.plan(todo(), other), ATLAS_FAILPOINTS=f"{label}=kill@{hit}")
        assert ended.code == -signal.SIGKILL, ended
        asked = len(person.stage.by("hephaestus"))
        person.atlas("resume", "last", code=0)
        begun = 0 if hit == 2 else 2
        assert len(person.stage.by("hephaestus")) == asked + begun, "who was done was not asked again"
        person.atlas("push", "last", ".", code=0)
        (branch,) = [
            line.strip() for line in plain(person.repository, "branch", "--list", "atlas/*").splitlines() if line
        ]
        assert plain(person.repository, "show", f"{branch}:answer.txt") == "right\n"
        assert plain(person.repository, "show", f"{branch}:other.txt") == "other\n"
        assert plain(person.repository, "rev-list", "--count", f"main..{branch}").strip() == "2"
        rows = person.atlas("evidence", "last", "--json", code=0).rows
        assert all(row["passed"] for row in rows if "passed" in row)
