"""Takes the first saying, shows that it has, and neither says it nor ends: to be killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from state.sqlite import SqliteStore
from voice.following import Following
from voice.progress import Progress


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(path: str, lease: float) -> None:
    store = SqliteStore(Path(path))
    following = Following(
        store, Progress(), "ann", "killed", lease=lease, turned=lambda ours: say(f"told here: {ours}")
    )
    running = asyncio.create_task(following.run())
    await following.waiting()
    saying = following.take()
    say(f"taken: {saying.text if saying else None}")
    await running


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
