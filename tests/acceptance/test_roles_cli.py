"""What people see and type around roles: real `atlas` processes on the scripted example."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.acceptance.command_line import Atlas
from tests.acceptance.terminal import watched
from tests.services.model_server import model_server
from tests.services.model_wires import Answer, error_body

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fix-a-bug"
SCRIPTED = ("--model", "scripted/script.yaml")
LONG_SECONDS = 1.5
"""Several times what the tree takes to show what happened."""


@pytest.fixture
def example(atlas: Atlas) -> Path:
    """A copy of the example, prepared; nothing of this machine's keys."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY"):
        atlas.variables[name] = ""
    directory = atlas.work / "fix-a-bug"
    shutil.copytree(EXAMPLE, directory, ignore=shutil.ignore_patterns("repository"))
    subprocess.run(["sh", "prepare.sh"], cwd=directory, check=True, capture_output=True)
    return directory


def said(text: str, *patterns: str) -> None:
    """Each pattern is found, in this order."""
    at = 0
    for pattern in patterns:
        found = re.compile(pattern, re.MULTILINE).search(text, at)
        assert found, f"{pattern!r} is not in what follows {text[:at][-200:]!r}:\n{text[at:]}"
        at = found.end()


def slowed(script: str, *replies: str) -> str:
    """The script, with replies that begin so only after a while: what was before is to be seen meanwhile."""
    for reply in replies:
        assert script.count(f"      - {reply}") == 1, reply
        script = script.replace(f"      - {reply}", f"      - delay: {LONG_SECONDS}\n        {reply}")
    return script


def test_in_a_pipe_there_is_a_line_for_each_thing_that_happens(atlas: Atlas, example: Path) -> None:
    ended = atlas("run", "plan.yaml", *SCRIPTED, cwd=example, code=0)
    said(
        ended.out,
        r"^\d\d:\d\d:\d\d  plan +in_progress$",
        r'plan +prometheus: "I shall look at the repository\."$',
        r"plan +prometheus: workspace_read durations\.py$",
        r"plan +metis: verdict objects: 1 finding$",
        r"plan +metis: verdict approves$",
        r"plan +planned: fix$",
        r"plan +completed in ",
        r"fix +in_progress$",
        r"fix +checklist 0/2, open: units add up$",
        r"fix +hephaestus: workspace_run python3 -m unittest$",
        r"fix +hephaestus: done parse\(\) adds up the units\.$",
        r"fix +will be tried again \(verification\): python3 -m unittest: exit code 1",
        r"fix +oracle: test_units_come_in_order fails",
        r"fix +checklist 2/2$",
        r"fix +completed in ",
        r"report +completed in ",
        r"^fix-a-bug \w{8}: completed, 2/2 settled; [\d,]+ tokens$",
        r"^  evidence: atlas evidence \w{8}$",
        r"^  report:   atlas report \w{8}$",
        r"^  changes:  atlas diff \w{8}   as a branch: atlas push \w{8}$",
    )
    assert ended.err == "warning: the replies are scripted: no model is asked\n"
    assert max(len(line) for line in ended.lines) <= 180


def test_programs_get_every_event_and_what_it_cost(atlas: Atlas, example: Path) -> None:
    *events, run = atlas("run", "plan.yaml", *SCRIPTED, "--json", cwd=example, code=0).rows
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {"run.planned", "run.report", "role.turn", "role.tool", "role.checklist"} <= {
        each["type"] for each in events
    }
    turns = [event["data"] for event in events if event["type"] == "role.turn"]
    assert run["spend"] == {"tokens": sum(turn["tokens"] for turn in turns), "cached_tokens": 0, "usd": 0.0}
    assert atlas("runs", "--json", code=0).rows == [run]
    assert atlas("runs", code=0).lines[0].split("\t")[-3:] == [f"{run['spend']['tokens']:,}", "0", "0.0000"]
    todos = atlas("todos", "last", "--json", code=0).rows
    assert [(todo["key"], todo["role"], todo["progress"]) for todo in todos] == [
        ("plan", "prometheus", None), ("fix", "hephaestus", 1.0), ("report", "librarian", None),
    ]  # fmt: skip
    assert todos[1]["checklist"] == [
        {"text": "units add up", "state": "done"}, {"text": "units come in order", "state": "done"},
    ]  # fmt: skip


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_the_tree_shows_who_works_at_what(atlas: Atlas, example: Path, columns: int) -> None:
    script = (example / "script.yaml").read_text()
    (example / "slow.yaml").write_text(
        slowed(script, "text: parse()", "text: It must add", "calls:\n          - name: diagnosis")
    )
    seen = watched(atlas, "run", "plan.yaml", "--model", "scripted/slow.yaml", columns=columns, cwd=example)
    assert seen.code == 0, seen.last
    everything = "\n".join(seen.screens)
    said(everything, r"● plan +in_progress +[\d.]+s prometheus  ✓ workspace_read tests/test_durations\.py$")
    said(everything, r"● fix +in_progress +[\d.]+s hephaestus  . workspace_run python3 -m unittest$")
    said(everything, r"^ +0/2, open: units add up$", r"^· report pending +Write the report$")
    said(everything, r"● fix +in_progress +[\d.]+s oracle  ✓ workspace_read durations\.py$")
    said(everything, r"^fix-a-bug \w{8}  in_progress  1/2  50%  [\d,]+ tokens$")
    said(seen.last, r"^fix-a-bug \w{8}  completed  2/2  100%  [\d,]+ tokens$", r"^✓ fix +completed", r"^  report: ")
    assert max(len(line) for screen in seen.screens for line in screen.splitlines()[1:]) <= columns
    assert "atlas.audit" not in everything


