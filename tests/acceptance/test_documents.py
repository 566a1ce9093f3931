"""Plans through the command line: hostile ones refused without a row, good ones from anywhere, with odd contents."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.command_line import Atlas, Ended
from tests.acceptance.invariants import assert_no_rows, assert_sound
from tests.unit.hostile_plans.cases import CASES, Case
from tests.unit.test_plan_hostile import bomb

_TODO = "atlas: 1\nsandbox: host\ntodos: [{id: a, run: echo hi"
_MADE: dict[str, bytes] = {
    "ten-megabytes": b"atlas: 1\ngoal: |\n" + b"  padding padding padding padding\n" * 300_000,
    "alias-bomb": bomb(9).encode(),
    "deep": b"a: " + b"[" * 100_000,
    "deep-json": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "nul-bytes": b"atlas: 1\ngoal: a\0b\n",
    "utf-16": "atlas: 1\ngoal: x\n".encode("utf-16"),
    "broken-utf-8": b"atlas: 1\ngoal: caf\xe9\n",
    "escape-output": (_TODO + ", outputs: {../../etc/x: 'file://out/'}}]").encode(),
    "escape-input": (_TODO + ", inputs: {'file://in.txt': ../x}}]").encode(),
    "escape-remote": (_TODO + ", outputs: {x: 'file://../../../../etc/'}}]").encode(),
    "absolute-on-host": (_TODO + ", outputs: {/etc/x: 'file://out/'}}]").encode(),
    "role-not-yet": b"atlas: 1\ntodos: [{id: a, role: hephaestus, prompt: x, touches: ['**'], verify: [{run: x}]}]",
    "goal-not-yet": b"atlas: 1\ngoal: Make it so\n",
    "repo-missing": (_TODO + "}]\nrepo: /nowhere/at/all\n").encode(),
    "unknown-base": (_TODO + "}]\nrepo: .\nbase: no-such-branch\n").encode(),
}
_CHOSEN = [case for place, case in enumerate(CASES) if place % 5 == 0]


def refused(atlas: Atlas, plan: bytes) -> Ended:
    """`atlas run` of it ends with 2 and one error."""
    path = atlas.work / "plan.yaml"
    path.write_bytes(plan)
    ended = atlas("run", str(path), code=2)
    assert ended.out == "", ended
    assert ended.err.startswith(("atlas: ", f"{path}:")), ended
    assert sum(line.startswith("atlas: ") for line in ended.err.splitlines()) <= 1
    assert "\x1b" not in ended.err
    return ended


@pytest.mark.parametrize("name", _MADE)
def test_hostile_plan_is_refused_without_a_row(atlas: Atlas, name: str) -> None:
    ended = refused(atlas, _MADE[name])
    assert len(ended.err.splitlines()) <= 4, ended
    assert_no_rows(atlas)


def test_thirty_more_are_refused_without_a_row(atlas: Atlas) -> None:
    assert len(_CHOSEN) >= 30
    for case in _CHOSEN[::3]:
        ended = refused(atlas, case.document.encode("utf-8", "surrogatepass"))
        if "surrogate" not in case.name:
            assert all(line.split(": ", 1)[1] in ended.err for line in case.lines), (case.name, ended)
    assert_no_rows(atlas)


@pytest.mark.chaos
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_every_hostile_plan_is_refused_without_a_row(atlas: Atlas, case: Case) -> None:
    refused(atlas, case.document.encode("utf-8", "surrogatepass"))
    assert_no_rows(atlas)


def test_unicode_everywhere(atlas: Atlas) -> None:
    odd = "naïve 名前 🚀 \u202ertl 'quote\" $HOME `x` \\ & <b>"
    todos = [
        {
            "id": "a", "title": odd, "run": ["sh", "-c", 'printf "%s\\n" "$1" "$ODD"; cp in/* out.txt', "sh", odd],
            "env": {"ODD": odd}, "inputs": {"file://eingabe/größe 名.txt": "in/größe 名.txt"},
            "outputs": {"out.txt": "file://ausgabe/größe 名.txt"},
            "verify": [{"run": f"grep -q {'ü'} out.txt  # {'名'}"}],
        },
        {"id": "b", "ask": odd, "choices": [odd, "nein ✗"], "needs": ["a"]},
    ]  # fmt: skip
    (atlas.work / "eingabe").mkdir()
    (atlas.work / "eingabe" / "größe 名.txt").write_text("für alle\n")
    plan = atlas.plan(todos, name="plän 🚀", goal=odd)
    ended = atlas("run", plan, code=3, PYTHONIOENCODING="latin-1")
    assert "\\U0001f680" in ended.out
    assert (atlas.work / "ausgabe" / "größe 名.txt").read_text() == "für alle\n"
    assert atlas("logs", "plän 🚀", "a", code=0).out == f"{odd}\n{odd}\n"
    atlas("answer", "b", odd, code=0)
    [row] = atlas.sql("SELECT answer FROM question")
    assert row == {"answer": odd}
    assert atlas("resume", "plän 🚀", "--json", code=0).rows[-1]["goal"] == odd
    assert_sound(atlas)


def test_plan_from_stdin_and_from_elsewhere(atlas: Atlas) -> None:
    (atlas.work / "in.txt").write_text("here\n")
    elsewhere = atlas.directory / "elsewhere"
    elsewhere.mkdir()
    todo = {
        "id": "a", "run": "cat in.txt >out.txt; pwd >where.txt", "inputs": {"file://in.txt": "in.txt"},
        "outputs": {"out.txt": "file://out/", "where.txt": "file://out/"},
    }  # fmt: skip
    plan = Path(atlas.plan([todo]))
    atlas("run", f"../{plan.parent.name}/{plan.name}", cwd=elsewhere, code=0)
    assert (atlas.work / "out" / "out.txt").read_text() == "here\n"
    assert str(atlas.home) in (atlas.work / "out" / "where.txt").read_text()
    assert not list(elsewhere.iterdir())
    assert "file://in.txt" in atlas("run", "-", cwd=elsewhere, stdin=plan.read_bytes(), code=2).err
    absolute = plan.read_bytes().replace(b"file://", f"file://{atlas.work}/".encode())
    atlas("run", "-", cwd=elsewhere, stdin=absolute, code=0)


def test_repository_is_seen_as_committed(atlas: Atlas) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(atlas.work), *identity, *arguments]
        subprocess.run(
            command, check=True, capture_output=True, env=dict(os.environ) | {"GIT_CONFIG_GLOBAL": "/dev/null"}
        )

    git("init", "--quiet", "--initial-branch", "main")
    (atlas.work / "file.txt").write_text("committed\n")
    plan = atlas.plan([{"id": "a", "run": "cat file.txt; ls"}, {"id": "b", "run": "rm file.txt"}], repo=".")
    git("add", "file.txt")
    git("commit", "--quiet", "-m", "x")
    (atlas.work / "file.txt").write_text("changed\n")
    ended = atlas("run", plan, code=0)
    assert "uncommitted change" in ended.err
    assert atlas("logs", "last", "a", code=0).out == "committed\nfile.txt\n"
    assert (atlas.work / "file.txt").read_text() == "changed\n"
    assert not list((atlas.home / "scratch").iterdir())
    assert_sound(atlas)
