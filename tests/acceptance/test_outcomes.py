"""How runs end: verification, retries, gates, what waits and what can be tried again. By exit code, rows and words."""

from __future__ import annotations

from tests.acceptance.command_line import Atlas, wait_until
from tests.acceptance.effects import Effects
from tests.acceptance.invariants import assert_sound
from tests.acceptance.processes import assert_nothing_left, processes_of


def test_exit_0_is_not_enough(atlas: Atlas, effects: Effects) -> None:
    todos = [
        effects.todo("liar", [], then="echo fine", verify=[{"run": "true"}, {"run": "echo WRONG; exit 7"}]),
        effects.todo("empty", [], then=": >out.txt", verify=[{"file": "out.txt"}]),
        effects.todo("honest", [], then="echo x >out.txt", verify=[{"run": "grep x out.txt"}, {"file": "out.txt"}]),
        effects.todo("after", ["liar"]),
        effects.todo("unrelated", ["honest"]),
        {"id": "fails", "run": "echo reason >&2; exit 3"},
        {"id": "forgets", "run": "true", "outputs": {"out.txt": "file://published/"}},
        {"id": "slow", "run": "sleep 60", "timeout": "1s"},
    ]
    ended = atlas("run", atlas.plan(todos), code=1)
    assert atlas.states() == {
        "liar": "failed", "empty": "failed", "honest": "completed", "after": "skipped", "unrelated": "completed",
        "fails": "failed", "forgets": "failed", "slow": "failed",
    }  # fmt: skip
    reasons = {row["key"]: row["reason"] for row in atlas.sql("SELECT key, reason FROM todo WHERE state = 'failed'")}
    assert reasons == {
        "liar": "verification", "empty": "verification", "fails": "exit", "forgets": "output", "slow": "timeout",
    }  # fmt: skip
    assert "liar failed (verification)" in ended.out
    assert "atlas retry" in ended.out
    evidence = [row for row in atlas("evidence", "last", "liar", "--json", code=0).rows if "passed" in row]
    assert [(row["passed"], row["exit_code"]) for row in evidence] == [(True, 0), (True, 0), (False, 7)]
    assert evidence[-1]["output_tail"] == "WRONG\n"
    assert len({row["subject"] for row in evidence}) == 1
    assert "FAILED" in atlas("evidence", "last", "liar", code=0).out
    assert [row["data"] for row in atlas.sql("SELECT data FROM event WHERE type = 'todo.risk'")]
    assert_sound(atlas)
    assert_nothing_left(atlas)


def test_retries_are_counted_and_spaced(atlas: Atlas, effects: Effects) -> None:
    third = "test $(grep -c 'start third' \"$LOG\") -ge 3 || exit 1"
    log = {"LOG": str(atlas.directory / "effects")}
    todos = [
        effects.todo("third", [], then=third, env=log, retries={"max": 5, "backoff": "0.5s"}),
        effects.todo("never", [], then="exit 9", retries={"max": 2, "backoff": "0.1s"}),
        effects.todo("after", ["third"]),
    ]
    atlas("run", atlas.plan(todos), code=1)
    rows = {row["key"]: row for row in atlas.sql("SELECT * FROM todo")}
    assert (rows["third"]["state"], rows["third"]["attempt"], rows["third"]["fence"]) == ("completed", 2, 3)
    assert (rows["never"]["state"], rows["never"]["attempt"], rows["never"]["fence"]) == ("failed", 3, 3)
    assert effects.starts() == {"third": 3, "never": 3, "after": 1}
    times = atlas.sql(
        "SELECT started_at, ended_at, outcome FROM attempt WHERE todo_id = ? ORDER BY fence", rows["third"]["id"]
    )
    assert [row["outcome"] for row in times] == ["failed", "failed", "completed"]
    assert times[1]["started_at"] - times[0]["ended_at"] >= 0.5
    assert times[2]["started_at"] - times[1]["ended_at"] >= 1.0  # twice the one before
    assert rows["third"]["crash_count"] == 0
    assert_sound(atlas)


