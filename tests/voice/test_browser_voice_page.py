"""The page for talking, as people see and use it, in a real browser."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from playwright.sync_api import Page, Playwright, expect

from tests.http.pages import plan, said
from tests.http.server import Server, served, submitted
from tests.services.browser import shot
from tests.voice.browsers import arrived, ask, driver, events, say, set_up, start, talking

pytestmark = pytest.mark.browser
__all__ = ["driver", "said"]
_DENIED = """() => {
  navigator.mediaDevices.getUserMedia = async () => {
    throw new DOMException("Permission denied", "NotAllowedError");
  };
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


def test_it_is_led_to_from_the_dashboard(server: Server, driver: Playwright, said: list[str]) -> None:
    with talking(driver, server, None, said.append) as page:
        expect(page.get_by_role("button", name="Start talking")).to_be_visible()
        assert server.token not in page.url
        page.goto("/")
        page.get_by_role("link", name="Talk").click()
        expect(page.get_by_role("heading", name="Talk")).to_be_visible()
        page.get_by_role("link", name="Atlas").click()
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()


def test_a_microphone_that_is_refused(server: Server, driver: Playwright, said: list[str]) -> None:
    with talking(driver, server, None, said.append) as page:
        page.evaluate(_DENIED)
        page.get_by_role("button", name="Start talking").click()
        expect(page.get_by_role("alert")).to_contain_text("The microphone was refused")
        expect(page.get_by_role("alert")).to_contain_text("Allow it")
        expect(page.get_by_role("button", name="Start talking")).to_be_enabled()
        shot(page, "voice-refused")


def test_the_button_is_held_to_talk(server: Server, driver: Playwright, said: list[str]) -> None:
    with talking(driver, server, None, said.append) as page:
        set_up(page, wake=False)
        start(page)
        say(page, "atlas, what is the status?")
        button = page.get_by_role("button", name="Hold to talk")
        expect(button).to_have_attribute("aria-pressed", "false")
        button.focus()
        page.keyboard.down(" ")
        expect(page.get_by_role("button", name="Listening")).to_have_attribute("aria-pressed", "true")
        assert arrived(page, "wake")["by"] == "button"
        assert [each["event"] for each in events(page)].count("wake") == 1, "it was heard while the button was up"
        say(page, "what is the status?")
        arrived(page, "turn")
        page.keyboard.up(" ")
        expect(page.get_by_role("button", name="Hold to")).to_have_attribute("aria-pressed", "false")
        expect(page.get_by_role("log").locator(".atlas").first).to_be_visible()  # whatever it took it for
        page.get_by_role("button", name="Mute").click()
        expect(page.get_by_role("button", name="Microphone is off")).to_have_attribute("aria-pressed", "true")
        page.get_by_role("button", name="Microphone is off").click()
        page.get_by_role("button", name="End").click()
        expect(page.get_by_role("status")).to_have_text("not connected")
        expect(page.get_by_role("button", name="Start talking")).to_be_enabled()


def test_news_of_runs_are_shown(server: Server, driver: Playwright, said: list[str]) -> None:
    with server.client() as client, talking(driver, server, None, said.append) as page:
        set_up(page)
        start(page)
        run = submitted(client, plan({"id": "gate", "ask": "Shall it go out?"}, name="the release"))
        news = page.get_by_role("log").locator(".progress").filter(has_text="Shall it go out?")
        expect(news).to_have_count(1)
        expect(news.get_by_role("link")).to_have_attribute("href", f"/#/runs/{run}")
        client.post(f"/api/runs/{run}/cancel")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(server: Server, driver: Playwright, said: list[str], axe: str, scheme: str) -> None:
    with talking(driver, server, None, said.append, color_scheme=scheme) as page:
        expect(page.get_by_role("button", name="Start talking")).to_be_visible()
        assert violations(page, axe) == []
        set_up(page)
        start(page)
        ask(page)
        expect(page.get_by_role("log").locator(".atlas").first).to_be_visible()
        assert violations(page, axe) == []
        shot(page, f"voice-{scheme}")


def test_on_a_phone(server: Server, driver: Playwright, said: list[str]) -> None:
    small = {"width": 360, "height": 740}
    with talking(driver, server, None, said.append, viewport=small, color_scheme="dark") as page:
        set_up(page)
        start(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= small["width"]
        shot(page, "voice-phone")


def violations(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found: list[dict[str, Any]] = page.evaluate("axe.run().then(found => found.violations)")
    return [
        f"{each['id']} ({each['impact']}): {[node['html'][:200] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
