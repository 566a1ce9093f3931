"""The workspace tool that runs commands."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

from pydantic import Field

from mcp_servers.container.capture import Capture
from mcp_servers.manners import Tools
from mcp_servers.workspace.desk import Desk, Run
from mcp_servers.workspace.results import Ran
from state.errors import InputError
from state.limits import TEXT_CHARACTERS
from state.ports import Stream

OUTPUT_BYTES = 30_000
"""Kept of what a command says."""
SECONDS = 120.0
_ENDING_SECONDS = 2.0
"""From the end of a command that takes too long to that of its call: enough to kill it, and to tell what it said."""
_SHELL = ("sh", "-c", 'exec 2>&1; exec sh -c "$1"', "sh")
"""Both outputs are one stream, so that they come in the order in which they were written."""
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)")


class RunningTools:
    """Bodies of the tools; see `manners.Tools.add`."""

    def __init__(self, desk: Desk, run: Run) -> None:
        self._desk = desk
        self._run = run

    def register(self, tools: Tools) -> None:
        """Offer it."""
        tools.add(self.workspace_run, "writes", "Run", seconds=SECONDS)

    async def workspace_run(
        self,
        command: Annotated[
            str, Field(min_length=1, max_length=TEXT_CHARACTERS, description="For `sh -c`, at the top of the tree.")
        ],
        deadline: float,
    ) -> Ran:
        """Run a shell command in the sandbox, in the working tree, and answer with its exit code and what it said
        (stdout and stderr as they came; of more than 30 KB the beginning and the end). Each call starts anew: no
        directory, variable or background process is kept; whatever it started is killed when it ends or `timeout` has
        passed. There is nobody to answer questions: stdin is empty."""
        if "\0" in command:
            raise InputError("the command has a NUL character", "Leave it out; printf '\\0' writes one.")
        loop = asyncio.get_running_loop()
        until = loop.time() + max(deadline * 0.8, deadline - _ENDING_SECONDS)
        said = Capture(OUTPUT_BYTES)

        async def hear(stream: Stream, data: bytes) -> None:
            said.add(data)

        async with self._desk.alone:
            left = until - loop.time()
            if left <= 0:
                raise InputError("another call took so long that no time was left for the command", "Try again.")
            self._desk.changes.anywhere()
            ended = await self._run((*_SHELL, command), left, hear)
        output = _COLOURS.sub("", said.text()).replace("\0", "\ufffd")
        return Ran(
            exit_code=ended.code, cause=ended.cause, seconds=round(ended.seconds, 3), output=output,
            left_out=said.left_out or None,
        )  # fmt: skip