def test_gates_conditions_and_answers(atlas: Atlas, effects: Effects) -> None:
    todos = [
        effects.todo("work", []),
        {"id": "ship", "ask": "Ship it?", "choices": ["yes", "no"], "needs": ["work"]},
        effects.todo("push", []) | {"needs": [{"ship": "yes"}]},
        effects.todo("bury", []) | {"needs": [{"ship": "no"}]},
        effects.todo("mourn", ["bury"]),
        {"id": "why", "ask": "Why? 🤔", "needs": ["work"]},
        {"id": "soon", "ask": "Quick?", "needs": ["work"], "expires": "1s"},
        effects.todo("too-late", ["soon"]),
    ]
    ended = atlas("run", atlas.plan(todos), code=3)
    assert "Ship it? [yes/no]" in ended.out
    assert "atlas answer " in ended.out
    questions = {row["text"]: row for row in atlas("questions", "--json", code=0).rows}
    assert questions["Ship it?"]["choices"] == ["yes", "no"]
    ship = questions["Ship it?"]["id"]
    assert "is not one of: yes, no" in atlas("answer", ship, "maybe", code=2).err
    [answered] = atlas("answer", ship[-8:], "yes", "--json", code=0).rows
    assert (answered["state"], answered["answer"]) == ("answered", "yes")
    assert "answered 'yes' already" in atlas("answer", ship, "no", code=2).err
    assert "no question" in atlas("answer", "00000000", "yes", code=2).err
    atlas("answer", "why", "weil 'es' \n so ist ✓", code=0)
    ended = atlas("resume", "last", code=3)
    assert effects.starts() == {"work": 1, "push": 1}
    assert atlas.states() == {
        "work": "completed", "ship": "completed", "push": "completed", "bury": "not_applicable",
        "mourn": "not_applicable", "why": "completed", "soon": "blocked", "too-late": "pending",
    }  # fmt: skip
    assert "soon blocked (expired)" in ended.out
    assert atlas.run_state() == "blocked"
    quick = questions["Quick?"]["id"]
    assert "expired" in atlas("answer", quick, "yes", code=2).err

    atlas("retry", "last", "soon", code=3)
    asked = atlas.sql("SELECT state FROM question WHERE text = 'Quick?' ORDER BY asked_at")
    assert len(asked) == 2
    assert asked[0]["state"] == "expired"
    assert_sound(atlas)


def test_retry_reopens_what_failed_and_what_was_skipped(atlas: Atlas, effects: Effects) -> None:
    flag = atlas.directory / "flag"
    todos = [
        effects.todo("fine", []),
        effects.todo("broken", ["fine"], then=f"test -e {flag}"),
        effects.todo("next", ["broken"]),
        effects.todo("last", ["next", "fine"]),
        {"id": "shut", "run": "true", "secrets": ["ATLAS_TEST_SECRET"]},
        effects.todo("behind", ["shut"]),
    ]
    ended = atlas("run", atlas.plan(todos))
    assert ended.code == 3, ended  # blocked comes before failed
    assert atlas.states() == {
        "fine": "completed", "broken": "failed", "next": "skipped", "last": "skipped", "shut": "blocked",
        "behind": "pending",
    }  # fmt: skip
    assert "retry that instead" in atlas("retry", "last", "next", code=2).err
    assert "only failed or blocked" in atlas("retry", "last", "fine", code=2).err
    flag.touch()
    atlas("retry", "last", "broken", code=3)
    assert effects.starts() == {"fine": 1, "broken": 2, "next": 1, "last": 1}
    atlas.variables |= {"ATLAS_SECRETS_ALLOW": "ATLAS_TEST_SECRET", "ATLAS_TEST_SECRET": "of some length"}
    atlas("retry", "last", "shut", code=0)
    assert set(atlas.states().values()) == {"completed"}
    assert effects.starts()["behind"] == 1
    epochs = {row["key"]: row["epoch"] for row in atlas.sql("SELECT key, epoch FROM todo")}
    assert epochs == {"fine": 0, "broken": 1, "next": 1, "last": 1, "shut": 1, "behind": 0}
    assert_sound(atlas)


def test_a_missing_output_fails_with_the_evidence_that_there_is(atlas: Atlas) -> None:
    todo = {"id": "a", "run": "echo worked", "outputs": {"never.txt": "file://out/"}, "verify": [{"run": "true"}]}
    ended = atlas("run", atlas.plan([todo]), code=1)
    assert "failed (output)" in ended.out
    assert "never.txt" in ended.out
    checked = atlas("evidence", "last", "a", "--json").rows
    assert [(row["command"], row["passed"]) for row in checked] == [("echo worked", True), ("true", True)]
    assert not (atlas.work / "out").exists()


def test_working_time_is_a_budget_too(atlas: Atlas) -> None:
    plan = atlas.plan([{"id": "long", "run": "sleep 3"}], budget={"wall_clock": "1s"})
    ended = atlas("run", plan, code=5)
    assert "wall_clock" in ended.out + ended.err
    assert "atlas resume" in ended.out + ended.err
    wait_until(lambda: not processes_of(atlas), "the command is gone", 10)
    atlas("resume", "last", "--budget", "wall_clock=1s", code=2)
    atlas("resume", "last", "--budget", "wall_clock=5m", code=0)
    assert atlas.run_state() == "completed"
