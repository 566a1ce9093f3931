"""A Chromium whose microphone is a file, on the page for talking; what it hears is measured in the page."""

from __future__ import annotations

import os
import shutil
import time
from base64 import b64encode
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from playwright.sync_api import Page, Playwright, expect, sync_playwright

from tests.http.server import Server
from tests.services.availability import missing
from tests.voice.sounds import script, wav

T = TypeVar("T")
_RATE = 48_000
_TIMES, _ONCE_SECONDS = 6, 9.0
_LOUD = 600
_PATIENCE = 60_000
_NAMES = "chromium", "chromium-browser", "google-chrome"
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream", "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required", "--disable-features=WebRtcHideLocalIpsWithMdns",
)  # fmt: skip
_LISTENING = """() => {
  // What the page is sent, and how loud what it plays is, as it happens.
  window.heard = {messages: [], loud: []};
  const open = RTCPeerConnection.prototype.createDataChannel;
  RTCPeerConnection.prototype.createDataChannel = function (...given) {
    const channel = (heard.channel = open.apply(this, given));
    channel.addEventListener("message", ({data}) => heard.messages.push({at: performance.now(), ...JSON.parse(data)}));
    return channel;
  };
  const audible = (element) => {
    const context = new AudioContext(), analyser = context.createAnalyser();
    analyser.fftSize = 256;
    context.createMediaStreamSource(element.srcObject).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const look = () => {
      analyser.getFloatTimeDomainData(samples);
      const level = Math.sqrt(samples.reduce((sum, each) => sum + each * each, 0) / samples.length);
      heard.loud.push({at: performance.now(), level: level * element.volume});
    };
    setInterval(look, 5);
  };
  addEventListener("play", ({target}) => audible(target), true);
}"""


_MOUTH = """() => {
  // A microphone that hears what the test says, when it says it. `say` resolves with when that began.
  let context, out;
  const ready = () => {
    if (context) return;
    context = new AudioContext({sampleRate: 48000});
    out = context.createMediaStreamDestination();
  };
  navigator.mediaDevices.getUserMedia = async () => (ready(), (heard.microphone = out.stream.clone()));
  window.say = async (wav) => {
    const sound = await context.decodeAudioData(Uint8Array.from(atob(wav), (each) => each.charCodeAt(0)).buffer);
    const source = new AudioBufferSourceNode(context, {buffer: sound});
    source.connect(out);
    source.start();
    return performance.now();
  };
}"""


@pytest.fixture(scope="module")
def driver() -> Generator[Playwright]:
    """One for a module; see `tests.services.browser.chromium`."""
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        yield playwright


@contextmanager
def talking(
    driver: Playwright, server: Server, sound: Path | None, said: Callable[[str], None], token: str = "", **options: Any
) -> Generator[Page]:
    """The page for talking, logged in, in a browser of its own that has this file for a microphone: it is played once,
    from when the microphone is opened on, and then there is silence. Without a file: what `say` says."""
    found = os.environ.get("ATLAS_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        missing("no chromium: install it (Debian: apt install chromium), or set ATLAS_TEST_CHROMIUM")
    file = [f"--use-file-for-fake-audio-capture={sound}%noloop"] if sound else []
    browser = driver.chromium.launch(
        executable_path=found, args=[*_FLAGS, *file],
        ignore_default_args=["--mute-audio"],
    )  # fmt: skip
    try:
        context = browser.new_context(base_url=server.url, permissions=["microphone"], **options)
        context.add_init_script(f"({_LISTENING})()")
        if sound is None:
            context.add_init_script(f"({_MOUTH})()")
        page = context.new_page()
        page.set_default_timeout(_PATIENCE)
        page.on("pageerror", lambda error: said(f"error: {error}"))
        page.on("console", lambda message: said(f"{message.type}: {message.text}") if message.type == "error" else None)
        page.goto(f"/voice#token={token or server.token}")
        yield page
    finally:
        browser.close()


def set_up(page: Page, *, wake: bool = True, quick: bool = True) -> None:
    """Settings, as a person makes them; no echo is cancelled, since a synthetic voice is taken for one."""
    page.get_by_text("Settings").click()
    page.get_by_label("all the time" if wake else "while the button").check()
    page.get_by_label("I wear headphones").check()
    page.get_by_label("fall silent").set_checked(quick)


def start(page: Page) -> None:
    """Connected."""
    page.get_by_role("button", name="Start talking").click()
    expect(page.get_by_role("status")).to_contain_text("connected")


def say(page: Page, *parts: str | float) -> float:
    """Into the microphone, now; when its first sound was there (ms)."""
    sound = script(*parts, rate=_RATE)
    loud = np.flatnonzero(np.abs(np.frombuffer(sound, dtype="<i2").astype(np.int32)) > _LOUD)
    began: float = page.evaluate("wav => say(wav)", b64encode(wav(sound, _RATE)).decode())
    return began + 1_000 * float(loud[0]) / _RATE


def ask(page: Page, text: str = "atlas, what is the status?", intent: str = "Status") -> float:
    """Says it until it is understood, as people do: a wake word is missed now and then. When it began (ms)."""
    for _ in range(_TIMES):
        onset = say(page, text)
        deadline = time.monotonic() + _ONCE_SECONDS
        while time.monotonic() < deadline:
            if any(each.get("intent") == intent and each["came"] > onset for each in events(page)):
                return onset
            page.wait_for_timeout(50)
    raise AssertionError(f"not understood: {events(page)}")


def arrived(page: Page, name: str, after: float = 0.0) -> dict[str, Any]:
    """The first of these events that came after that moment (ms)."""

    def look() -> dict[str, Any] | None:
        return next((each for each in events(page) if each["event"] == name and each["came"] > after), None)

    return waited(page, look, name)


def waited(page: Page, condition: Callable[[], T | None], what: str) -> T:
    """Its first value that is true; the page goes on meanwhile."""
    deadline = time.monotonic() + _PATIENCE / 1_000
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: {events(page)}"
        page.wait_for_timeout(20)
    return value


def events(page: Page) -> list[dict[str, Any]]:
    """The server's own messages, with the time of the page at which each came (`came`, ms)."""
    found: list[dict[str, Any]] = page.evaluate("heard.messages")
    return [{**each["data"], "came": each["at"]} for each in found if each.get("type") == "server-message"]


def messages(page: Page, kind: str) -> list[float]:
    """When RTVI messages of this type came (ms)."""
    found: list[dict[str, Any]] = page.evaluate("heard.messages")
    return [each["at"] for each in found if each.get("type") == kind]


def levels(page: Page) -> list[tuple[float, float]]:
    """When (ms) it was how loud (root mean square)."""
    found: list[dict[str, float]] = page.evaluate("heard.loud")
    return [(each["at"], each["level"]) for each in found]
