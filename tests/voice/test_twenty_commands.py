"""Twenty commands, said with the wake word, to the whole pipeline and a real house with a worker: what each is taken
for, that each is answered aloud, and what came of them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator import asking
from orchestrator.cli.compose import House
from tests.services.speech import VOICES
from tests.voice.corpus import COMMANDS
from tests.voice.room import Record, Room, room
from voice.desk import Speaker
from voice.intents import Approve, Cancel, StartGoal, StartPlan
from voice.sessions import Means

ATLAS = str(Path(sys.executable).with_name("atlas"))
GRAVE = (Cancel, Approve, StartGoal, StartPlan)
PARSER = """
atlas: 1
name: parser
sandbox: host
todos:
  - {id: look, run: "echo looked"}
  - {id: which, ask: "Which of the five", choices: [one, two, three, four, five], needs: [look]}
"""
NIGHTLY = """
atlas: 1
name: nightly
sandbox: host
todos:
  - {id: build, run: "echo built"}
  - {id: hold, ask: "Ship it", choices: ["yes", "no"], needs: [build]}
"""
LONGEST = 4.0
"""Seconds from the end of a command to what it was taken for; half of one is the aim."""


@asynccontextmanager
async def at_work(house: House) -> AsyncGenerator[None]:
    """With a worker beside it."""
    environ = os.environ | {"ATLAS_HOME": str(house.settings.home)}
    worker = await asyncio.create_subprocess_exec(ATLAS, "worker", env=environ, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield
    finally:
        worker.terminate()
        await asyncio.wait_for(worker.wait(), 60)


async def commanded(there: Room, text: str, **how: Any) -> dict[str, Any] | None:
    """What "Atlas, …" was taken for; None: the wake word was missed, twice."""
    for _ in range(2):
        said = await there.speak(f"Atlas, {text}", **how)
        with suppress(AssertionError):
            taken = await there.until("intent", after=said.onset, seconds=LONGEST)
            await there.until("saying" if taken["intent"] != "Quiet" else "intent", after=said.onset)
            return taken
    return None


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("snr", [None, 20])
@pytest.mark.parametrize("voice", VOICES)
async def test_all_of_them(
    home: House, means: Means, tmp_path: Path, voice: str, snr: float | None, record_property: Record
) -> None:
    await check(home, means, tmp_path, voice, snr, record_property)


@pytest.mark.timeout(400)
async def test_one_voice(home: House, means: Means, tmp_path: Path, record_property: Record) -> None:
    await check(home, means, tmp_path, "en-us", 20, record_property)


async def check(house: House, means: Means, directory: Path, voice: str, snr: float | None, record: Record) -> None:
    nightly = directory / "nightly.yaml"
    nightly.write_text(NIGHTLY)
    taken: dict[str, dict[str, Any] | None] = {}
    tried: dict[str, list[dict[str, Any]]] = {}
    async with at_work(house), room(means, Speaker("tester", plans={"nightly": nightly, "release": nightly})) as there:
        await house.service.submit(asking.plan_of(PARSER), None, by="somebody")
        await there.until("saying", where=lambda each: each["kind"] == "question", seconds=30)
        for text in COMMANDS:
            asked = time.monotonic()
            taken[text] = await commanded(there, text, voice=voice, snr=snr, noise="pink")
            tried[text] = [each for each in there.happened if each["when"] > asked]
            await asyncio.sleep(0.3)
        runs = {run.name: run.state for run in await house.service.runs()}
        spoken = [each for each in there.loudspeaker.written if each.level > 1_000]
        said = there.of("saying")
    wanted = {text: type(intent).__name__ for text, intent in COMMANDS.items()}
    got = {text: each["intent"] if each else None for text, each in taken.items()}
    wrong = {text: got[text] for text in COMMANDS if got[text] != wanted[text]}
    record("trial", f"{voice}, {snr} dB: {len(COMMANDS) - len(wrong)} of {len(COMMANDS)} right; {wrong}; {runs}")
    told = "\n".join(f"{text}\n  " + "\n  ".join(map(str, tried[text])) for text in wrong)
    names = {grave.__name__ for grave in GRAVE}
    assert not {text for text, intent in wrong.items() if intent in names}, told
    assert len(wrong) <= 3, told
    assert len(said) >= len(COMMANDS) - len(wrong) - 1  # "be quiet" is answered by silence
    assert len(spoken) > 50 * len(said) / 4  # a quarter of a second of each, at least, was heard
    assert "nightly" in runs or runs["parser"] == "cancelled"  # who is not sure asks first
