"""The dashboard in a real browser, on a real server: what people see and do, as it happens."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.http.pages import Open, plan, row, state_of_run
from tests.http.server import ended, served, submitted
from tests.services.browser import page_of, shot

pytestmark = pytest.mark.browser
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fix-a-bug"


def test_a_plan_from_the_form_to_its_evidence(tmp_path: Path, visit: Open) -> None:
    with served(tmp_path) as server, visit(server) as page:
        expect(page.get_by_text("There are no runs yet")).to_be_visible()
        shot(page, "empty")
        page.get_by_role("tab", name="A plan").click()
        page.get_by_label("plan.yaml").fill(
            "atlas: 1\nname: from the browser\nsandbox: host\ntodos:\n"
            "  - {id: first, run: 'for n in 1 2 3 4 5 6; do echo line $n; sleep 0.5; done'}\n"
            "  - {id: second, run: 'echo done', needs: [first], verify: [{run: 'true'}]}\n"
        )
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("heading", name="from the browser")).to_be_visible()
        expect(row(page, "first").locator(".mark")).to_have_text(re.compile("in progress"))
        expect(row(page, "second").locator(".mark")).to_have_text(re.compile("pending"))
        row(page, "first").get_by_role("link").click()
        expect(page.get_by_label("log", exact=True)).to_contain_text("line 2")
        shot(page, "running")
        expect(state_of_run(page)).to_contain_text("completed")
        expect(page.get_by_label("log", exact=True)).to_contain_text("line 6")
        row(page, "second").get_by_role("link").click()
        page.get_by_role("tab", name="Evidence").click()
        expect(page.get_by_text("✓ passed").first).to_be_visible()
        shot(page, "done")
        page.get_by_role("tab", name="Graph").click()
        expect(page.get_by_role("link", name="second: completed")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("complementary")).to_have_count(0)


def test_a_question_is_answered_by_a_button(tmp_path: Path, visit: Open) -> None:
    gate = {"id": "gate", "ask": "Ship it?\nIt is Friday.", "choices": ["ship", "wait"]}
    after = {"id": "after", "run": "echo shipped", "needs": [{"gate": "ship"}]}
    with served(tmp_path) as server, server.client() as client, visit(server) as page:
        run = submitted(client, plan(gate, after, name="release"))
        question = page.get_by_role("region", name="question")
        expect(question).to_contain_text("Ship it?")
        shot(page, "question")
        page.get_by_role("link", name="release").first.click()
        expect(state_of_run(page)).to_contain_text("awaiting input")
        question.get_by_role("button", name="ship", exact=True).click()
        expect(state_of_run(page)).to_contain_text("completed")
        expect(question).to_have_count(0)
        assert ended(client, run)["state"] == "completed"


def test_what_failed_says_why_and_is_tried_again(tmp_path: Path, visit: Open, said: list[str]) -> None:
    with served(tmp_path) as server, server.client() as client:
        marker = server.atlas.work / "marker"
        run = submitted(
            client,
            plan(
                {"id": "flaky", "run": f"echo looking; test -e {marker}"},
                {"id": "next", "run": "true", "needs": ["flaky"]},
            ),
        )
        ended(client, run)
        with visit(server, f"/#/runs/{run}") as page:
            expect(state_of_run(page)).to_contain_text("failed")
            expect(row(page, "next").locator(".mark")).to_have_text(re.compile("skipped"))
            row(page, "flaky").get_by_role("link").click()
            expect(page.get_by_label("log", exact=True)).to_contain_text("looking")
            shot(page, "failed")
            row(page, "next").get_by_role("link").click()
            expect(page.get_by_role("complementary")).to_contain_text("It has not been started.")
            assert not [each for each in said if "404" in each]
            row(page, "flaky").get_by_role("link").click()
            marker.touch()
            page.get_by_role("button", name="Retry").click()
            expect(state_of_run(page)).to_contain_text("completed")


def test_hold_resume_and_cancel(tmp_path: Path, visit: Open) -> None:
    with served(tmp_path) as server, server.client() as client:
        run = submitted(
            client, plan({"id": "long", "run": "sleep 600"}, {"id": "other", "run": "true", "needs": ["long"]})
        )
        with visit(server, f"/#/runs/{run}") as page:
            page.get_by_role("button", name="Hold").click()
            expect(state_of_run(page)).to_contain_text("held")
            page.get_by_role("button", name="Resume").click()
            expect(state_of_run(page)).to_contain_text("in progress")
            page.on("dialog", lambda dialog: dialog.accept())
            page.get_by_role("button", name="Cancel").click()
            expect(state_of_run(page)).to_contain_text("cancelled")
            expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
            expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_a_goal_with_scripted_roles(tmp_path: Path, visit: Open) -> None:
    example = tmp_path / "fix-a-bug"
    shutil.copytree(EXAMPLE, example, ignore=shutil.ignore_patterns("repository"))
    subprocess.run(["sh", "prepare.sh"], cwd=example, check=True, capture_output=True)
    settings = {
        "ATLAS_SERVE_REPOSITORIES": str(example), "ATLAS_MODELS": "scripted/script.yaml",
        "ATLAS_SANDBOX": "host", "ATLAS_ALLOW_HOST": "true", "ANTHROPIC_API_KEY": "", "OPENAI_API_KEY": "",
    }  # fmt: skip
    with served(tmp_path / "served", cwd=example, **settings) as server, visit(server) as page:
        page.get_by_label("What is to be achieved").fill("`python3 -m unittest` fails. Make it pass.")
        page.get_by_label("Repository").fill(str(example / "repository"))
        page.get_by_role("button", name="Start").click()
        expect(row(page, "fix").locator(".mark")).to_have_text(re.compile("in progress|completed"))
        row(page, "fix").get_by_role("link").click()
        expect(state_of_run(page)).to_contain_text("completed")
        expect(page.get_by_label("checklist")).to_be_visible()
        page.get_by_role("tab", name="Conversation").click()
        expect(page.get_by_role("complementary")).to_contain_text("hephaestus")
        page.get_by_role("complementary").get_by_role("tab", name="Changes").click()
        expect(page.locator("pre.diff").first).to_contain_text("+++ b/durations.py")
        expect(page.locator("pre.diff").first).not_to_contain_text("__pycache__")
        shot(page, "roles")
        page.keyboard.press("Escape")
        page.get_by_role("tab", name="Report").click()
        expect(page.get_by_role("region", name="TODOs")).to_contain_text("unittest")


def test_reloading_and_restarting_the_server_lose_nothing(tmp_path: Path, visit: Open) -> None:
    todos = [{"id": f"t{n}", "run": "sleep 0.4; echo x", **({"needs": [f"t{n - 1}"]} if n else {})} for n in range(12)]
    with served(tmp_path) as server, server.client() as client:
        run = submitted(client, plan(*todos))
        with visit(server, f"/#/runs/{run}") as page:
            expect(row(page, "t1").locator(".mark")).to_have_text(re.compile("completed"))
            page.reload()
            expect(row(page, "t2").locator(".mark")).to_have_text(re.compile("completed"))
            server.running.kill()
            expect(page.get_by_text("no connection")).to_be_visible()
            server.start()
            expect(page.get_by_text("live", exact=True)).to_be_visible()
            expect(state_of_run(page)).to_contain_text("completed")
            for n in range(12):
                expect(row(page, f"t{n}").locator(".mark")).to_have_text(re.compile("completed"))


ATTACK = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'{{7*7}}${7*7}"


def test_what_commands_and_plans_say_is_text(tmp_path: Path, visit: Open) -> None:
    with served(tmp_path) as server, server.client() as client:
        run = submitted(
            client,
            plan(
                {"id": "a", "run": ["printf", "%s\n", ATTACK], "title": ATTACK},
                {"id": "q", "ask": ATTACK, "choices": [ATTACK], "needs": ["a"]},
                {"id": "f", "run": ["sh", "-c", 'printf "%s" "$1" >&2; exit 3', "sh", ATTACK]},
                name=ATTACK, goal=ATTACK,
            ),
        )  # fmt: skip
        ended(client, run, "awaiting_input", "failed")
        with visit(server) as page:
            page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
            expect(page.get_by_text(ATTACK).first).to_be_visible()
            page.goto(f"/#/runs/{run}")
            expect(page.get_by_role("heading", level=1)).to_have_text(ATTACK)
            for key in ("a", "f"):
                row(page, key).get_by_role("link").click()
                for name in ("Log", "Evidence", "Attempts"):
                    page.get_by_role("complementary").get_by_role("tab", name=name).click()
                    page.wait_for_timeout(100)
            row(page, "a").get_by_role("link").click()
            expect(page.get_by_label("log", exact=True)).to_contain_text(ATTACK)
            assert page.locator("img[src=x]").count() == 0


def test_what_roles_say_and_change_is_text(tmp_path: Path, visit: Open) -> None:
    calls = [
        {"name": "checklist", "arguments": {"action": "set", "items": [ATTACK]}},
        {"name": "workspace_write", "arguments": {"path": "page.html", "content": f"{ATTACK}\n"}},
    ]
    ends = [
        {"name": "checklist", "arguments": {"action": "complete", "item": 1}},
        {"name": "done", "arguments": {"summary": ATTACK}},
    ]
    replies = [{"text": ATTACK, "calls": calls}, {"text": ATTACK, "calls": ends}]
    report = {"name": "report", "arguments": {"markdown": f"# {ATTACK}"}}
    script = {"conversations": [
        {"when": "# Do this:", "replies": replies}, {"when": "# Write the report", "replies": [{"calls": [report]}]},
    ]}  # fmt: skip
    (tmp_path / "script.yaml").write_text(json.dumps(script))
    repo = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", repo], check=True)
    name = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
    subprocess.run(["git", "-C", repo, *name, "commit", "-q", "--allow-empty", "-m", "empty"], check=True)
    settings = {
        "ATLAS_SERVE_REPOSITORIES": str(repo), "ATLAS_MODELS": "scripted/script.yaml", "ATLAS_SANDBOX": "host",
        "ATLAS_ALLOW_HOST": "true", "ANTHROPIC_API_KEY": "", "OPENAI_API_KEY": "",
    }  # fmt: skip
    with served(tmp_path / "served", cwd=tmp_path, **settings) as server, server.client() as client:
        write = {
            "id": "write", "role": "hephaestus", "prompt": ATTACK, "title": ATTACK, "touches": ["**"],
            "verify": [{"run": "test -e page.html"}],
        }  # fmt: skip
        run = submitted(client, plan(write, repo=str(repo)))
        assert ended(client, run)["state"] == "completed"
        with visit(server, f"/#/runs/{run}") as page:
            page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
            row(page, "write").get_by_role("link").click()
            panel = page.get_by_role("complementary")
            expect(page.get_by_label("checklist")).to_contain_text(ATTACK)
            for tab in ("Conversation", "Changes"):
                panel.get_by_role("tab", name=tab).click()
                expect(panel).to_contain_text(ATTACK)
            page.keyboard.press("Escape")
            page.get_by_role("tab", name="Report").click()
            expect(page.get_by_role("region", name="TODOs")).to_contain_text(ATTACK)
            assert page.locator("img[src=x]").count() == 0


def test_a_reader_sees_no_buttons(tmp_path: Path, chromium: Browser, said: list[str]) -> None:
    with served(tmp_path) as server, server.client() as client:
        run = submitted(client, plan({"id": "gate", "ask": "Go?", "choices": ["yes"]}))
        secret = server.new_token("reader", "read")
        with page_of(chromium, server.url, said.append) as page:
            page.goto("/")
            page.get_by_label("Token").fill("wrong")
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("alert")).to_contain_text("does not count")
            page.get_by_label("Token").fill(secret)
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_text("Your token may only look.")).to_be_visible()
            page.goto(f"/#/runs/{run}")
            expect(state_of_run(page)).to_be_visible()
            assert page.get_by_role("button", name="Cancel").count() == 0
            page.get_by_role("button", name="Log out").click()
            expect(page.get_by_label("Token")).to_be_visible()
            page.reload()
            expect(page.get_by_label("Token")).to_be_visible()


def test_a_thousand_todos(tmp_path: Path, visit: Open) -> None:
    todos = [{"id": f"t{n:04}", "run": "true", "needs": [f"t{n // 2:04}"] if n > 1 else []} for n in range(1000)]
    with served(tmp_path, "--no-worker") as server, server.client() as client:
        run = submitted(
            client,
            plan({"id": "gate", "ask": "Go?"}, *[{**each, "needs": each["needs"] or ["gate"]} for each in todos]),
        )
        with visit(server, f"/#/runs/{run}") as page:
            expect(page.get_by_role("tab", name="List (1001)")).to_be_visible()
            expect(row(page, "t0999")).to_have_count(1)
            page.get_by_role("tab", name="Graph").click()
            expect(page.locator(".graph a")).to_have_count(1001)
            page.get_by_role("tab", name="List (1001)").click()
            row(page, "t0500").get_by_role("link").click()
            expect(page.get_by_role("complementary")).to_contain_text("t0250")
            shot(page, "thousand")


def test_on_a_phone_and_in_the_dark(tmp_path: Path, visit: Open) -> None:
    with served(tmp_path) as server, server.client() as client:
        run = submitted(
            client,
            plan(
                {
                    "id": "a",
                    "run": "echo hello",
                    "title": "A title that is longer than the screen is wide, so it breaks",
                }
            ),
        )
        ended(client, run)
        small = {"width": 390, "height": 780}
        with visit(server, f"/#/runs/{run}", viewport=small, color_scheme="dark") as page:
            row(page, "a").get_by_role("link").click()
            expect(page.get_by_label("log", exact=True)).to_contain_text("hello")
            shot(page, "phone")
            wide: int = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 390
            page.get_by_role("link", name="close").click()
            shot(page, "phone-list")


def _violations(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found: list[dict[str, Any]] = page.evaluate("axe.run().then(found => found.violations)")
    return [
        f"{each['id']} ({each['impact']}): {[node['html'][:200] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(tmp_path: Path, visit: Open, axe: str, scheme: str) -> None:
    gate = {"id": "gate", "ask": "Go?", "choices": ["yes", "no"]}
    with served(tmp_path) as server, server.client() as client:
        run = submitted(
            client,
            plan({"id": "bad", "run": "echo x; exit 1"}, gate, {"id": "after", "run": "true", "needs": ["gate"]}),
        )
        ended(client, run, "awaiting_input", "failed", "blocked")
        with visit(server, color_scheme=scheme) as page:
            expect(page.get_by_role("table")).to_be_visible()
            assert _violations(page, axe) == []
            page.get_by_role("button", name="New run").click()
            assert _violations(page, axe) == []
            page.goto(f"/#/runs/{run}")
            row(page, "gate").get_by_role("link").click()
            expect(page.get_by_role("complementary")).to_contain_text("It waits")
            assert _violations(page, axe) == []
            row(page, "bad").get_by_role("link").click()
            for name in ("Evidence", "Attempts", "Log"):
                page.get_by_role("complementary").get_by_role("tab", name=name).click()
                page.wait_for_timeout(200)
                assert _violations(page, axe) == []
            page.get_by_role("tab", name="Graph").click()
            assert _violations(page, axe) == []
