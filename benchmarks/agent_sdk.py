"""A round of `agent`: a bare loop around the maker's own SDK. It asks the same server as Atlas, with the same prompt
and tools, streamed as there; calls the body of the tool directly; appends what was said; and keeps nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from anthropic import AsyncAnthropic

from benchmarks.agent_ground import per_step, repository
from benchmarks.agent_loops import toolbox
from benchmarks.agent_server import model_of, talks
from benchmarks.measuring import in_round, report
from mcp_servers.workspace.desk import Desk
from mcp_servers.workspace.looking_tools import LookingTools
from roles.house_tools import house_specs
from roles.role import DUTIES, system_prompt

if TYPE_CHECKING:
    from anthropic.types import MessageParam, TextBlockParam, ToolParam, ToolUseBlockParam

_OUTPUT_TOKENS = 8_192


async def _tools(source: Path) -> list[ToolParam]:
    async with toolbox(source) as box:
        specs = (*box.specs, *house_specs(DUTIES["work"].exits))
    return [
        {"name": each.name, "description": each.description, "input_schema": dict(each.parameters)} for each in specs
    ]


async def _loop(client: AsyncAnthropic, steps: int, source: Path, tools: list[ToolParam]) -> None:
    looking = LookingTools(Desk(source, None))
    system: TextBlockParam = {
        "type": "text", "text": system_prompt(DUTIES["work"]), "cache_control": {"type": "ephemeral"},
    }  # fmt: skip
    messages: list[MessageParam] = [{"role": "user", "content": [{"type": "text", "text": "Go on."}]}]
    while True:
        written: list[str] = []
        call: ToolUseBlockParam = {"type": "tool_use", "id": "", "name": "", "input": {}}
        events = await client.messages.create(
            model=model_of(steps), max_tokens=_OUTPUT_TOKENS, system=[system], tools=tools, messages=messages,
            cache_control={"type": "ephemeral"}, stream=True,
        )  # fmt: skip
        async for event in events:
            if event.type == "content_block_start" and event.content_block.type == "tool_use":
                call["id"], call["name"] = event.content_block.id, event.content_block.name
            elif event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                written.append(event.delta.partial_json)
        if call["name"] == "done":
            return
        arguments = cast("dict[str, object]", json.loads("".join(written)))
        call["input"] = arguments
        lines = await looking.workspace_read(str(arguments["path"]), count=cast("int", arguments["count"]))
        messages.append({"role": "assistant", "content": [call]})
        messages.append(
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": lines.words()}]}
        )


async def _round(directory: Path, agents: int, steps: int, files: int, server: str) -> dict[str, float]:
    source = repository(directory, files)
    tools = await _tools(source)
    async with AsyncAnthropic(api_key="none", base_url=server, max_retries=0) as client:
        await asyncio.gather(*(_loop(client, steps, source, tools) for _ in range(agents)))
    return per_step(talks(server), agents, steps)


def main() -> None:
    """Its side of `measuring.one_round`."""
    directory, options = in_round()
    agents, steps, files = (int(options[name]) for name in ("agents", "steps", "files"))
    report(asyncio.run(_round(directory, agents, steps, files, str(options["server"]))))


if __name__ == "__main__":
    main()
