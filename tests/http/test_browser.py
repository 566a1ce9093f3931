"""The dashboard in a real browser, on a real server: what people see and do, as it happens."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.http.server import PLAN, Server, ended, served, submitted
from tests.services.browser import page_of, shot

pytestmark = pytest.mark.browser
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fix-a-bug"
_AWAY = re.compile(r"Failed to load resource|net::ERR")
"""What Chromium says of an answer that is an error, and of a server that is away."""
Open = Callable[..., AbstractContextManager[Page]]


def plan(*todos: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {**PLAN, **keys, "todos": list(todos)}


@pytest.fixture
def said() -> Generator[list[str]]:
    """What the browser complained of: nothing, but of answers that are errors."""
    found: list[str] = []
    yield found
    assert [each for each in found if not _AWAY.search(each)] == []


@pytest.fixture
def visit(chromium: Browser, said: list[str]) -> Callable[[Server], AbstractContextManager[Page]]:
    """A page that has logged in, by the link that the server prints."""

    def visit(server: Server, path: str = "", **options: object) -> AbstractContextManager[Page]:
        opened = page_of(chromium, server.url, said.append, **options)
        return _logged_in(opened, server, path)

    return visit


class _logged_in(AbstractContextManager[Page]):
    def __init__(self, opened: AbstractContextManager[Page], server: Server, path: str) -> None:
        self._opened, self._server, self._path = opened, server, path

    def __enter__(self) -> Page:
        page = self._opened.__enter__()
        page.goto(f"/#token={self._server.token}")
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        assert self._server.token not in page.url
        if self._path:
            page.goto(self._path)
        return page

    def __exit__(self, *raised: Any) -> None:
        self._opened.__exit__(*raised)


def row(page: Page, key: str) -> Locator:
    """A TODO in the list."""
    return page.locator("ol.todos li").filter(has=page.locator(".key", has_text=re.compile(f"^{re.escape(key)}\\b")))


def state_of_run(page: Page) -> Locator:
    return page.locator("main .card .state").first


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


def test_a_question_goes_when_it_is_withdrawn(tmp_path: Path, visit: Open) -> None:
    with served(tmp_path) as server, server.client() as client:
        runs = [submitted(client, plan({"id": "gate", "ask": "Which one?"}, name=f"run {n}")) for n in range(2)]
        with visit(server) as page:
            question = page.get_by_role("region", name="question")
            expect(question).to_have_count(2)
            expect(question.first.get_by_role("link", name="gate")).to_be_visible()
            client.post(f"/api/runs/{runs[0]}/cancel")
            expect(question).to_have_count(1)
            page.goto(f"/#/runs/{runs[1]}")
            expect(question.get_by_role("button", name="Answer")).to_be_visible()
            page.on("dialog", lambda dialog: dialog.accept())
            page.get_by_role("button", name="Cancel").click()
            expect(question).to_have_count(0)
            expect(state_of_run(page)).to_have_text("⊘ cancelled by first")


def test_a_link_logs_in_where_atlas_is_shown_already(tmp_path: Path, chromium: Browser, said: list[str]) -> None:
    with served(tmp_path) as server, page_of(chromium, server.url, said.append) as page:
        secret = server.new_token("viewer", "read")
        page.goto("/")
        expect(page.get_by_label("Token")).to_be_focused()
        page.goto("/#token=wrong")
        expect(page.get_by_role("alert")).to_contain_text("does not count")
        page.goto(f"/#token={server.token}")
        expect(page.get_by_role("banner")).to_contain_text("first")
        expect(page.get_by_role("button", name="Start")).to_be_visible()
        page.goto(f"/#token={secret}")
        expect(page.get_by_role("banner")).to_contain_text("viewer (read only)")
        expect(page.get_by_role("button", name="Start")).to_have_count(0)
        assert page.url == f"{server.url}/#/"
        page.goto("/#token=wrong")
        expect(page.get_by_role("alert")).to_contain_text("does not count")
        expect(page.get_by_role("banner")).to_contain_text("viewer")


def test_the_lists_on_a_phone(tmp_path: Path, visit: Open) -> None:
    with served(tmp_path) as server, server.client() as client:
        name = "upgrade every dependency of the site"
        run = submitted(client, plan({"id": "done", "run": "true"}, {"id": "bad", "run": "echo why; false"}, name=name))
        ended(client, run)
        client.post(f"/api/runs/{submitted(client, plan({'id': 'q', 'ask': 'Go?'}))}/cancel")
        with visit(server, viewport={"width": 390, "height": 844}) as page:
            link = page.get_by_role("link", name=name)
            expect(link).to_be_visible()
            expect(page.locator("td .count").first).to_be_in_viewport(ratio=1)
            expect(page.locator("td time").first).to_be_in_viewport(ratio=1)
            assert _box(link)["height"] < 30, "the name is broken"
            assert page.evaluate("document.documentElement.scrollWidth") == 390
            shot(page, "phone-runs")
            link.click()
            key, time = _box(row(page, "bad").locator(".key")), _box(row(page, "bad").locator(".time"))
            assert time["x"] > 250
            assert abs(time["y"] - key["y"]) < key["height"] / 2
            expect(row(page, "bad").locator(".line")).to_contain_text("why")
            shot(page, "phone-todos")


def _box(found: Locator) -> Any:
    expect(found).to_be_visible()
    return found.bounding_box()


_BEHIND = """() => {
  const boxes = [...document.querySelectorAll(".graph rect")].map((rect) => rect.getBBox());
  const inside = ({x, y}) => boxes.some((box) =>
    x > box.x + 1 && x < box.x + box.width - 1 && y > box.y + 1 && y < box.y + box.height - 1);
  return [...document.querySelectorAll(".graph path")].filter((path) => {
    for (let at = 0; at < path.getTotalLength(); at += 2) if (inside(path.getPointAtLength(at))) return true;
  }).length;
}"""
"""How many edges run behind a TODO."""


def test_the_graph_shows_what_is_there(tmp_path: Path, visit: Open) -> None:
    def needing(key: str, *needs: str, run: str = "true") -> dict[str, Any]:
        return {"id": key, "run": run, "needs": list(needs)}

    todos = [
        needing("slow"), needing("quick"), needing("sure", "quick"), needing("ship", "sure"),
        needing("all", "slow", "ship"), needing("bad", run="false"), needing("never", "bad"),
        needing("last", "all", "bad", "quick"),
    ]  # fmt: skip
    with served(tmp_path) as server, server.client() as client:
        run = submitted(client, plan(*todos))
        ended(client, run)
        with visit(server, f"/#/runs/{run}") as page:
            mark = row(page, "bad").locator(".mark")
            colour: str = mark.evaluate("each => getComputedStyle(each).color")
            expect(row(page, "never").locator(".mark")).to_contain_text("↷")
            page.get_by_role("tab", name="Graph").click()
            expect(page.get_by_role("link", name="never: skipped").locator(".sign")).to_have_text("↷")
            expect(page.get_by_role("link", name="bad: failed").locator("rect")).to_have_css("stroke", colour)
            assert page.evaluate(_BEHIND) == 0
            shot(page, "graph")


def test_an_action_while_the_server_is_away(tmp_path: Path, visit: Open) -> None:
    with served(tmp_path) as server, server.client() as client:
        run = submitted(client, plan({"id": "q", "ask": "Go?"}))
        with visit(server, f"/#/runs/{run}") as page:
            expect(page.get_by_text("live", exact=True)).to_be_visible()
            server.running.kill()
            expect(page.get_by_text("no connection")).to_be_visible()
            page.get_by_role("button", name="Hold").click()
            expect(page.get_by_role("alert")).to_contain_text("Nothing was done")
            shot(page, "away")
            server.start()
            expect(page.get_by_text("live", exact=True)).to_be_visible()
            page.get_by_role("button", name="Hold").click()
            expect(state_of_run(page)).to_have_text("‖ held by first")
            expect(page.get_by_role("alert")).to_have_count(0)


def test_a_start_whose_answer_was_lost_is_one_run(tmp_path: Path, visit: Open) -> None:
    with served(tmp_path) as server, server.client() as client, visit(server) as page:

        def lose(route: Route) -> None:
            assert route.fetch().status == 201
            route.abort()

        page.get_by_role("tab", name="A plan").click()
        page.get_by_label("plan.yaml").fill("{atlas: 1, name: once, sandbox: host, todos: [{id: a, run: 'true'}]}")
        page.route("**/api/runs", lose)
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("alert")).to_contain_text("try again")
        page.unroute("**/api/runs")
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("heading", name="once")).to_be_visible()
        assert len(client.get("/api/runs").json()["runs"]) == 1


def test_a_gate_tells_what_it_asks_and_was_told(tmp_path: Path, visit: Open) -> None:
    gate = {"id": "gate", "ask": "Ship it?", "choices": ["ship", "wait"]}
    after = {"id": "later", "ask": "Really?", "needs": ["gate"]}
    with served(tmp_path) as server, server.client() as client:
        run = submitted(client, plan(gate, after))
        with visit(server, f"/#/runs/{run}") as page:
            expect(row(page, "gate").locator(".line")).to_have_text("Ship it?")
            expect(row(page, "gate").locator(".time")).to_have_text("")
            row(page, "later").get_by_role("link").click()
            panel = page.get_by_role("complementary")
            expect(panel).to_contain_text("It has not been asked.")
            row(page, "gate").get_by_role("link").click()
            expect(panel).to_contain_text("Ship it?")
            expect(panel).to_contain_text("It waits for an answer.")
            expect(panel.get_by_role("tab")).to_have_count(0)
            shot(page, "gate")
            panel.get_by_role("button", name="ship", exact=True).click()
            expect(panel.get_by_role("region", name="answer")).to_contain_text("Answered ship, by first, ")
            expect(panel.get_by_role("region", name="answer")).to_contain_text("choices: ship, wait")
            expect(panel.locator("time")).to_be_visible()
            expect(row(page, "gate").locator(".line")).to_have_text("ship (first)")
            shot(page, "gate-answered")
            page.reload()
            expect(row(page, "gate").locator(".line")).to_have_text("ship (first)")
            expect(row(page, "later").locator(".line")).to_have_text("Really?")


def test_who_uses_the_keyboard_goes_on_where_they_were(tmp_path: Path, visit: Open) -> None:
    document = (
        "atlas: 1\nname: keys\nsandbox: host\ntodos:\n"
        "  - {id: one, ask: 'One?', choices: [a]}\n  - {id: two, ask: 'Two?', choices: [b]}\n"
        "  - {id: bad, run: 'false'}\n"
    )
    with served(tmp_path) as server, server.client() as client:
        submitted(client)
        with visit(server) as page:
            page.get_by_role("button", name="New run").press("Enter")
            expect(page.get_by_label("What is to be achieved")).to_be_focused()
            page.get_by_role("tab", name="A plan").press("Enter")
            expect(page.get_by_label("ask me before")).to_have_count(0)
            assert _box(page.get_by_label("plan.yaml"))["height"] > 300
            page.get_by_label("plan.yaml").fill(document)
            shot(page, "new-plan")
            page.get_by_role("button", name="Start").press("Enter")
            heading, question = page.get_by_role("heading", level=1), page.get_by_role("region", name="question")
            expect(heading).to_have_text("keys")
            expect(heading).to_be_focused()
            page.get_by_role("button", name="a", exact=True).press("Enter")
            expect(question.filter(has_text="Two?")).to_be_focused()
            page.get_by_role("button", name="b", exact=True).press("Enter")
            expect(heading).to_be_focused()
            row(page, "bad").get_by_role("link").press("Enter")
            panel = page.get_by_role("complementary")
            expect(panel).to_be_focused()
            expect(state_of_run(page)).to_contain_text("failed")
            panel.get_by_role("button", name="Retry").press("Enter")
            expect(panel).to_be_focused()
            page.keyboard.press("Escape")
            expect(panel).to_have_count(0)
            expect(row(page, "bad").get_by_role("link")).to_be_focused()


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