def test_the_transcript_tells_attempts_words_tools_and_proofs(atlas: Atlas, example: Path) -> None:
    atlas("run", "plan.yaml", *SCRIPTED, cwd=example, code=0)
    plan = atlas("logs", "last", "plan", code=0).out
    said(
        plan, r"^── attempt 1: completed in ", r"atlas to plan$", r"^ +# Make a plan for this goal$", r"  prometheus$",
        r"^ +· workspace_read durations\.py$", r"  metis$", r"^ +· verdict objects: 1 finding$", r"  atlas$",
        r"fix\.touches: It takes in tests/", r"  verification$", r"✓ review metis",
    )  # fmt: skip
    fix = atlas("logs", "last", "fix", code=0).out
    said(
        fix, r"^── attempt 1: failed \(verification\) in ", r"  hephaestus$", r"^ +Two outcomes, then the code\.$",
        r"^ +· workspace_run python3 -m unittest$", r"^ +exit code 1 after ", r"^ +… \d+ more lines$",
        r"^ +✗ python3 -m unittest  \(exit code 1, ", r"^failed \(verification\):$",
        r"^── what its commands printed ──$", r"^FAILED \(failures=1\)$",
        r"^── attempt 2: completed in ", r"  oracle$", r"· diagnosis test_units_come_in_order fails",
        r"^ +✓ touches durations\.py ", r"^OK$",
    )  # fmt: skip
    second = atlas("logs", "last", "fix", "--attempt", "2", code=0).out
    assert second.startswith("── attempt 2: ")
    assert fix.endswith(second)
    full = atlas("logs", "last", "fix", "--full", code=0).out
    said(full, r"^ +command: python3 -m unittest$", r"^ +old: total = int\(number\)$")
    assert "more line" not in full
    error = atlas("logs", "last", "fix", "--attempt", "9", code=2).err
    assert "fix has no attempt 9" in error
    assert "There are: 1, 2." in error


REPLANNED = """
conversations:
  - when: Review this plan
    replies:
      - calls: [{name: verdict, arguments: {approve: true}}]
  - when: There was a plan
    replies:
      - calls:
          - name: submit_plan
            arguments: {plan: "{atlas: 1, todos: [{id: right, run: echo right, needs: [first]}]}"}
  - when: Write the report
    replies:
      - calls: [{name: report, arguments: {markdown: "# Right at last"}}]
"""


def test_another_plan_for_what_has_failed(atlas: Atlas) -> None:
    (atlas.work / "script.yaml").write_text(REPLANNED)
    first = "{id: first, run: echo first >out.txt, outputs: {out.txt: file://out.txt}}"
    todos = f"[{first}, {{id: wrong, run: echo wrong; false, needs: [first]}}]"
    (atlas.work / "plan.yaml").write_text(f"{{atlas: 1, name: again, sandbox: host, todos: {todos}}}")
    atlas("run", "plan.yaml", "--model", "scripted/script.yaml", code=1)
    ended = atlas("replan", "last", "it should be right", code=0)
    said(
        ended.out, r"plan-2 +in_progress$", r"plan-2 +prometheus: submit_plan$", r"plan-2 +metis: verdict approves$",
        r"plan-2 +planned: right$", r"right +completed in ", r"^again \w{8}: completed, 3/3 settled",
        r"^  report:   atlas report \w{8}$",
    )  # fmt: skip
    assert ended.err == "warning: the replies are scripted: no model is asked\n"
    shown = {row["key"]: row for row in atlas("todos", "last", "--json", code=0).rows}
    assert {key: row["state"] for key, row in shown.items()} == {
        "first": "completed", "wrong": "not_applicable", "plan-2": "completed", "right": "completed",
        "report": "completed",
    }  # fmt: skip
    assert re.fullmatch(r"by \S+: it should be right", shown["wrong"]["detail"])
    written = yaml.safe_load(atlas("plan", "--run", "last", "-o", "-", code=0).out)
    assert [todo["id"] for todo in written["todos"]] == ["first", "right"]
    report = atlas("report", "last", code=0).out
    assert "# Right at last" in report
    atlas("plan", "--run", "last", "-o", str(atlas.work / "again.yaml"), code=0)
    refused = atlas("replan", "last", "once more", code=2).err
    assert "nothing of it is left to plan" in refused
    assert "say why" in atlas("replan", "last", "", code=2).err


