"""Rounds of `agent`: what others do with the same model in the process and the same tools. A bare loop keeps nothing;
LangGraph's prebuilt agent keeps checkpoints by our saver, in the same database."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

from benchmarks.agent_ground import WARM, InstantModel, Talk, call_of, installation, repository, submitted
from benchmarks.measuring import in_round, report
from mcp_servers.manners import Policy
from mcp_servers.workspace.server import workspace_server
from roles.checkpoints import LEASE, StoreSaver
from roles.models.port import Message, Meter, Request, Text, ToolResult
from roles.toolbox import Toolbox
from state.commands import ClaimedMany, ClaimNext


def toolbox(directory: Path) -> Toolbox:
    """Of the tools that Atlas gives its agents."""
    return Toolbox({"workspace": workspace_server(directory, Policy())}, ["workspace_*"])


async def bare(directory: Path, steps: int, files: int) -> dict[str, float]:
    """A loop that calls the model and then its tool."""
    source = repository(directory, files)
    model = InstantModel(steps, writes=False)
    async with toolbox(source) as box:
        messages: list[Message] = [Message("user", (Text("Go on."),))]
        while True:
            request = Request("You are an agent.", messages, box.specs, conversation="bare")
            reply = await model.reply(request, Meter(request))
            messages.append(Message("assistant", reply.blocks))
            call = reply.calls[0]
            if call.name == "done":
                break
            outcome = await box.call(call.name, call.arguments)
            messages.append(Message("user", (ToolResult(call.id, outcome.text, outcome.failed),)))
    return model.per_step()


class PrebuiltModel(BaseChatModel):
    """`InstantModel` as LangChain wants it."""

    instant: Any

    @property
    def _llm_type(self) -> str:
        return "instant"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> PrebuiltModel:  # noqa: ANN401
        return self

    def _generate(self, messages: list[BaseMessage], *arguments: Any, **kwargs: Any) -> ChatResult:  # noqa: ANN401
        raise NotImplementedError

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None, **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:  # fmt: skip
        instant: InstantModel = self.instant
        instant.talks.setdefault("prebuilt", Talk()).asked.append(time.perf_counter())
        turn = sum(isinstance(message, AIMessage) for message in messages)
        call = call_of(turn, instant.steps, writes=False)
        calls = [{"name": call.name, "args": dict(call.arguments), "id": call.id}] if call.name != "done" else []
        return ChatResult(generations=[ChatGeneration(message=AIMessage("", tool_calls=calls))])


async def prebuilt(directory: Path, steps: int, files: int) -> dict[str, float]:
    """`create_react_agent`, durable after every step."""
    library: Any = importlib.import_module("langgraph.prebuilt")
    source = repository(directory, files)
    model = InstantModel(steps, writes=False)
    async with installation(directory) as (house, shop), toolbox(source) as box:
        run = await submitted(house, source, 1)
        outcome = (await house.store.apply([ClaimNext(shop.liveness.boot, "queue", 1, run=run)]))[0]
        assert isinstance(outcome, ClaimedMany)
        claim = outcome.claims[0]

        @tool
        async def workspace_read(path: str, count: int = 400) -> str:
            """Lines of a file."""
            outcome = await box.call("workspace_read", {"path": path, "count": count})
            model.talks["prebuilt"].failed |= outcome.failed
            return outcome.text

        agent: Any = library.create_react_agent(
            PrebuiltModel(instant=model), [workspace_read], checkpointer=StoreSaver(house.store)
        )
        config = {
            "configurable": {"thread_id": "prebuilt", LEASE: (claim.todo, claim.fence)},
            "recursion_limit": 2 * steps + WARM,
        }
        await agent.ainvoke({"messages": [("user", "Go on.")]}, config, durability="sync")
    return model.per_step()


def main() -> None:
    """Their side of `measuring.one_round`."""
    directory, options = in_round()
    go = {"bare": bare, "prebuilt": prebuilt}[str(options["loop"])]
    report(asyncio.run(go(directory, int(options["steps"]), int(options["files"]))))


if __name__ == "__main__":
    main()
