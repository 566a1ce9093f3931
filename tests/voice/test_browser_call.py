"""What the page for talking does when a call does not go as it should, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Generator

import pytest
from playwright.sync_api import Page, Playwright, Route, expect

from tests.http.pages import said
from tests.http.server import Server, served
from tests.voice.browsers import driver, set_up, start, talking, waited

pytestmark = pytest.mark.browser
__all__ = ["driver", "said"]
_OFFER = "**/voice/api/offer"
_NO_WAY = """() => {
  const Real = RTCPeerConnection;
  window.RTCPeerConnection = function (config) { return new Real({...config, iceTransportPolicy: "relay"}); };
  window.RTCPeerConnection.prototype = Real.prototype;
  const later = setTimeout;
  window.setTimeout = (act, ms, ...given) => later(act, ms / 20, ...given);
}"""
_SHY = """async () => {
  const {Ducking} = await import("/voice/static/ducking.js");
  const volumes = [], ears = {now: -70, level: () => ears.now};
  const duck = new Ducking(ears, (part) => volumes.push(part));
  clearInterval(duck.timer);
  let now = 0;
  const hear = (level, ms) => {
    ears.now = level;
    for (const end = now + ms; now < end; now += 10) duck.look(now);
    return volumes.at(-1);
  };
  const told = (type, event) => (duck.take(type, event, now), volumes.at(-1));
  return {EXPRESSION};
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


def test_it_is_ended_while_it_connects(server: Server, driver: Playwright, said: list[str]) -> None:
    with talking(driver, server, None, said.append) as page:
        offers: list[Route] = []

        def keep(route: Route) -> None:
            offers.append(route)

        page.route(_OFFER, keep)
        page.get_by_role("button", name="Start talking").click()
        expect(page.get_by_role("status")).to_contain_text("connecting")
        waited(page, lambda: offers or None, "it is offered")
        page.get_by_role("button", name="End").click()
        expect(page.get_by_role("status")).to_have_text("not connected")
        offers[0].continue_()
        page.wait_for_timeout(1_000)
        expect(page.get_by_role("status")).to_have_text("not connected")
        page.unroute(_OFFER)
        start(page)
        assert len(offers) == 1


def test_a_proxy_that_has_no_server_is_asked_again(server: Server, driver: Playwright, said: list[str]) -> None:
    with talking(driver, server, None, said.append) as page:
        asked: list[str] = []

        def answer(route: Route) -> None:
            asked.append(route.request.method)
            if len(asked) <= 2:
                route.fulfill(status=502, content_type="text/html", body="<h1>Bad Gateway</h1>")
            else:
                route.continue_()

        page.route(_OFFER, answer)
        page.get_by_role("button", name="Start talking").click()
        expect(page.get_by_role("status")).to_contain_text("connection lost")
        expect(page.get_by_role("status")).to_contain_text("connected,")
        assert asked.count("POST") == 3
        said.clear()  # the browser tells of each 502


def test_a_refusal_is_the_end_and_told(server: Server, driver: Playwright, said: list[str]) -> None:
    with talking(driver, server, None, said.append) as page:
        refused = json.dumps({"code": "forbidden", "detail": "Nobody may talk today", "hint": "Come back tomorrow."})
        page.route(_OFFER, lambda route: route.fulfill(status=403, content_type="application/json", body=refused))
        page.get_by_role("button", name="Start talking").click()
        expect(page.get_by_role("alert")).to_contain_text("Nobody may talk today")
        expect(page.get_by_role("status")).to_have_text("not connected")
        expect(page.get_by_role("button", name="Start talking")).to_be_enabled()
        said.clear()


def test_no_way_for_sound_is_told(server: Server, driver: Playwright, said: list[str]) -> None:
    with talking(driver, server, None, said.append) as page:
        page.evaluate(_NO_WAY)
        page.get_by_role("button", name="Start talking").click()
        expect(page.get_by_role("alert")).to_contain_text("There is no way for sound to the server")
        expect(page.get_by_role("alert")).to_contain_text("UDP")
        page.get_by_role("button", name="End").click()
        expect(page.get_by_role("status")).to_have_text("not connected")


def test_a_held_button_does_not_outlive_the_connection(server: Server, driver: Playwright, said: list[str]) -> None:
    with talking(driver, server, None, said.append) as page:
        set_up(page, wake=False)
        start(page)
        page.get_by_role("button", name="Hold to talk").focus()
        page.keyboard.down(" ")
        expect(page.get_by_role("button", name="Listening")).to_have_attribute("aria-pressed", "true")
        waited(page, lambda: open_microphone(page) or None, "the microphone is open")
        page.evaluate("heard.channel.close()")
        expect(page.get_by_role("status")).to_contain_text("connected, hold the button")
        expect(page.get_by_role("button", name="Hold to talk")).to_have_attribute("aria-pressed", "false")
        assert not open_microphone(page)


def test_the_keyboard_stays_where_the_button_was(server: Server, driver: Playwright, said: list[str]) -> None:
    with talking(driver, server, None, said.append) as page:
        page.get_by_role("button", name="Start talking").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Hold to talk")).to_be_focused()
        page.get_by_role("button", name="End").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Start talking")).to_be_focused()


def test_who_reads_back_is_not_pulled_down(server: Server, driver: Playwright, said: list[str]) -> None:
    with talking(driver, server, None, said.append) as page:
        set_up(page)
        start(page)
        shown = page.get_by_role("log")
        at_the_end = "list => list.scrollTop > 0 && list.scrollHeight - list.scrollTop - list.clientHeight < 5"
        for number in range(60):
            tell(page, f"sentence {number}")
        waited(page, lambda: shown.evaluate(at_the_end) or None, "it follows")
        shown.evaluate("list => { list.scrollTop = 100; }")
        page.wait_for_timeout(100)
        tell(page, "a new one")
        expect(shown.get_by_text("a new one")).to_have_count(1)
        assert shown.evaluate("list => list.scrollTop") == 100
        shown.evaluate("list => { list.scrollTop = 1e6; }")
        page.wait_for_timeout(100)
        tell(page, "the newest one")
        waited(page, lambda: shown.evaluate(at_the_end) or None, "it follows again")


@pytest.mark.parametrize(
    ("expression", "volumes"),
    [
        ("[hear(-20, 500), told('bot-started-speaking'), hear(-70, 100), hear(-20, 60)]", [None, 1, 1, 0.25]),
        ("[told('bot-started-speaking'), hear(-20, 20), hear(-70, 20), hear(-20, 20)]", [1, 1, 1, 1]),
        ("[told('bot-started-speaking'), hear(-20, 60), hear(-20, 500), hear(-70, 100)]", [1, 0.25, 0.25, 1]),
        ("[told('bot-started-speaking'), hear(-42, 60), hear(-70, 700), hear(-42, 60), hear(-25, 60)]",
         [1, 0.25, 1, 1, 0.25]),
        ("[told('bot-started-speaking'), hear(-20, 60), told('server-message', 'onset'), hear(-70, 5000),"
         " told('server-message', 'onset-over')]", [1, 0.25, 0.25, 0.25, 1]),
        ("[told('bot-started-speaking'), told('server-message', 'onset'), told('bot-interrupted'), hear(-70, 500),"
         " hear(-70, 200)]", [1, 0.25, 0.25, 0.25, 1]),
        ("[told('server-message', 'onset'), hear(-20, 500)]", [None, None]),
    ],
    ids=["voice", "clicks", "no voice for the server", "more is needed then", "until it is over", "stopped", "silent"],
)  # fmt: skip
def test_what_is_played_is_quieter_while_somebody_speaks(
    server: Server, driver: Playwright, said: list[str], expression: str, volumes: list[float | None]
) -> None:
    with talking(driver, server, None, said.append) as page:
        assert page.evaluate(_SHY.replace("{EXPRESSION}", expression)) == volumes


def open_microphone(page: Page) -> bool:
    return bool(page.evaluate("heard.microphone.getAudioTracks()[0].enabled"))


def tell(page: Page, text: str) -> None:
    """As if the server had said so."""
    message = {"label": "rtvi-ai", "type": "server-message", "data": {"event": "saying", "text": text, "kind": "reply"}}
    page.evaluate("text => heard.channel.onmessage({data: text})", json.dumps(message))
