"""What every reply must be, whoever made it."""

from __future__ import annotations

from collections.abc import Sequence

from roles.models.failures import Source, unavailable
from roles.models.port import Block, Kept, Meter, Reply, Stop, ToolCall


def finished(source: Source, blocks: Sequence[Block], stop: Stop, meter: Meter, model: str) -> Reply:
    """The reply: it wants tools if and only if it calls some, what was refused calls none, and one that ended of itself
    says something. `ModelUnavailable` otherwise."""
    if stop == "refused":
        blocks = [block for block in blocks if not isinstance(block, ToolCall)]
    elif any(isinstance(block, ToolCall) for block in blocks):
        stop = "tools"
    elif stop == "tools":
        stop = "end"
    if stop == "end" and all(isinstance(block, Kept) for block in blocks):
        raise unavailable(source, "its reply is empty")
    return Reply(tuple(blocks), stop, meter.usage, model)
