"""Plans whose TODOs write down, outside of Atlas, when they start and when they end: what really happened."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.acceptance.command_line import Atlas


@dataclass(frozen=True, slots=True)
class Effects:
    """The log of an installation's plans: a line as each command starts, one as it ends, appended."""

    atlas: Atlas

    def todo(self, key: str, needs: list[str], seconds: float = 0.0, *, then: str = "", **keys: Any) -> dict[str, Any]:
        """A TODO that logs its start, takes `seconds`, does `then`, and logs its end."""
        log = self.atlas.directory / "effects"
        pause = f"sleep {seconds:.3f}; " if seconds else ""
        run = f"set -e; echo start {key} >>'{log}'; {pause}{then + '; ' if then else ''}echo end {key} >>'{log}'"
        return {"id": key, "needs": needs, "run": run, **keys}

    def lines(self) -> list[str]:
        """Everything that was written so far."""
        path = self.atlas.directory / "effects"
        return path.read_text().splitlines() if path.exists() else []

    def starts(self) -> Counter[str]:
        """How often each TODO's command was started."""
        return Counter(line.removeprefix("start ") for line in self.lines() if line.startswith("start "))

    def ends(self) -> Counter[str]:
        """How often each TODO's command came to its end."""
        return Counter(line.removeprefix("end ") for line in self.lines() if line.startswith("end "))


def random_plan(effects: Effects, chance: random.Random, size: int = 40) -> str:
    """A plan of `size` TODOs with up to three needs each; returns its path."""
    keys = [f"t{number:02d}" for number in range(size)]
    todos = [
        effects.todo(key, chance.sample(keys[max(0, place - 8) : place], min(place, chance.choice((0, 1, 1, 2, 3)))),
                     chance.uniform(0.0, 0.15))
        for place, key in enumerate(keys)
    ]  # fmt: skip
    chance.shuffle(todos)
    return effects.atlas.plan(todos, concurrency=6)
