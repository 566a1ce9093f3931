"""What peers fail at, and we must not: what is left when somebody dies, and what comes after (product.md's last
section: 3, 8, 9)."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.acceptance.command_line import PATIENCE, wait_until
from tests.agents.cast import DONE, Answering, Heard, acts, call, lists, runs, ticks, writes
from tests.agents.people import Person, a_person, silent_at
from tests.agents.test_prefixes import section
from tests.agents.world import FILES, opened, todo
from tests.integration.git_repositories import plain
from tests.services.model_wires import Part

# --- 3. "State in memory or in files written without locks: lost after restart, clobbered by a concurrent run." -------


def test_state_in_memory_that_is_lost_after_a_restart(tmp_path: Path) -> None:
    """3: state in memory, lost after restart. `kill -9` in the middle of a reply: all that was said, written, run,
    listed and noted before is there for the process that goes on."""
    work = acts(
        [lists("the answer is right", "the check passes"), call("take_note", kind="learning", text="Mind the gap.")],
        [runs(f"echo once >> {tmp_path}/effects"), writes(), ticks(1)],
        [runs("cat answer.txt"), ticks(2), DONE],
    )
    with a_person(tmp_path, cast={"hephaestus": silent_at(2, work)}) as person:
        running = person.atlas.start("run", person.plan(todo()))
        before = person.held()
        running.kill()
        person.atlas("resume", "last", code=0)
        again = person.stage.by("hephaestus")[3]
        for part in ("system", "tools", "messages"):
            assert section(again.asked.raw.decode(), part) == section(before.raw.decode(), part)
        assert (tmp_path / "effects").read_text() == "once\n"
        assert "Mind the gap." in person.atlas("notes", "last", code=0).out
        (fix,) = [row for row in person.atlas("todos", "last", "--json").rows if row["key"] == "fix"]
        assert [each["state"] for each in fix["checklist"]] == ["done", "done"]
        assert person.atlas.sql("SELECT attempt FROM todo WHERE key = 'fix'") == [{"attempt": 0}]


def _meets(path: Path) -> str:
    """A check that waits until the other run is there, too."""
    wait = f"n=0; while [ $n -lt 1500 ] && ! [ -e {path}/one -a -e {path}/two ]; do sleep 0.02; n=$((n+1)); done"
    return f'touch {path}/$1; {wait}; test -e {path}/one -a -e {path}/two && test "$(cat answer.txt)" = $1\n'


def test_state_in_files_that_is_clobbered_by_a_concurrent_run(tmp_path: Path) -> None:
    """3: state in files written without locks, clobbered by a concurrent run: two processes at the same time, with the
    same home and repository, plans of one name, TODOs of one key that write one file."""

    def work(heard: Heard) -> Answering:
        which = heard.first.partition("# Do this: Write ")[2][:3]
        note = call("take_note", kind="learning", text=f"Of {which}.")
        return DONE if heard.replies else [lists(f"it says {which}"), writes(content=f"{which}\n"), note, ticks(1)]

    with a_person(tmp_path, cast={"hephaestus": work}, files={**FILES, "meet.sh": _meets(tmp_path)}) as person:
        plans = {
            which: person.plan(todo(title=f"Write {which}", verify=[{"run": f"sh meet.sh {which}"}]), name=f"{which}")
            for which in ("one", "two")
        }
        for path in plans.values():
            Path(path).write_text(Path(path).read_text().replace('"name": "one"', '"name": "two"'))
        started = {which: person.atlas.start("run", path, "--json") for which, path in plans.items()}
        runs_of = {which: running.ended(2 * PATIENCE) for which, running in started.items()}
        for which, ended in runs_of.items():
            assert ended.code == 0, ended
            run = ended.rows[-1]
            assert (run["name"], run["state"], run["progress"]) == ("two", "completed", {"settled": 1, "total": 1})
            assert person.atlas("notes", run["id"], code=0).out.count("Of ") == 1
            assert f"Of {which}." in person.atlas("notes", run["id"], code=0).out
            branch = person.atlas("push", run["id"], code=0).out.split()[2]
            assert plain(person.repository, "show", f"{branch}:answer.txt") == f"{which}\n"
            passed = [row["passed"] for row in person.atlas("evidence", run["id"], "fix", "--json").rows]
            assert passed == [True, True]
            seen = [row["seq"] for row in ended.rows if "seq" in row]
            assert seen == list(range(1, len(seen) + 1))
        assert plain(person.repository, "status", "--porcelain") == "", "nothing is kept in the repository"


# --- 8. "A dead worker's claim that is never released; a skipped TODO without a terminal state that wedges its run." --


def test_a_dead_workers_claim_that_is_never_released(tmp_path: Path) -> None:
    """8: a dead worker's claim that is never released. It dies while a model replies; another one has the TODO then."""
    with a_person(tmp_path, cast={"hephaestus": silent_at(1, acts(writes(), DONE))}) as person:
        person.atlas("run", person.plan(todo()), "--detach", code=0)
        first = person.atlas.start("worker")
        person.held()
        (owned,) = person.atlas.sql("SELECT owner, fence FROM todo WHERE key = 'fix'")
        second = person.atlas.start("worker")
        wait_until(lambda: len(person.atlas.sql("SELECT id FROM worker")) == 2, "the other one is up")
        first.kill()
        wait_until(lambda: person.atlas.run_state() == "completed", f"it is completed: {second.err}")
        (now,) = person.atlas.sql("SELECT owner, fence, crash_count, attempt FROM todo WHERE key = 'fix'")
        assert now == {"owner": None, "fence": owned["fence"] + 1, "crash_count": 1, "attempt": 0}
        second.send(signal.SIGTERM)
        assert second.ended().code == 0


