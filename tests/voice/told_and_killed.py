"""Takes two sayings, and says the second; of the first it only shows that it has it. To be killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from state.sqlite import SqliteStore
from state.tables import Cursor
from voice.following import Following
from voice.progress import Progress
from voice.saying import Saying


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(path: str, lease: float) -> None:
    store = SqliteStore(Path(path))
    following = Following(
        store, Progress(), "ann", "killed", lease=lease, turned=lambda ours: say(f"told here: {ours}")
    )
    running = asyncio.create_task(following.run())
    taken: list[Saying] = []
    while len(taken) < 2:
        await following.waiting()
        if saying := following.take():
            say(f"taken: {saying.text}")
            taken.append(saying)
    following.said(taken[1])
    number = 0
    while not await store.read(lambda session: session.get(Cursor, ("voice:ann", taken[1].run))):
        number = await store.changed(number, 0.1)
    say("stored")
    await running


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
