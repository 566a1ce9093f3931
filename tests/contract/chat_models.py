"""Every adapter of `ChatModel` against the scripted server: how to make one, and what to ask it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from roles.models.connect import Provider, connect
from roles.models.port import ChatModel, Message, Meter, Reply, Request, Text, ToolResult, ToolSpec
from tests.services.model_server import Asked, ModelServer, model_server
from tests.services.model_wires import Answer, Call, Say, Wire

WIRES: tuple[Wire, ...] = ("anthropic", "chat", "responses")
KEY = "sk-the-very-secret-key-0123456789"
READ = ToolSpec(
    "read_file",
    "Reads a file of the workspace.",
    {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)
SYSTEM = "You are careful. Ümläute are welcome."


def asking(*messages: Message, **fields: object) -> Request:
    """A request with a system prompt and a tool."""
    said = messages or (user("Hello?"),)
    return Request(**{"system": SYSTEM, "messages": said, "tools": (READ,), "idle": 5.0, "timeout": 10.0, **fields})  # pyright: ignore[reportArgumentType]


def user(*blocks: str | ToolResult | Text) -> Message:
    """A turn of the user."""
    return Message("user", [Text(block) if isinstance(block, str) else block for block in blocks])


def answered(reply: Reply) -> Message:
    """A reply as a turn."""
    return Message("assistant", reply.blocks)


def results(reply: Reply) -> list[ToolResult]:
    """For all calls of a reply."""
    return [ToolResult(call.id, f"result of {call.name}") for call in reply.calls]


@dataclass
class World:
    """One adapter with its server."""

    wire: Wire
    server: ModelServer
    model: ChatModel
    heard: list[str] = field(default_factory=list[str])
    meter: Meter = field(default_factory=lambda: Meter(asking()))

    async def ask(self, request: Request | None = None, *answers: Answer) -> Reply:
        """Ask once, with the server answering so; `meter` is new."""
        self.server.will(*answers)
        return await self.model.reply(self.metered(request or asking()), self.meter)

    def metered(self, request: Request) -> Request:
        """The request, with a new meter for it."""
        self.heard.clear()
        self.meter = Meter(request, self.heard.append)
        return request

    def start(self, request: Request, answer: Answer) -> asyncio.Task[Reply]:
        """Ask without waiting."""
        self.server.will(answer)
        return asyncio.create_task(self.model.reply(self.metered(request), self.meter))

    async def begun(self, number: int) -> Asked:
        """The request of this number, when something of its answer was sent."""
        return await asyncio.to_thread(self.server.wait_for_request, number)

    async def caught_up(self, asked: Asked) -> None:
        """What the server has sent is heard."""
        async with asyncio.timeout(5):
            while self.meter.usage.output < asked.billed:  # noqa: ASYNC110 - it comes over a socket
                await asyncio.sleep(0.002)


def providers(url: str) -> dict[str, Provider]:
    """One for every adapter that asks a server."""
    return {
        "anthropic": Provider(kind="anthropic", base_url=url, key_variable="THE_KEY"),
        "chat": Provider(kind="openai", base_url=f"{url}/v1", key_variable="THE_KEY"),
        "responses": Provider(kind="openai", base_url=f"{url}/v1", key_variable="THE_KEY", style="responses"),
    }


@asynccontextmanager
async def opened(wire: Wire) -> AsyncGenerator[World]:
    """An adapter and a server of its own."""
    with model_server() as server:
        model = connect(f"{wire}/some-model", {"THE_KEY": KEY}, Path(), providers(server.url))
        try:
            yield World(wire, server, model)
        finally:
            await model.close()


def scripted(directory: Path, *answers: Answer) -> ChatModel:
    """The same answers as a script."""
    (directory / "script.yaml").write_text(yaml.safe_dump([_scripted(answer) for answer in answers]))
    return connect("scripted/script.yaml", {}, directory)


def _scripted(answer: Answer) -> dict[str, object]:
    used = answer.usage
    text = "".join(part.text for part in answer.parts if isinstance(part, Say))
    calls = [part for part in answer.parts if isinstance(part, Call)]
    return {
        "text": text,
        "calls": [{"name": call.name, "arguments": json.loads(call.arguments)} for call in calls],
        **({"usage": vars(used)} if used else {}),
    }


def conversation(replies: Sequence[Reply]) -> list[Message]:
    """All turns: a question, then each reply with the results of its calls or another question."""
    turns = [user("Begin.")]
    for number, reply in enumerate(replies):
        turns += [answered(reply), user(*results(reply), f"Go on, {number}.")]
    return turns
