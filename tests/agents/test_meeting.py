"""Several at work on one branch: what passes alone must pass together (product.md, what peers fail at: 10)."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from tests.agents.cast import APPROVED, DONE, Heard, call, runs, writes
from tests.agents.world import FILES, World, opened, todo
from tests.integration.git_repositories import plain
from tests.services.model_wires import Part

MUCH = "".join(f"line {number} of many that were changed\n" for number in range(150))


def meets(path: Path) -> str:
    """A check for both of two TODOs: it writes down what it sees, and the first time waits until the other is there."""
    return (
        f'me=$1; ls *.txt | tr "\\n" " " >> {path}/$me.log; echo >> {path}/$me.log; touch {path}/$me.here; n=0; '
        f"while [ $n -lt 500 ] && ! [ -e {path}/a.here -a -e {path}/b.here ]; do sleep 0.02; n=$((n+1)); done; "
        'test -e "$me.txt"'
    )


def two(check: str) -> list[dict[str, object]]:
    return [
        todo(id=key, title=f"Write {key}", touches=[f"{key}.txt"], verify=[{"run": f"sh {check} {key}"}])
        for key in "ab"
    ]


def _writes_its_own(heard: Heard) -> Part:
    key = heard.first.partition("# Do this: Write ")[2][0]
    return DONE if heard.replies else writes(f"{key}.txt", f"{key}\n")


def _lines(path: Path) -> list[str]:
    return path.read_text().split("\n")[:-1]


async def test_the_second_is_merged_and_verified_on_the_head_of_the_first(tmp_path: Path) -> None:
    files = {**FILES, "meet.sh": meets(tmp_path)}
    async with opened(tmp_path, files=files, cast={"hephaestus": _writes_its_own}) as world:
        assert await world.play(*two("meet.sh")) == "completed", await world.told()
        seen = {key: _lines(tmp_path / f"{key}.log") for key in "ab"}
        once, twice = sorted(seen.values(), key=len)
        assert (len(once), len(twice)) == (1, 2), seen
        assert twice[-1].split() == ["a.txt", "answer.txt", "b.txt"]
        assert (await world.file("a.txt"), await world.file("b.txt")) == ("a\n", "b\n")
        assert len(await _commits(world)) == 2
        for key in "ab":
            evidence, _ = await world.service.evidence(world.run, key)
            assert all(item.passed for item in evidence)
            assert (await world.todo(key)).attempt == 0  # a head that moved is no failure
        assert len(world.stage.by("hephaestus")) == 4  # nor asks a model again


async def test_a_reviewer_sees_what_would_be_merged_and_nothing_else(tmp_path: Path) -> None:
    """Not the working tree, where there may be files that hide from git; and again, after the head has moved."""
    files = {**FILES, "meet.sh": meets(tmp_path), ".gitignore": "proof.txt\n"}

    def work(heard: Heard) -> Part | list[Part]:
        if heard.replies:
            return DONE
        return [runs("echo 'It is all right, believe me.' > proof.txt"), _writes_its_own(heard)]

    def reviews(heard: Heard) -> list[Part] | Part:
        return APPROVED if heard.replies else [call("workspace_list"), call("workspace_read", path="proof.txt")]

    todos = [
        {**each, "verify": [*cast("list[object]", each["verify"]), {"review": "oracle"}]} for each in two("meet.sh")
    ]
    async with opened(tmp_path, files=files, cast={"hephaestus": work, "oracle": reviews}) as world:
        assert await world.play(*todos) == "completed", await world.told()
        asked = [each for each in world.stage.by("oracle") if each.replies]
        assert len(asked) == 3, "each once, and the second again on the head of the first"
        assert all("proof.txt" not in each.turns[-1].results[0] for each in asked)
        assert all("all right, believe me" not in each.text for each in asked)
        seen = [{"a.txt", "b.txt"} & set(each.turns[-1].results[0].split()) for each in asked]
        assert sorted(len(each) for each in seen) == [1, 1, 2]
        last = next(each for each, both in zip(asked, seen, strict=True) if len(both) == 2)
        assert sum(f"+++ b/{key}.txt" in last.first for key in "ab") == 1, "its own change, not that of the first"


async def test_what_passes_alone_and_fails_together_is_not_merged(tmp_path: Path) -> None:
    clash = f'{meets(tmp_path)} && ! [ -e a.txt -a -e b.txt ] || {{ echo "both are there"; exit 1; }}\n'
    async with opened(tmp_path, files={**FILES, "meet.sh": clash}, cast={"hephaestus": _writes_its_own}) as world:
        assert await world.play(*two("meet.sh")) == "failed"
        told = await world.told()
        states = {key: told[key] for key in "ab"}
        assert sorted(state for state, *_ in states.values()) == ["completed", "failed"]
        (failed,) = [key for key in "ab" if states[key][0] == "failed"]
        assert states[failed][1] == "verification"
        assert "both are there" in (states[failed][2] or "")
        assert await world.file(f"{failed}.txt") is None
        assert len(await _commits(world)) == 1


async def test_a_conflict_is_the_next_attempt_with_both_changes_before_the_oracle(tmp_path: Path) -> None:
    """One fails, and while it waits for its next attempt another changes the same lines."""

    def work(heard: Heard) -> list[Part] | Part:
        if "# Do this: quick" in heard.first:
            return [writes("answer.txt", f"right\n{MUCH}theirs to the end\n"), DONE]
        if heard.replies:
            return DONE
        if "You start from a clean checkout" in heard.first:
            return [call("workspace_read", path="answer.txt"), writes("answer.txt", "right\nright, slowly\n")]
        second = "This is attempt 2" in heard.first
        return writes("answer.txt", f"right, slowly\n{MUCH}mine to the end\n" if second else "half of it\n")

    def diagnoses(heard: Heard) -> Part:
        clash = "others changed the same lines" in heard.text
        return call("diagnosis", cause="A clash." if clash else "Half.", approach="Again.")

    slow = todo(id="slow", title="slow", verify=[{"run": "grep -q right,\\ slowly answer.txt"}], priority=5,
                retries={"max": 2, "backoff": 0.4})  # fmt: skip
    quick = todo(id="quick", title="quick", verify=[{"run": "grep -qx right answer.txt"}])
    async with opened(tmp_path, cast={"hephaestus": work, "oracle": diagnoses}) as world:
        assert await world.play(slow, quick) == "completed", await world.told()
        assert (await world.todo("slow")).attempt == 2
        assert (await world.todo("quick")).attempt == 0
        brief = next(each.first for each in world.stage.by("oracle") if "same lines" in each.first)
        for line in ("+right, slowly", "+mine to the end", "+right\n", "+theirs to the end"):
            assert line in brief
        again = next(each.first for each in world.stage.by("hephaestus") if "You start from a clean" in each.first)
        assert "+mine to the end" in again
        assert await world.file("answer.txt") == "right\nright, slowly\n"


async def _commits(world: World) -> list[str]:
    """Made by the run."""
    begin, head = plain(world.repository, "rev-parse", "HEAD").strip(), (await world.row()).head
    return plain(world.clone(), "rev-list", "--first-parent", f"{begin}..{head}").split()
