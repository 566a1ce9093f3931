"""How far git is with a transfer, from what it says on its standard error."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

from mcp_servers.git.program import Git
from mcp_servers.progress import Progress, paced

_STEP = re.compile(r"(?:remote: )?([A-Z][A-Za-z ]+):\s+(\d{1,3})% (\(.*)")
_UNFINISHED_BYTES = 1_000


@asynccontextmanager
async def told(git: Git, progress: Progress) -> AsyncGenerator[Git]:
    """`git` with its progress passed on. Each of its steps (counting, receiving, resolving, …) counts for 100; how many
    there will be is not known."""
    steps: list[str] = []
    rest = ""
    now, said, words = 0, 0, ""

    async def send() -> None:
        nonlocal said
        if now > said:
            said = now
            await progress.report_progress(now, message=words)

    def hear(data: bytes) -> None:
        nonlocal rest, now, words
        *lines, rest = re.split(r"[\r\n]", rest + data.decode("utf-8", "replace"))
        rest = rest[-_UNFINISHED_BYTES:]
        for line in lines:
            if match := _STEP.fullmatch(line.rstrip()):
                step, percent, detail = match.groups()
                if step not in steps:
                    steps.append(step)
                done = 100 * steps.index(step) + int(percent)
                if done >= now:
                    now, words = done, f"{step}: {percent}% {detail}"
                    tell()

    async with paced(send) as tell:
        yield replace(git, heard=hear)
