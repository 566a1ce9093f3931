"""Our serving code with the fixtures that the conformance suite calls: ``python -m tests.conformance.server``.

It says on stderr where it listens. What it serves with is what `atlas mcp` serves with; what it serves is the suite's.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import Any

from mcp.server import MCPServer
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import Prompt, UserMessage
from mcp.server.mcpserver.tools import Tool
from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    EmptyResult,
    InputRequiredResult,
    PromptReference,
    ResourceTemplateReference,
    SetLevelRequestParams,
    TextContent,
)

from mcp_servers.manners import Policy, Tools
from mcp_servers.serving import Address, mcp_server, serve_http
from mcp_servers.subscriptions import Subscriptions
from tests.conformance import rounds, tools
from tests.conformance.tools import IMAGE, embedded, image


def build() -> MCPServer[Any]:
    """The server."""
    server = mcp_server(
        "conformance", "Conformance", "Fixtures of the conformance suite.", suite_tools(), subscriptions=Subscriptions()
    )
    furnish(server)
    return server


def suite_tools() -> list[Tool]:
    """That the suite calls."""
    offered = Tools(Policy())
    tools.register(offered)
    rounds.register(offered)
    return offered.tools


def furnish(server: MCPServer[Any]) -> None:
    """With what else the suite asks for."""
    _changes(server)
    _resources(server)
    _prompts(server)
    _rest(server)


def _changes(server: MCPServer[Any]) -> None:
    async def dynamic() -> str:
        """There for a moment."""
        return "dynamic"

    @server.tool()
    async def test_trigger_tool_change(context: Context[Any, Any]) -> str:  # pyright: ignore[reportUnusedFunction]
        """Change the list of tools."""
        server.add_tool(dynamic, name="test_dynamic_tool")
        server.remove_tool("test_dynamic_tool")
        await context.notify_tools_changed()
        return "changed"

    @server.tool()
    async def test_trigger_prompt_change(context: Context[Any, Any]) -> str:  # pyright: ignore[reportUnusedFunction]
        """Change the list of prompts."""
        server.add_prompt(Prompt.from_function(dynamic, name="test_dynamic_prompt", description="dynamic"))
        server.remove_prompt("test_dynamic_prompt")
        await context.notify_prompts_changed()
        return "changed"


def _resources(server: MCPServer[Any]) -> None:
    def text() -> str:
        """Text."""
        return "This is the content of the static text resource."

    def binary() -> bytes:
        """Bytes."""
        return base64.b64decode(IMAGE)

    def template(id: str) -> str:
        """One of many."""
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    def watched() -> str:
        """What changes."""
        return "Watched resource content"

    server.resource("test://static-text", mime_type="text/plain")(text)
    server.resource("test://static-binary", mime_type="image/png")(binary)
    server.resource("test://template/{id}/data", mime_type="application/json")(template)
    server.resource("test://watched-resource", mime_type="text/plain")(watched)


def _prompts(server: MCPServer[Any]) -> None:
    def said(text: str) -> UserMessage:
        return UserMessage(content=TextContent(type="text", text=text))

    def test_simple_prompt() -> list[UserMessage]:
        """No arguments."""
        return [said("This is a simple prompt for testing.")]

    def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
        """Two arguments."""
        return [said(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")]

    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
        """A resource in it."""
        resource = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
        return [UserMessage(content=resource), said("Please process the embedded resource above.")]

    def test_prompt_with_image() -> list[UserMessage]:
        """An image in it."""
        return [UserMessage(content=image()), said("Please analyze the image above.")]

    async def test_input_required_result_prompt(context: Context[Any, Any]) -> list[UserMessage] | InputRequiredResult:
        """Asks for what it needs."""
        given = rounds.answer(context, "user_context", "context")
        if given:
            return [said(f"Use the following context: {given}")]
        return rounds.asking(user_context=rounds.form("What context should the prompt use?", context="string"))

    for prompt in (
        test_simple_prompt, test_prompt_with_arguments, test_prompt_with_embedded_resource, test_prompt_with_image,
        test_input_required_result_prompt,
    ):  # fmt: skip
        server.prompt()(prompt)


def _rest(server: MCPServer[Any]) -> None:
    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion:
        return Completion(values=[], total=0, has_more=False)

    async def set_level(context: ServerRequestContext[Any], params: SetLevelRequestParams) -> EmptyResult:
        return EmptyResult()

    server.completion()(complete)
    served = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]
    served.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)


def say(url: str) -> None:
    """Where it listens."""
    sys.stderr.write(f"{url}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    asyncio.run(serve_http(build(), Address(port=0), say))
