"""The worker processes: started, armed, watched, started again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from state.failpoints import LABELS
from tests.acceptance.command_line import Atlas, Running

_LOOK_SECONDS = 0.05
_PAUSE_SECONDS = 0.5
"""Before a worker that ended is started again."""
_READY = "at a time"
"""A worker says so when it begins."""
_ACTIONS = ("kill", "kill", "kill", "stop", "sleep:2")
_SPARED = ("submit.", "leftovers.")
"""Labels that workers rarely or never come to."""


@dataclass
class Hand:
    """A place for one worker at a time, on a `host` that it may share with others."""

    name: str
    host: Atlas
    running: Running | None = None
    armed: str = ""
    since: float = 0.0
    asked: bool = False
    """To end."""
    thaws: float | None = None

    @property
    def up(self) -> bool:
        """It works, and is not stopped."""
        return self.running is not None and self.running.alive and self.thaws is None and _READY in self.running.err


@dataclass
class Workers:
    """`say` takes what happens, for the record. `ends` counts how they ended; `broken` what they complained of."""

    hands: list[Hand]
    chance: random.Random
    say: Callable[[str], None]
    arming: float = 0.35
    """How many of them have a failpoint."""
    ends: Counter[str] = field(default_factory=Counter[str])
    broken: list[str] = field(default_factory=list[str])
    open: bool = True

    async def keep(self) -> None:
        """Start who is missing and thaw who is frozen, until cancelled."""
        while True:
            for hand in self.hands:
                self._look_at(hand)
            await asyncio.sleep(_LOOK_SECONDS)

    def heal(self) -> None:
        """From now on nobody is armed, and nobody stays frozen. Who was armed is replaced."""
        self.arming = 0.0
        for hand in self.hands:
            if hand.running and hand.armed:
                self.end(hand, signal.SIGKILL)
            self._thaw(hand)

    def end(self, hand: Hand, number: signal.Signals) -> None:
        """Only the worker itself."""
        if hand.running and hand.running.alive:
            hand.asked = True
            with suppress(ProcessLookupError):
                os.kill(hand.running.pid, number)

    def freeze(self, hand: Hand, seconds: float) -> None:
        """Thawed after so long."""
        if hand.running and hand.running.alive:
            with suppress(ProcessLookupError):
                os.kill(hand.running.pid, signal.SIGSTOP)
            hand.thaws = time.monotonic() + seconds

    async def stop(self, seconds: float) -> None:
        """All of them, in good order; a worker that does not end within so long is a complaint."""
        for hand in self.hands:
            self._thaw(hand)
            self.end(hand, signal.SIGTERM)
        until = time.monotonic() + seconds
        for hand in self.hands:
            while hand.running and hand.running.alive and time.monotonic() < until:  # noqa: ASYNC110 - it does not tell
                await asyncio.sleep(_LOOK_SECONDS)
            if hand.running and hand.running.alive:
                self.end(hand, signal.SIGUSR2)  # says where it is
                ended = await asyncio.to_thread(hand.running.ended)
                self.broken.append(f"{hand.name} did not end: {ended.err[-12_000:]}")
            elif hand.running:
                self._bury(hand)

    # --- one of them -------------------------------------------------------------------------------------------------

    def _look_at(self, hand: Hand) -> None:
        now = time.monotonic()
        if hand.running is None:
            if now >= hand.since:
                self._start(hand)
        elif not hand.running.alive:
            self._bury(hand)
            hand.since = now + _PAUSE_SECONDS
        elif hand.thaws is not None:
            if now >= hand.thaws:
                self._thaw(hand)
        elif _stopped(hand.running.pid):  # at a failpoint
            self.ends["stopped at a failpoint"] += 1
            hand.thaws = now + self.chance.uniform(0.5, 15.0)

    def _start(self, hand: Hand) -> None:
        hand.armed, hand.asked = self._failpoint(), False
        slots = self.chance.choice(("2", "4", "6"))
        hand.running = hand.host.start("worker", "--concurrency", slots, ATLAS_FAILPOINTS=hand.armed)

    def _failpoint(self) -> str:
        if self.chance.random() >= self.arming:
            return ""
        label = self.chance.choice([label for label in LABELS if not label.startswith(_SPARED)])
        often = label.startswith(("store.", "broker.", "relay.", "worker.", "waking."))
        return f"{label}={self.chance.choice(_ACTIONS)}@{self.chance.randint(1, 60 if often else 4)}"

    def _bury(self, hand: Hand) -> None:
        assert hand.running is not None
        code, err = hand.running.ended().code, hand.running.err
        by_failpoint = code == -signal.SIGKILL and not hand.asked
        self.ends[f"at {hand.armed.partition('=')[0]}" if by_failpoint else f"exit {code}"] += 1
        if code == -signal.SIGKILL and not hand.asked and not hand.armed:
            self.broken.append(f"{hand.name} was killed by nobody: {err[-2000:]}")
        if "still here" in err:
            self.broken.append(f"{hand.name} did not end by itself: {err[-12_000:]}")
        if "Traceback" in err:
            self.broken.append(f"{hand.name} (exit {code}) broke: {err[max(0, err.index('Traceback') - 300) :][:4000]}")
        hand.running, hand.thaws = None, None

    def _thaw(self, hand: Hand) -> None:
        hand.thaws = None
        if hand.running and hand.running.alive:
            with suppress(ProcessLookupError):
                os.kill(hand.running.pid, signal.SIGCONT)


def _stopped(process: int) -> bool:
    with suppress(OSError, IndexError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False