def test_what_came_of_it_can_be_had(atlas: Atlas, example: Path) -> None:
    atlas("run", "plan.yaml", *SCRIPTED, cwd=example, code=0)
    report = atlas("report", "last", code=0).out
    said(
        report,
        r"^# fix-a-bug$",
        r"\[evidence fix/2/1\]",
        r"^---$",
        r"\[evidence fix/2/1\] `python3 -m unittest` passed",
    )
    assert atlas("notes", "last", code=0).err == "no notes were taken\n"
    repository = example / "repository"
    patch = atlas("diff", "last", code=0).out
    subprocess.run(["git", "apply", "--check", "-"], cwd=repository, input=patch.encode(), check=True)
    pushed = atlas("push", "last", code=0).out
    branch = pushed.split()[2]
    assert re.fullmatch(r"atlas/fix-a-bug-\w{8}", branch)
    changed = subprocess.run(
        ["git", "diff", "--name-only", "main", branch], cwd=repository, check=True, capture_output=True, text=True
    )
    assert changed.stdout == "durations.py\n"
    status = subprocess.run(["git", "status", "--short"], cwd=repository, check=True, capture_output=True)
    assert status.stdout == b"", "the checkout is not touched"


def test_a_plan_is_made_written_and_run(atlas: Atlas, example: Path) -> None:
    repository = example / "repository"
    shutil.copy(example / "script.yaml", repository)
    made = atlas("plan", "Make the tests pass", "-o", "plan.yaml", *SCRIPTED, cwd=repository, code=0)
    assert "wrote plan.yaml: 1 TODO\n" in made.err
    written = (repository / "plan.yaml").read_text()
    document = yaml.safe_load(written)
    assert list(document) == ["atlas", "name", "goal", "repo", "todos"]
    assert (document["repo"], [todo["id"] for todo in document["todos"]]) == (".", ["fix"])
    assert atlas.states() == {"plan": "completed"}
    printed = atlas("plan", "--run", "last", "-o", "-", code=0).out
    assert yaml.safe_load(printed) == {**document, "repo": str(repository)}
    again = atlas("plan", "Make the tests pass", "-o", "plan.yaml", *SCRIPTED, cwd=repository, code=2)
    assert "plan.yaml exists already" in again.err
    atlas("run", "plan.yaml", *SCRIPTED, "--sandbox", "host", cwd=repository, code=0)
    assert atlas.states() == {"fix": "completed", "report": "completed"}


