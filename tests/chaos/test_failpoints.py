"""The process dies at every place where that would hurt, then `atlas resume`: all is completed, outputs are right."""

from __future__ import annotations

import signal

import pytest

from mcp_servers.storage.files import PARTIAL
from state.failpoints import LABELS
from tests.acceptance.command_line import Atlas
from tests.acceptance.effects import Effects
from tests.acceptance.invariants import assert_no_rows
from tests.chaos.recovery import Wreck, assert_recovered

_QUICK = ("store.after_commit@4", "worker.before_settle@2", "outputs.half_published@2", "submit.after_commit@1")
_ALL = [
    f"{label}@{hit}"
    for label in LABELS
    for hit in (1, 3)
    if not label.startswith(
        ("sweeper.", "agent.", "snapshot.", "leftovers.", "intake.", "broker.", "relay.", "waking.", "liveness.")
    )
    and (hit == 1 or not label.startswith("submit."))
]


def plan_with_outputs(effects: Effects) -> str:
    """Two TODOs leave a file and a directory, others read them and check what they read."""
    make = "mkdir -p many; echo one >one.txt; for n in 1 2 3; do echo $n >many/$n.txt; done"
    todos = [
        effects.todo(
            f"make-{name}", [], then=make,
            outputs={"one.txt": f"file://published/{name}/", "many/": f"file://published/{name}/many/"},
        )
        for name in "ab"
    ] + [
        effects.todo(
            f"read-{name}", [f"make-{name}"], then="grep -q one in/one.txt && test $(cat in/many/*.txt | wc -l) = 3",
            inputs={
                f"file://published/{name}/one.txt": "in/one.txt", f"file://published/{name}/many/": "in/many/",
            },
            verify=[{"run": "grep -q one in/one.txt"}],
        )
        for name in "ab"
    ]  # fmt: skip
    todos.append(effects.todo("end", ["read-a", "read-b"], verify=[{"run": "true"}]))
    return effects.atlas.plan(todos)


def assert_published(atlas: Atlas) -> None:
    """Everything that the manifest lists is where people look. A copy that was broken off may lie beside it, under a
    name that no listing shows."""
    root = atlas.work / "published"
    files = {
        str(path.relative_to(root)): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".atlas" not in path.parts and not path.name.startswith(PARTIAL)
    }
    one = {f"{name}/one.txt": "one\n" for name in "ab"}
    many = {f"{name}/many/{n}.txt": f"{n}\n" for name in "ab" for n in (1, 2, 3)}
    assert files == one | many
    assert atlas.sql("SELECT count(*) AS n FROM artifact WHERE published_at IS NULL") == [{"n": 0}]
    assert atlas.sql("SELECT count(*) AS n FROM artifact") == [{"n": 4}]


def die_and_resume(atlas: Atlas, effects: Effects, failpoint: str) -> None:
    """One trial."""
    label, _, hit = failpoint.partition("@")
    ended = atlas("run", plan_with_outputs(effects), ATLAS_FAILPOINTS=f"{label}=kill@{hit}")
    assert ended.code == -signal.SIGKILL, f"never came to {failpoint}: {ended}"
    if not atlas.states():
        assert label in ("submit.before_commit", "store.before_commit")
        assert_no_rows(atlas)
        return
    wreck = Wreck.of(effects)
    atlas("resume", "last", code=0)
    assert_recovered(effects, wreck)
    assert_published(atlas)


@pytest.mark.parametrize("failpoint", _QUICK)
def test_dies_where_it_hurts(atlas: Atlas, effects: Effects, failpoint: str) -> None:
    die_and_resume(atlas, effects, failpoint)


@pytest.mark.chaos
@pytest.mark.parametrize("failpoint", _ALL)
def test_dies_at_every_failpoint(atlas: Atlas, effects: Effects, failpoint: str) -> None:
    die_and_resume(atlas, effects, failpoint)


def test_dies_before_the_run_is_submitted(atlas: Atlas, effects: Effects) -> None:
    ended = atlas("run", plan_with_outputs(effects), ATLAS_FAILPOINTS="submit.before_commit=kill")
    assert ended.code == -signal.SIGKILL
    assert_no_rows(atlas)
    assert not effects.lines()


@pytest.mark.chaos
@pytest.mark.parametrize("label", ["sweeper.released", "store.before_commit", "store.after_commit", "worker.claimed"])
def test_dies_again_while_it_resumes(atlas: Atlas, effects: Effects, label: str) -> None:
    killed = atlas("run", plan_with_outputs(effects), ATLAS_FAILPOINTS="task.command_ended=kill@2")
    assert killed.code == -signal.SIGKILL
    wreck = Wreck.of(effects)
    again = atlas("resume", "last", ATLAS_FAILPOINTS=f"{label}=kill@1")
    assert again.code == -signal.SIGKILL
    assert effects.starts() == wreck.starts
    atlas("resume", "last", code=0)
    assert_recovered(effects, wreck)
    assert_published(atlas)
