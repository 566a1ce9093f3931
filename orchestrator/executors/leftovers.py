"""What a failed attempt leaves all the same: the outputs that its task wants whatever comes of it (`on: always`)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from mcp_servers.storage import outputs
from mcp_servers.storage.outputs import Declared, OutputError
from orchestrator.executors.workplace import STDOUT
from orchestrator.outcome import RetryPolicy
from state.commands import Claimed
from state.errors import AtlasError, LeaseLost
from state.ports import Failure, ObjectStore
from state.records import Output


async def with_leftovers(
    failure: Failure, wanted: Sequence[Declared], claim: Claimed, stores: ObjectStore, seconds: float
) -> Failure:
    """The failure with those of its outputs that are there, staged within `seconds`; as it was, if another attempt
    follows. It stays the same failure when they can't be had, and says why."""
    if not wanted or RetryPolicy.of(claim.document).wait(claim.attempt) is not None:
        return failure
    why = ""
    staged: list[Output] = []
    try:
        async with asyncio.timeout(seconds):
            staged, why = await _staged(wanted, claim, stores)
    except LeaseLost:
        raise
    except TimeoutError:
        why = "there was no time left"
    except AtlasError as error:
        why = error.message
    except OSError as error:
        why = str(error)
    detail = f"{failure.detail}; not all of its outputs were stored: {why}" if why else failure.detail
    return replace(failure, detail=detail, outputs=staged)


async def _staged(wanted: Sequence[Declared], claim: Claimed, stores: ObjectStore) -> tuple[list[Output], str]:
    """(what could be staged, why not all of it). Where something is refused, the standard output is worth having
    alone: nothing that the command did to the others can spoil it."""
    try:
        there = await outputs.present(wanted)
        return await outputs.stage(there, claim.todo, claim.fence, stores), ""
    except OutputError as error:
        alone = [one for one in wanted if one.internal == STDOUT]
        return await outputs.stage(await outputs.present(alone), claim.todo, claim.fence, stores), error.message
