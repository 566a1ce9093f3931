"""Talking in a real browser, over WebRTC, to a real `atlas serve`."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Playwright, expect

from tests.http.pages import said
from tests.http.server import served
from tests.services.browser import shot
from tests.voice.browsers import driver, events, levels, set_up, start, talking
from tests.voice.sounds import script, write_wav

pytestmark = pytest.mark.browser
__all__ = ["driver", "said"]
_RATE = 48_000


def recording(path: Path, *parts: str | float) -> Path:
    return write_wav(path / "microphone.wav", script(*parts, rate=_RATE), _RATE)


def test_a_question_is_heard_and_answered_aloud(tmp_path: Path, driver: Playwright, said: list[str]) -> None:
    sound = recording(tmp_path, 3.0, "atlas, what is the status?", 8.0)
    with served(tmp_path) as server, talking(driver, server, sound, said.append) as page:
        set_up(page)
        start(page)
        transcript = page.get_by_role("log")
        expect(transcript.locator(".you")).to_have_count(1)
        expect(transcript.locator(".atlas .text").first).to_contain_text("no runs")
        expect(transcript.locator(".latency")).to_have_count(1)
        expect(page.get_by_role("status")).to_contain_text("listens")
        shot(page, "voice-answered")
        assert {"hello", "wake", "turn", "intent", "saying"} <= {each["event"] for each in events(page)}
        assert max(level for _, level in levels(page)) > 0.02
