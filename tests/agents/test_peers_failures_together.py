"""What peers fail at, and we must not: several at once (product.md's last section: 10)."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from tests.agents.cast import DONE, Heard, call, runs, writes
from tests.agents.world import FILES, opened, todo
from tests.integration.git_repositories import plain
from tests.services.model_wires import Part

# --- 10. "Parallel TODOs that write the same files; worktrees that leak through a process-wide working directory." ----


async def test_parallel_todos_that_write_the_same_files(tmp_path: Path) -> None:
    """10: parallel TODOs that write the same files: those whose `touches` may meet take turns."""
    patterns = {"a": ["src/**"], "b": ["src/x.txt"], "c": ["src/x*"], "far": ["docs/**"]}
    todos = [
        todo(id=key, title=key, touches=touches, verify=[{"run": f"grep -q {key} */*.txt"}])
        for key, touches in patterns.items()
    ]

    def adds(heard: Heard) -> Part | list[Part]:
        key = heard.first.partition("# Do this: ")[2].partition("\n")[0]
        path = "docs/y.txt" if key == "far" else "src/x.txt"
        return DONE if heard.replies else runs(f"mkdir -p docs; sleep 0.2; echo {key} >> {path}")

    files = {**FILES, "src/x.txt": "begin\n"}
    async with opened(tmp_path, files=files, cast={"hephaestus": adds}) as world:
        assert await world.play(*todos) == "completed", await world.told()
        ids = {(await world.todo(key)).id: key for key in patterns}
        spans = {
            ids[each.todo_id]: (each.started_at, each.ended_at)
            for each in await world.attempts()
            if each.todo_id in ids
        }
        near = sorted(spans[key] for key in "abc")
        for before, after in itertools.pairwise(near):
            assert before[1] is not None
            assert before[1] <= after[0], spans
        assert spans["far"][0] < max(start for start, _ in near), "what is apart is done at the same time"
        lines = (await world.file("src/x.txt") or "").split()
        assert sorted(lines) == ["a", "b", "begin", "c"]


def _together(path: Path, key: str, step: int) -> str:
    """A command of one of two that goes on when the other one is at this step, too."""
    both = f"[ -e {path}/a.{step} -a -e {path}/b.{step} ]"
    return f"touch {path}/{key}.{step}; n=0; while [ $n -lt 1500 ] && ! {both}; do sleep 0.02; n=$((n+1)); done; {both}"


async def test_worktrees_that_leak_through_a_process_wide_working_directory(tmp_path: Path) -> None:
    """10: worktrees that leak through a process-wide working directory. Two roles at the same moment, in one process,
    with the same relative paths, in commands and in tools: each sees its own files and none of the other's."""
    here = os.getcwd()  # noqa: PTH109  as it is to a process

    def work(heard: Heard) -> list[Part]:
        key = heard.first.partition("# Do this: Write ")[2][0]
        meets = runs(_together(tmp_path, key, heard.replies))
        steps: list[list[Part]] = [
            [meets, writes(f"{key}.txt", f"{key}\n"), runs(f"mkdir tmp; echo {key} > tmp/who")],
            [meets, call("workspace_read", path="tmp/who"), call("workspace_list"), runs("pwd; cat tmp/who; ls *.txt")],
            [meets, DONE],
        ]
        return steps[heard.replies]

    todos = [todo(id=k, title=f"Write {k}", touches=[f"{k}.txt"], verify=[{"file": f"{k}.txt"}]) for k in "ab"]
    async with opened(tmp_path, files={**FILES, ".gitignore": "tmp/\n"}, cast={"hephaestus": work}) as world:
        assert await world.play(*todos) == "completed", await world.told()
        places: set[str] = set()
        for heard in (each for each in world.stage.by("hephaestus") if each.replies == 2):
            key = heard.first.partition("# Do this: Write ")[2][0]
            other = "b" if key == "a" else "a"
            _, read, listed, ran = heard.turns[-1].results
            lines = ran.splitlines()
            assert f"{key}\n" in read
            assert key in lines
            assert other not in lines
            assert f"{key}.txt" in listed
            assert f"{other}.txt" not in listed + ran
            places.update(line for line in lines if line.startswith(str(tmp_path)))
        assert len(places) == 2
        assert not [place for place in places if os.path.exists(place)], "nor is one left behind"  # noqa: ASYNC240, PTH110
        assert (await world.file("a.txt"), await world.file("b.txt")) == ("a\n", "b\n")
        assert plain(world.repository, "status", "--porcelain") == ""
        assert plain(world.repository, "worktree", "list").count("\n") == 1
    assert os.getcwd() == here  # noqa: PTH109
    assert not {"tmp", "a.txt", "b.txt"} & set(os.listdir(here))  # noqa: PTH208
