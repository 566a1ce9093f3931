"""This machine's microphone and loudspeaker, without any: devices of a test's own, and none at all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from state.errors import EngineUnavailable
from tests.acceptance.command_line import installation
from tests.voice.sounds import loudness, script
from voice.choices import Choices
from voice.chronicle import Chronicle, Entry
from voice.desk import Speaker
from voice.sessions import Means, Session
from voice.transports.local import PortAudio, local_ends


class Desk:
    """Devices: a microphone that hears `sound` and then silence, and a loudspeaker that keeps what it plays."""

    def __init__(self, sound: bytes) -> None:
        self.sound = sound
        self.played: list[bytes] = []
        self.closed: list[str] = []
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def microphone(self, rate: int, pieces: int, heard: Callable[[bytes], None]) -> Desk:
        size = 2 * pieces

        def speak() -> None:
            began, number = time.monotonic(), 0
            while not self._over.wait(max(0.0, began + number * pieces / rate - time.monotonic())):
                heard(self.sound[number * size : (number + 1) * size].ljust(size, b"\0"))
                number += 1

        self._thread = threading.Thread(target=speak)
        self._thread.start()
        return self

    def loudspeaker(self, rate: int, pieces: int) -> Desk:
        return self

    def write(self, data: bytes) -> None:
        self.played.append(data)
        time.sleep(len(data) / 48_000)

    def close(self) -> None:
        self.closed.append("closed")
        self._over.set()


async def test_a_question_is_heard_and_answered_aloud(means: Means) -> None:
    desk = Desk(script(1.0, *["atlas, what is the status?", 6.0] * 5))
    events: list[Entry] = []
    spoken = asyncio.Event()

    def told(happening: Entry) -> None:
        events.append(happening)
        if happening["event"] == "speech-stopped":
            spoken.set()

    session = Session(
        means, Speaker("me"), lambda outlet: local_ends(desk, outlet), choices=Choices(barge_in="wake_word"),
        observers=[Chronicle(told)],
    )  # fmt: skip
    running = asyncio.create_task(session.run())
    try:
        async with asyncio.timeout(40):
            await spoken.wait()
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert {each["intent"] for each in events if each["event"] == "intent"} == {"Status"}
    assert loudness(desk.played) > 0.02
    assert desk.closed == ["closed"] * 2


def test_without_a_sound_device_it_says_what_to_do(tmp_path: Path) -> None:
    try:
        PortAudio().microphone(16_000, 320, lambda _: None).close()
    except EngineUnavailable:
        pass
    else:
        pytest.skip("this machine has a microphone")
    with installation(tmp_path) as atlas:
        ended = atlas("voice", code=1)
        assert "sound devices can't be used" in ended.err or "there is no microphone" in ended.err
        assert "/voice" in ended.err
        assert atlas("voice", "--out", "x.wav", code=2)
