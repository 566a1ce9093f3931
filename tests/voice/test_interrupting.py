"""Somebody speaks while Atlas does."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest
from pipecat.frames.frames import InterruptionFrame

from tests.services.speech import VOICES
from tests.voice.room import Record, Room, room
from voice.saying import Saying
from voice.sessions import Means

LONG = (
    "This is a rather long report about what is going on at the moment. It has several sentences, so that somebody"
    " has the time to speak in between. The third sentence goes on for a while as well. And here is a fourth one."
)


async def talkative(there: Room) -> float:
    """Atlas speaks; returns when it has been heard for a while."""
    asked = time.monotonic()
    there.session.say(Saying(LONG, "answer"))
    began = await there.until("speech-started", after=asked)
    await asyncio.sleep(1.0)
    return float(began["when"])


async def woken(there: Room) -> dict[str, Any]:
    """Somebody says the wake word until it is heard: it is missed now and then."""
    for _ in range(6):
        asked = time.monotonic()
        await there.speak("Atlas")
        with suppress(AssertionError):
            return await there.until("wake", after=asked, seconds=3)
    raise AssertionError("the wake word was not heard")


async def test_the_wake_word_stops_speech_at_once(means: Means) -> None:
    async with room(means) as there:
        began = await talkative(there)
        wake = await woken(there)
        await there.until("speech-stopped", after=began)
        await asyncio.sleep(0.5)
        heard = there.loudspeaker.last_heard(wake["when"])
        assert heard is None or heard.at - wake["when"] < 0.2
        assert there.session.outlet_gain == 0.0


async def test_somebody_who_goes_on_speaking_stops_it(means: Means) -> None:
    async with room(means) as there:
        began = await talkative(there)
        said = await there.speak("wait a moment please I want to say something different now")
        await there.until("onset", after=began)
        over = await there.until("onset-over", after=began)
        assert over["confirmed"]
        assert over["when"] - said.onset < 2.0
        stopped = await there.until("speech-stopped", after=began)
        assert stopped["when"] - over["when"] < 0.5


async def test_what_was_no_interruption_after_all_goes_on_where_it_was(means: Means) -> None:
    async with room(means) as there:
        began = await talkative(there)
        await there.speak("the weather is very nice today and the birds are singing")
        cut = await there.until("interrupted", after=began)
        again = await there.until("saying", after=cut["when"], seconds=15)
        assert again["text"] == LONG.split(". ", maxsplit=1)[0] + "."
        assert there.happened[-1]["event"] != "error"


@pytest.mark.parametrize("words", ["mm", "okay", "right", "uh huh"])
async def test_a_backchannel_does_not(means: Means, words: str) -> None:
    async with room(means) as there:
        began = await talkative(there)
        await there.speak(words)
        over = await there.until("onset-over", after=began, seconds=5)
        assert not over["confirmed"]
        assert not there.of("interrupted")
        await asyncio.sleep(0.5)
        assert not there.of("speech-stopped")
        assert there.session.outlet_gain == 1.0


BACKCHANNELS = [(words, voice) for words in ("mm", "ok", "right") for voice in VOICES] + [
    (words, voice) for words in ("嗯", "对") for voice in ("cmn", "cmn+f3", "cmn+m5", "cmn+f2")
]
INTERRUPTIONS = [
    (words, voice)
    for voice, several in zip(
        VOICES,
        (
            ("wait a moment please", "hold on a second", "no no that is wrong", "excuse me please", "stop talking"),
            ("what is the status", "actually I have a question", "that's enough thank you", "be quiet", "listen to me"),
            ("can I say something", "let me interrupt you there", "that is not right", "okay but wait", "stop it now"),
            ("hang on hang on", "what was that again", "I don't want this", "say that again", "sorry what do you mean"),
        ),
        strict=True,
    )
    for words in several
]


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_twenty_backchannels(means: Means, record_property: Record) -> None:
    """At most one of them stops it, and it goes on as loud as before."""
    async with room(means) as there:
        stopped = [words for words, voice in BACKCHANNELS if await interrupts(there, words, voice)]
        record_property("trial", f"backchannels that stopped it: {len(stopped)} of {len(BACKCHANNELS)} {stopped}")
        assert len(BACKCHANNELS) == 20
        assert len(stopped) <= 1, stopped


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_twenty_interruptions(means: Means, record_property: Record) -> None:
    """At least nineteen of them stop it."""
    async with room(means) as there:
        missed = [words for words, voice in INTERRUPTIONS if not await interrupts(there, words, voice)]
        record_property("trial", f"interruptions that did not stop it: {len(missed)} of {len(INTERRUPTIONS)} {missed}")
        assert len(INTERRUPTIONS) == 20
        assert len(missed) <= 1, missed


async def interrupts(there: Room, words: str, voice: str) -> bool:
    """Whether speech falls silent when this is said over it; if not, it has gone on as before."""
    there.session.hush()
    await there.session.talk.worker.queue_frame(InterruptionFrame())
    await asyncio.sleep(0.5)  # what was said of the last one is over
    began = await talkative(there)
    said = await there.speak(words, voice=voice)
    with suppress(AssertionError):  # it was not even noticed
        over = await there.until("onset-over", after=began, seconds=3)
        if over["confirmed"]:
            await there.until("speech-stopped", after=began)
            await there.until("turn", after=said.onset)
            return True
    assert not there.of("speech-stopped", after=began)
    assert there.session.outlet_gain == 1.0
    return False
