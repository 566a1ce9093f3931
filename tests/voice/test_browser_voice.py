"""Talking in a real browser, over WebRTC, to a real `atlas serve`."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright, expect

from tests.http.pages import plan, said
from tests.http.server import Server, ended, served, submitted
from tests.services.browser import shot
from tests.voice.browsers import arrived, ask, driver, events, levels, messages, say, set_up, start, talking, waited
from tests.voice.sounds import script, wav

pytestmark = pytest.mark.browser
__all__ = ["driver", "said"]
_RATE = 48_000
_AUDIBLE = 0.005


def test_a_question_is_heard_and_answered_aloud(tmp_path: Path, driver: Playwright, said: list[str]) -> None:
    file = tmp_path / "microphone.wav"
    file.write_bytes(wav(script(8.0, *["atlas, what is the status?", 8.0] * 4, rate=_RATE), _RATE))
    with served(tmp_path) as server, talking(driver, server, file, said.append) as page:
        warm(server)
        set_up(page)
        start(page)
        transcript = page.get_by_role("log")
        expect(transcript.locator(".you").first).to_be_visible()
        expect(transcript.locator(".atlas .text").first).to_contain_text("no runs")
        expect(transcript.locator(".latency").first).to_be_visible()
        expect(page.get_by_role("status")).to_contain_text("listens")
        shot(page, "voice-answered")
        assert {"hello", "wake", "turn", "intent", "saying"} <= {each["event"] for each in events(page)}
        assert max(level for _, level in levels(page)) > 0.02


@pytest.mark.parametrize("quick", [True, False], ids=["muted-here", "stopped-there"])
def test_an_answer_is_interrupted(tmp_path: Path, driver: Playwright, said: list[str], quick: bool) -> None:
    with (
        served(tmp_path, ATLAS_VOICE_CHIMES="false") as server,
        server.client() as client,
        talking(driver, server, None, said.append) as page,
    ):
        for name in ("the spring release", "the summer release", "the autumn release", "the winter release"):
            submitted(client, plan({"id": "gate", "ask": f"Shall {name} go out?"}, name=name))
        set_up(page, quick=quick)
        start(page)
        ask(page)
        begun = heard_for(page, 0.7)
        onset = say(page, "atlas, what is the status?")
        interrupted = waited(page, lambda: first(messages(page, "bot-interrupted"), onset), "it is interrupted")
        again = arrived(page, "turn", interrupted)["came"]
        silent = max(at for at, level in levels(page) if at < again and level > _AUDIBLE)
        assert silent > begun
        assert silent - interrupted < (500 if quick else 1_500), "ten times what it takes on an idle machine"
        expect(page.get_by_role("log").locator(".cut")).to_have_count(1)


def test_two_who_talk_do_not_hear_each_other(tmp_path: Path, driver: Playwright, said: list[str]) -> None:
    with (
        served(tmp_path) as server,
        talking(driver, server, None, said.append) as one,
        talking(driver, server, None, said.append, server.new_token("other", "operate")) as other,
    ):
        for page in (one, other):
            set_up(page)
            start(page)
        ask(one)
        expect(one.get_by_role("log").locator(".atlas").first).to_be_visible()
        arrived(one, "speech-stopped")
        assert max(level for _, level in levels(one)) > 0.02
        assert max(level for _, level in levels(other)) < _AUDIBLE
        assert {each["event"] for each in events(other)} == {"hello"}


def test_who_loses_the_connection_comes_back_and_hears_what_was_missed(
    tmp_path: Path, driver: Playwright, said: list[str]
) -> None:
    with served(tmp_path) as server, talking(driver, server, None, said.append) as page:
        set_up(page)
        start(page)
        status = page.get_by_role("status")
        with server.client() as client:
            run = submitted(client, plan({"id": "gate", "ask": "Go?", "choices": ["yes", "no"]}, name="release"))
        arrived(page, "speech-started")
        heard = arrived(page, "speech-stopped")["came"]
        server.running.kill()
        expect(status).to_contain_text("connection lost")
        server.start()
        with server.client() as client:
            client.post("/api/questions/gate/answer", json={"value": "yes"})
            ended(client, run)
        expect(status).to_contain_text("connected")
        hello, back = (each for each in events(page) if each["event"] == "hello")
        assert back["conversation"] == hello["conversation"]
        missed = arrived(page, "saying", max(heard, back["came"]))
        assert "release" in missed["text"]
        arrived(page, "speech-stopped", missed["came"])
        told = [each["text"] for each in events(page) if each["event"] == "saying" and each["came"] >= missed["came"]]
        assert len(told) == 1, told


def heard_for(page: Page, seconds: float) -> float:
    """Once something has been heard for so long; when it began (ms)."""
    begun = arrived(page, "speech-started")["came"]
    loud = waited(page, lambda: first([at for at, level in levels(page) if level > _AUDIBLE], begun), "it is heard")
    waited(page, lambda: first([at for at, _ in levels(page)], loud + 1_000 * seconds), "it goes on")
    return loud


def first(moments: list[float], after: float) -> float | None:
    return next((each for each in moments if each > after), None)


def warm(server: Server) -> None:
    """It has loaded what it hears and speaks by."""
    with server.client() as client:
        assert client.get("/voice/api/setup").status_code == 200
