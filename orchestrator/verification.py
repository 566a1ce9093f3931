"""Gathering evidence: every item of `verify`, checked on copies of exactly the tree that the command left (design §5).

Who verifies is not who did the work: each command runs in a sandbox of its own, over a private copy, without secrets.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from mcp_servers.storage.clearing import discard
from mcp_servers.storage.copying import digest_file
from mcp_servers.storage.threads import completed, in_thread
from mcp_servers.storage.trees import copy_tree
from orchestrator.executors.attempt_log import AttemptLog, CommandOutput
from orchestrator.executors.workplace import WORKDIR, Workplace
from orchestrator.plan.spec import VerifySpec
from state.ports import Exit, WriteOutput
from state.records import Evidence

Run = Callable[[tuple[str, ...], Path, WriteOutput], Awaitable[Exit]]
"""Runs argv in a sandbox over a working directory."""


async def verify(
    workplace: Workplace, items: tuple[VerifySpec, ...], run: Run, log: AttemptLog, by: str
) -> list[Evidence]:
    """Check the items in order, stopping at the first that does not hold. `subject` of the evidence is left empty."""
    gathered: list[Evidence] = []
    for number, item in enumerate(items):
        copy = workplace.scratch / f"verify-{number}"
        copy.mkdir()
        try:
            gathered.append(await _check(workplace, item, copy, run, log, by))
        finally:
            await completed(in_thread(lambda stop, copy=copy: discard(copy)))
        if not gathered[-1].passed:
            break
    return gathered


async def _check(workplace: Workplace, item: VerifySpec, copy: Path, run: Run, log: AttemptLog, by: str) -> Evidence:
    start = time.monotonic()
    if item.file is not None:
        found = workplace.find_file(item.file)
        digest = (await in_thread(lambda stop: digest_file(found, stop)))[0] if found else ""
        said = f"{found.stat().st_size} bytes" if found else "missing, empty, or not a regular file"
        return evidence(item.item(), found is not None, None, None, said, digest, by, time.monotonic() - start)
    await copy_tree(workplace.directory, copy / WORKDIR)
    output = log.command()
    ended = await run(item.run, copy / WORKDIR, output.write)
    await output.end()
    return of_command(item.item(), item.command or "", ended, output, by)


def of_command(item: str, command: str, ended: Exit, output: CommandOutput, by: str) -> Evidence:
    """Evidence that a command gives by its exit."""
    passed = ended.cause == "exit" and ended.code == 0
    return evidence(item, passed, command, ended.code, output.tail, output.digest, by, ended.seconds)


def evidence(
    item: str, passed: bool, command: str | None, exit_code: int | None, tail: str, digest: str, by: str, seconds: float
) -> Evidence:
    """One row, without its subject."""
    return Evidence(
        subject="", item=item, item_hash=hashlib.sha256(item.encode()).hexdigest(), passed=passed, command=command,
        exit_code=exit_code, output_tail=tail, digest=digest, verifier=by, seconds=seconds,
    )  # fmt: skip