async def test_a_skipped_todo_without_a_terminal_state_that_wedges_its_run(tmp_path: Path) -> None:
    """8: a skipped TODO without a terminal state that wedges its run: it ends, with everything in it, and is reported
    on."""

    def work(heard: Heard) -> Part:
        return DONE if "# Do this: fix" in heard.first or heard.replies else writes("other.txt")

    after = [todo(id="next", needs=["fix"]), todo(id="last", needs=["next", "other"])]
    other = todo(id="other", touches=["other.txt"], verify=[{"file": "other.txt"}])
    async with opened(tmp_path, cast={"hephaestus": work}) as world:
        assert await world.play(todo(), *after, other) == "failed"
        states = {key: state for key, (state, *_) in (await world.told()).items()}
        assert states == {
            "fix": "failed", "next": "skipped", "last": "skipped", "other": "completed", "report": "completed",
        }  # fmt: skip
        view = await world.service.run(world.run)
        assert (view.progress.settled, view.progress.total) == (4, 4)
        await world.service.retry(world.run, "fix", "me")
        world.stage.cast["hephaestus"] = acts([writes(), writes("other.txt")], DONE)
        await world.until(lambda run: run.state == "completed")
        assert {state for state, *_ in (await world.told()).values()} == {"completed"}


# --- 9. "Resume that declares unfinished work done, or does nothing." -------------------------------------------------


def _verifying(person: Person, path: Path) -> None:
    wait_until((path / "here").exists, "the verification goes on")
    assert person.atlas.states()["fix"] == "verifying"


def test_resume_that_declares_unfinished_work_done(tmp_path: Path) -> None:
    """9: resume that declares unfinished work done. The role had said that it was, its verification had begun, and the
    process was killed: the verification is made anew, and tells."""
    files = {**FILES, "wait.sh": f"touch {tmp_path}/here; while ! [ -e {tmp_path}/go ]; do sleep 0.02; done"}
    claimed = todo(verify=[{"run": "sh wait.sh"}, {"run": "sh check.sh"}])
    with a_person(tmp_path, cast={"hephaestus": acts([lists("all of it"), ticks(1), DONE])}, files=files) as person:
        running = person.atlas.start("run", person.plan(claimed))
        _verifying(person, tmp_path)
        running.kill()
        (tmp_path / "go").touch()
        ended = person.atlas("resume", "last", code=1)
        assert "fix failed (verification): sh check.sh: exit code 1: the answer is wrong" in ended.out
        assert person.atlas.states() == {"fix": "failed", "report": "completed"}
        assert len(person.stage.by("hephaestus")) == 1, "what it had said is not asked again"
        assert "nothing to push" in person.atlas("push", "last").err


def test_resume_that_does_nothing(tmp_path: Path) -> None:
    """9: resume that does nothing. Ctrl-C in the middle of the work, twice; each `resume` goes on where it was."""
    work = acts(writes(), [runs(f"echo once >> {tmp_path}/effects")], DONE)
    both = silent_at(2, silent_at(1, work))
    with a_person(tmp_path, cast={"hephaestus": both}) as person:
        running = person.atlas.start("run", person.plan(todo()))
        for number in (1, 2):
            person.held(number)
            running.send(signal.SIGINT)
            ended = running.ended()
            assert ended.code == 130, ended
            assert "atlas resume " in ended.out
            assert person.atlas.run_state() == "held"
            running = person.atlas.start("resume", "last")
        ended = running.ended()
        assert ended.code == 0, ended
        assert [heard.replies for heard in person.stage.by("hephaestus")] == [0, 1, 1, 2, 2]
        assert (tmp_path / "effects").read_text() == "once\n"
        assert person.atlas.states() == {"fix": "completed", "report": "completed"}
