"""The models of the fleet's agents: each works as it should, and every reply has a price tag of its own."""

from __future__ import annotations

import itertools
import random
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.agents.cast import DONE, TRY_AGAIN, USUAL, Answering, Heard, Player, Stage, acts, runs, writes
from tests.chaos.fleet.effects import WHO, says
from tests.services.model_server import Asked, ModelServer
from tests.services.model_wires import Answer, Billed, Part

_UNKNOWN = "Its outcome is unknown"


@dataclass
class Models:
    """Answers for `ModelServer.chosen`: in pieces, some of them slowly, so that workers die in the middle of them."""

    log: Path
    chance: random.Random
    stage: Stage = field(default_factory=Stage)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        command = f"{WHO}; {says(self.log, 'tool')}; grep -qx right answer.txt"
        work = (writes(), runs(command), DONE)
        self.stage.cast |= {**USUAL, "hephaestus": _again(*work), "oracle": acts(TRY_AGAIN)}

    def play_on(self, server: ModelServer) -> None:
        """From now on the server answers so."""
        server.chosen = self.answer

    def answer(self, asked: Asked) -> Answer:
        """Of whoever is asked."""
        with self._lock:
            answer = self.stage.answer(asked)
            number = next(self._numbers)
            used = Billed(input=100 + number, cached=number % 7, written=number % 3, output=20 + number % 11)
            return replace(answer, usage=used, chunk=40, delay=self.chance.choice((0.0, 0.005, 0.02)))


def _again(*replies: Part) -> Player:
    """In order; what was interrupted, once more."""

    def play(heard: Heard) -> Answering:
        interrupted = sum(any(_UNKNOWN in result for result in turn.results) for turn in heard.turns)
        return replies[min(heard.replies - interrupted, len(replies) - 1)]

    return play