def test_a_budget_that_is_used_up_says_how_to_go_on(atlas: Atlas, example: Path) -> None:
    arguments = ("do", "Make the tests pass", "--repo", "repository", "--sandbox", "host", *SCRIPTED)
    ended = atlas(*arguments, "--budget", "tokens=5000", cwd=example, code=5)
    said(ended.out, r"budget_exhausted, 0/1 settled$", r"5,000 of 5,000 tokens are left, and the next call may take ")
    found = re.search(r"atlas (resume \w{8} --budget tokens=\d+)$", ended.out, re.MULTILINE)
    assert found
    later = atlas("runs", "--json", code=0).rows[0]
    assert (later["state"], later["reason"].partition(" tokens")[0]) == ("budget_exhausted", "5,000 of 5,000")
    atlas(*found[1].split(), cwd=example, code=5)  # further than before
    tokens = atlas("runs", "--json", code=0).rows[0]["spend"]["tokens"]
    assert tokens > 0
    refused = atlas("resume", "last", "--budget", f"tokens={tokens}", code=2)
    assert "leaves nothing" in refused.err
    assert atlas.run_state() == "budget_exhausted"
    atlas("resume", "last", "--budget", "tokens=2000000", cwd=example, code=0)
    assert atlas.states() == {"plan": "completed", "fix": "completed", "report": "completed"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("do", "Mend it", "--repo", "repository", "--model", "opnai/some"), ('no provider "opnai"', '"openai"?')),
        (
            ("do", "Mend it", "--repo", "repository", "--model", "local/some", "--budget", "usd=5"),
            ("what local/some costs is not known", "limit in tokens too"),
        ),
        (("run", "plan.yaml", "--model", "scripted/none.yaml"), ("none.yaml: the script can't be read",)),
        (
            ("do", "Mend it", "--repo", ".", "--budget", "tokens=many"),
            ("'many' is no number", "Write tokens=2000000"),
        ),
        (("do", "Mend it", "--repo", ".", "--budget", "5"), ("does not say of what",)),
        (("do", "Mend it", "--repo", ".", "--budget", "euros=5"), ("no budget of 'euros'",)),
        (("plan",), ("give a goal, or --run RUN",)),
    ],
)
def test_what_is_missing_is_told_before_anything_is_spent(
    atlas: Atlas, example: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    atlas.home.mkdir()
    local = '[providers.local]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
    (atlas.home / "atlas.toml").write_text(local)
    ended = atlas(*arguments, cwd=example, code=2)
    assert all(word in ended.err for word in words), ended
    assert not atlas.has_tables() or atlas.sql("SELECT id FROM run") == []


def test_a_model_that_its_maker_does_not_know_is_told_by_name(atlas: Atlas, example: Path) -> None:
    complaint = {"type": "not_found_error", "message": "model: claude-nothing"}
    with model_server() as server:
        server.otherwise = Answer(status=404, body=error_body("anthropic", complaint), content_type="application/json")
        atlas.variables |= {"ANTHROPIC_API_KEY": "a-key", "ANTHROPIC_BASE_URL": server.url}
        ended = atlas("run", "plan.yaml", "--model", "anthropic/claude-nothing", cwd=example, code=3)
    said(ended.out, r"^  plan blocked \(model\): .*claude-nothing", r"^  again: atlas retry \w{8} plan$")
    assert len(server.asked) == 1, "asking again would not help"


def test_outside_of_a_repository_a_goal_is_refused(atlas: Atlas) -> None:
    ended = atlas("do", "Mend it", *SCRIPTED, code=2)
    assert "there is no git repository at" in ended.err
    assert "--repo" in ended.err


def test_without_containers_a_model_runs_nothing_and_both_ways_out_are_named(atlas: Atlas, example: Path) -> None:
    text = (example / "plan.yaml").read_text().replace("sandbox: host", "sandbox: auto")
    (example / "auto.yaml").write_text(text)
    ended = atlas("run", "auto.yaml", *SCRIPTED, cwd=example, code=3)
    assert "what models want run will be blocked" in ended.err
    said(
        ended.out,
        r"fix +blocked \(sandbox\)",
        r"^  fix blocked \(sandbox\): a command written by a model",
        "Start Docker",
    )
    assert "--sandbox host" in ended.out
    assert "allow_host = true" in ended.out
    said(atlas("logs", "last", "fix", code=0).out, r"^── attempt 1: blocked \(sandbox\)", r"^ +Start Docker")
    assert "report has not been started" in atlas("logs", "last", "report", code=2).err
    atlas("retry", "last", "fix", cwd=example, code=0, ATLAS_ALLOW_HOST="true")


def test_doctor_tells_whom_each_role_asks(atlas: Atlas, example: Path) -> None:
    def found(**variables: str) -> dict[str, dict[str, str]]:
        atlas.variables |= variables
        return {row["name"]: row for row in atlas("doctor", "--json", code=0, cwd=example).rows}

    bare = found()
    assert bare["providers"]["state"] == bare["roles"]["state"] == "limited"
    assert "ANTHROPIC_API_KEY" in bare["roles"]["remedy"]
    both = found(ANTHROPIC_API_KEY="a", OPENAI_API_KEY="b")
    assert both["providers"]["said"] == "anthropic: ANTHROPIC_API_KEY; openai: OPENAI_API_KEY"
    said(both["roles"]["said"], "^prometheus, hephaestus, librarian: anthropic/", "metis, oracle: openai/")
    assert found(ATLAS_MODELS="scripted/script.yaml")["roles"]["said"] == "all roles: scripted/script.yaml"


def test_logs_can_be_read_while_it_goes_on(atlas: Atlas, example: Path) -> None:
    script = yaml.safe_load((example / "script.yaml").read_text())
    last = script["conversations"][3]["replies"][2]
    last["delay"] = 3000
    (example / "stuck.yaml").write_text(json.dumps(script))
    running = atlas.start("run", "plan.yaml", "--model", "scripted/stuck.yaml", cwd=example)
    atlas.wait_for("fix", "in_progress")
    transcript = ""
    while "workspace_edit" not in transcript:
        assert running.alive, running.ended()
        transcript = atlas("logs", "last", "fix").out
    said(transcript, r"^── attempt 1: in progress ──$", r"  hephaestus$")
    assert "1 of 2 TODOs that apply are completed." in atlas("report", "last", code=0).out
    running.kill()
