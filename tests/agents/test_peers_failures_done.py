"""What peers fail at, and we must not: saying "done" (product.md's last section: 4, 5, 6)."""

from __future__ import annotations

import re
from pathlib import Path

from tests.acceptance.terminal import watched
from tests.agents.cast import DONE, Answering, Heard, acts, call, lists, runs, ticks, writes
from tests.agents.people import Person, a_person
from tests.agents.world import FILES, opened, todo
from tests.services.model_wires import Part, Say

# --- 4. "Two sources of truth (checkboxes and a task map) that disagree." ---------------------------------------------

BOXES = "- [ ] fix\n- [ ] mend\n"
TICKED = "- [x] fix\n- [x] mend\n"


def _told_everywhere(person: Person) -> tuple[dict[str, str], set[tuple[int, int]]]:
    """States of the last run's TODOs, which the database, the list and the log of events agree about; and every count
    of what is settled that is told anywhere."""
    listed = person.atlas("todos", "last", "--json", code=0).rows
    states = {row["key"]: row["state"] for row in listed}
    events = person.atlas("watch", "last", "--json", "--after", "0").rows
    by_events = {row["todo"]: row["data"]["to"] for row in events if row["type"] == "todo.state"}
    assert by_events == {row["id"]: row["state"] for row in listed}
    assert person.atlas.states() == states
    (run,) = person.atlas("runs", "--json", code=0).rows
    last = [row["data"] for row in events if row["type"] == "run.state"][-1]
    shown = person.atlas("watch", "last").out
    counts = {(int(one), int(other)) for one, other in re.findall(r"\b(\d+)/(\d+) settled", shown)}
    return states, counts | {(each["settled"], each["total"]) for each in (run["progress"], last)}


def test_two_sources_of_truth_that_disagree(tmp_path: Path) -> None:
    """4: two sources of truth (checkboxes and a task map) that disagree. One role ticks all that can be ticked, in its
    checklist and in a file, and has done nothing; another one ticks nothing, and has done it. Wherever one looks it
    stands as it was proven, and going on follows that."""

    def work(heard: Heard) -> Answering:
        if "# Do this: fix" in heard.first:
            return [lists("it is right"), ticks(1), writes("TODO.md", TICKED), runs("cat TODO.md"), DONE]
        return DONE if heard.replies else [writes("mended.txt"), writes("LIST.md", BOXES)]

    todos = [
        todo(touches=["answer.txt", "TODO.md"]),
        todo(id="mend", touches=["mended.txt", "LIST.md"], verify=[{"file": "mended.txt"}]),
    ]
    with a_person(tmp_path, cast={"hephaestus": work}, files={**FILES, "TODO.md": BOXES, "LIST.md": BOXES}) as person:
        ended = person.atlas("run", person.plan(*todos), code=1)
        assert re.search(r"^plan \w{8}: failed, 2/2 settled", ended.out, re.MULTILINE), ended
        states, counts = _told_everywhere(person)
        assert states == {"fix": "failed", "mend": "completed", "report": "completed"}
        assert counts == {(2, 2)}
        person.stage.cast["hephaestus"] = acts(writes(), DONE)
        asked = len(person.stage.by("hephaestus"))
        person.atlas("retry", "last", "fix", code=0)
        assert [heard.first.count("# Do this: mend") for heard in person.stage.by("hephaestus")[asked:]] == [0, 0]
        states, counts = _told_everywhere(person)
        assert (set(states.values()), counts) == ({"completed"}, {(2, 2)})


# --- 5. ""Done" with no evidence; a verifier that is only a reminder in a prompt." ------------------------------------


async def test_done_with_no_evidence(tmp_path: Path) -> None:
    """5: "done" with no evidence. A role says so, in all words and with its whole checklist, and has done nothing."""
    says = acts([Say("All tests pass, I have verified it."), lists("it is right"), ticks(1), DONE])
    async with opened(tmp_path, cast={"hephaestus": says}) as world:
        assert await world.play(todo()) == "failed"
        state, reason, detail = (await world.told())["fix"]
        assert (state, reason) == ("failed", "verification")
        assert "the answer is wrong" in (detail or "")
        evidence, _ = await world.service.evidence(world.run, "fix")
        assert [each.passed for each in evidence] == [True, False]
        assert (await world.row()).head is None


async def test_a_verifier_that_is_only_a_reminder_in_a_prompt(tmp_path: Path) -> None:
    """5: a verifier that is only a reminder in a prompt. The house runs it, whether the role does or not, on what would
    be merged and not on what once was; and the role's word does not stand in the evidence."""
    verify = [{"run": f"echo verified >> {tmp_path}/log; sh check.sh"}]
    breaks = acts([writes(), call("check")], [writes(content="broken since\n"), DONE])
    async with opened(tmp_path, cast={"hephaestus": breaks}) as world:
        assert await world.play(todo(verify=verify)) == "failed"
        assert "passes" in world.stage.by("hephaestus")[1].last, "so it had been told"
        assert (tmp_path / "log").read_text() == "verified\n" * 2
        assert (await world.row()).head is None
        world.stage.cast["hephaestus"] = acts([writes(), DONE])
        assert await world.play(todo(verify=verify)) == "completed", await world.told()
        assert (tmp_path / "log").read_text() == "verified\n" * 3, "nobody else had it run"
        evidence, _ = await world.service.evidence(world.run, "fix")
        assert [(each.passed, each.exit_code) for each in evidence] == [(True, None), (True, 0)]
        assert len({each.subject for each in evidence}) == 1
        assert not any("hephaestus" in each.verifier for each in evidence)


# --- 6. "Blocked rows dropped from the total, so that the plan reads 100 %." ------------------------------------------


def test_blocked_rows_dropped_from_the_total(tmp_path: Path) -> None:
    """6: blocked rows dropped from the total, so that the plan reads 100 %. One is completed, one is blocked, one waits
    for that: a third is settled, on the screen, in the last words, in lists and for programs."""

    def work(heard: Heard) -> Part:
        if "# Do this: fix" in heard.first:
            return call("blocked", because="Nobody has said what is right.")
        return DONE if heard.replies else writes("other.txt")

    todos = [
        todo(), todo(id="after", needs=["fix"]),
        todo(id="other", touches=["other.txt"], verify=[{"file": "other.txt"}]),
    ]  # fmt: skip
    with a_person(tmp_path, cast={"hephaestus": work}) as person:
        seen = watched(person.atlas, "run", person.plan(*todos), columns=100)
        assert seen.code == 3, seen.last
        everything = "\n".join(seen.screens)
        assert re.search(r"^plan \w{8}  blocked  1/3  33%", seen.last, re.MULTILINE), seen.last
        assert "100%" not in everything
        assert not re.search(r"\b\d/[012]\b  ", everything)
        assert re.search(r"^plan \w{8}: blocked, 1/3 settled", seen.last, re.MULTILINE), seen.last
        states, counts = _told_everywhere(person)
        assert states == {"fix": "blocked", "after": "pending", "other": "completed", "report": "pending"}
        assert counts == {(1, 3)}
