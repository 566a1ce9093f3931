"""One round of `voice`; options: `subject`, `busy` (1: the loop is held for 50 ms, ten times a second), `trials`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measuring import Round, in_round, percentile, report

if TYPE_CHECKING:
    from tests.voice.room import Room
    from voice.engines.selection import ChosenEngines

INTERRUPTING = (
    "wait a moment that is not what I wanted to hear", "no please tell me about the other one instead",
    "hold on I think that there is something wrong here", "let me say something about that right now",
    "this is going in the wrong direction I would say",
)  # fmt: skip
VOICES = ("en-us", "en-gb", "en-us+f3", "en-gb-x-rp+m5")
ASIDE = "atlas, besides speech"
_HOLD_SECONDS = 0.05
_WAIT_SECONDS = 4.0
_AFTER_SECONDS = 0.4
"""What is heard later is something else that is said."""


class Atlas:
    """Our pipeline, with the service on SQLite: what was found so far, in seconds."""

    def __init__(self, trials: int) -> None:
        self.trials = trials
        self.found: dict[str, list[float]] = {
            "duck": [], "confirmed": [], "silence": [], "wake": [], "receipt": []
        }  # fmt: skip

    async def measure(self, home: Path) -> Round:
        """All of it."""
        os.environ["ATLAS_HOME"] = str(home)
        from orchestrator.cli.compose import house
        from tests.voice.room import room
        from voice.choices import Choices
        from voice.sessions import Means

        async with house() as opened, _engines() as engines:
            means = Means(opened.service, opened.store, engines, Choices(awake=0.5))
            async with room(means) as there:
                for trial in range(self.trials):
                    await self._interrupted(there, trial)
                for trial in range(self.trials):
                    await self._woken(there, trial)
            means = Means(opened.service, opened.store, engines, Choices(wake="always"))
            async with room(means) as there:
                for trial in range(self.trials):
                    await self._asked(there, trial)
        counts = {"trials": self.trials, "stopped": len(self.found["silence"]), "woken": len(self.found["wake"])}
        return counts | _figures(self.found)

    async def _interrupted(self, there: Room, trial: int) -> None:
        asked = await self._speaking(there)
        said = await there.speak(INTERRUPTING[trial % 5], voice=VOICES[trial % 4], pad=0.05)
        with contextlib.suppress(AssertionError):
            cut = await there.until("interrupted", after=asked, seconds=_WAIT_SECONDS)
            await asyncio.sleep(0.3)
            quieter = there.loudspeaker.ducked(said.onset)
            last = there.loudspeaker.last_heard(said.onset, cut["when"] + _AFTER_SECONDS)
            if quieter is not None and last is not None:
                self.found["duck"].append(quieter.at - said.onset)
                self.found["confirmed"].append(cut["when"] - said.onset)
                self.found["silence"].append(max(0.0, last.at - cut["when"]))
        await self._quiet(there)

    async def _woken(self, there: Room, trial: int) -> None:
        asked = await self._speaking(there)
        said = await there.speak("Atlas", voice=VOICES[trial % 4], pad=0.05)
        with contextlib.suppress(AssertionError):
            woken = await there.until("wake", after=asked, seconds=1.0)
            await asyncio.sleep(0.3)
            last = there.loudspeaker.last_heard(asked, woken["when"] + _AFTER_SECONDS)
            if last is not None:
                self.found["wake"].append(max(0.0, last.at + last.seconds - said.end))
        await self._quiet(there)

    async def _asked(self, there: Room, trial: int) -> None:
        asked = time.monotonic()
        said = await there.speak("what is the status", voice=VOICES[trial % 4], pad=0.05)
        with contextlib.suppress(AssertionError):
            await there.until("speech-started", after=asked, seconds=_WAIT_SECONDS)
            await asyncio.sleep(0.2)
            if (first := there.loudspeaker.first_heard(said.end)) is not None:
                self.found["receipt"].append(first.at - said.end)
        await self._quiet(there)

    async def _speaking(self, there: Room) -> float:
        from voice.saying import Saying

        there.session.say(Saying(LONG, "answer"))
        await there.until("speech-started", after=time.monotonic())
        await asyncio.sleep(0.7)
        return time.monotonic()

    async def _quiet(self, there: Room) -> None:
        from voice.headless import quiet

        there.session.hush()
        await quiet(lambda: there.session.busy, 0.5, asyncio.get_running_loop().time() + 10)


async def stock(trials: int) -> Round:
    """Pipecat as its documentation puts it together: default voice detection, default turns, the same engines."""
    from benchmarks.voice_stock import StockRoom, stock_room

    confirmed: list[float] = []
    silence: list[float] = []
    receipts: list[float] = []

    async def trial_(there: StockRoom, trial: int) -> None:
        await there.say(LONG)
        asked = time.monotonic()
        said = await there.speak(INTERRUPTING[trial % 5], VOICES[trial % 4])
        cut = await there.interrupted(asked, _WAIT_SECONDS)
        await asyncio.sleep(0.3)
        last = there.loudspeaker.last_heard(said.onset, (cut or 0.0) + _AFTER_SECONDS)
        if cut is not None and last is not None:
            confirmed.append(cut - said.onset)
            silence.append(max(0.0, last.at - cut))
        await there.quiet()

    async with stock_room() as there:
        for trial in range(trials):
            await trial_(there, trial)
        for trial in range(trials):
            said = await there.speak("what is the status", VOICES[trial % 4])
            first = await there.first_heard(said.end, _WAIT_SECONDS)
            if first is not None:
                receipts.append(first - said.end)
            await there.quiet()
    found: dict[str, float] = {"trials": trials, "stopped": len(silence)}
    return found | _figures({"confirmed": confirmed, "silence": silence, "receipt": receipts})


LONG = (
    "This is a rather long report about what is going on at the moment. It has several sentences, so that somebody"
    " has the time to speak in between. The third sentence goes on for a while as well. And here is a fourth one."
)


@asynccontextmanager
async def _engines() -> AsyncGenerator[ChosenEngines]:
    from voice.engines.selection import ChosenEngines

    made = ChosenEngines()
    await made.ready()
    try:
        yield made
    finally:
        await made.close()


def _figures(times: Mapping[str, Sequence[float]]) -> dict[str, float]:
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {
        f"{name}_{share}": 1_000 * percentile(values, part)
        for name, values in times.items() if values
        for share, part in shares.items()
    }  # fmt: skip


@asynccontextmanager
async def _held(*, busy: bool) -> AsyncGenerator[None]:
    """Something else holds the event loop meanwhile."""

    async def hold() -> None:
        while busy:
            await asyncio.sleep(0.1 - _HOLD_SECONDS)
            end = time.perf_counter() + _HOLD_SECONDS
            while time.perf_counter() < end:
                pass

    holding = asyncio.create_task(hold())
    try:
        yield
    finally:
        holding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await holding


async def aside(directory: Path, trials: int) -> dict[str, list[float]]:
    """What is no speech of ours."""
    from benchmarks.voice_aside import let_go, shown

    os.environ["ATLAS_HOME"] = str(directory / "home")
    return {"let_go": await let_go(trials), "shown": await shown(directory, trials)}


def main() -> None:
    """The round."""
    from voice.logs import to_logging

    to_logging()
    directory, options = in_round()
    busy, trials = bool(options["busy"]), int(options["trials"])

    async def measured() -> Round:
        async with _held(busy=busy):
            if options["subject"] == "atlas":
                return await Atlas(trials).measure(directory / "home")
            if options["subject"] == ASIDE:
                return _figures(await aside(directory, trials))
            return await stock(trials)

    report(asyncio.run(measured()))


if __name__ == "__main__":
    main()
