"""The dashboard in a real browser, on a real server: what newcomers found wrong, each by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Route, expect

from tests.http.pages import Open, plan, row, state_of_run
from tests.http.server import ended, served, submitted
from tests.services.browser import page_of, shot

pytestmark = pytest.mark.browser


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
