"""A real MCP client of `atlas serve`, of either era; and what the tasks extension needs of one, which the SDK lacks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, cast

import httpx2
from mcp import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, Request, RequestParams, Result, ServerNotification
from pydantic import Field

from tests.acceptance.command_line import PATIENCE
from tests.http.server import Server

Era = Literal["auto", "legacy"]
ERAS: list[Era] = ["auto", "legacy"]
GREET = {"id": "greet", "run": "echo hello", "verify": [{"run": "true"}]}
ASK = {"id": "ship", "ask": "Ship it?", "choices": ["yes", "no"]}
SHIPPED = {"id": "after", "run": "echo shipped", "needs": [{"ship": "yes"}]}


def plan(*todos: dict[str, Any], name: str = "by mcp") -> dict[str, Any]:
    return {"atlas": 1, "name": name, "sandbox": "host", "todos": list(todos)}


@asynccontextmanager
async def connected(
    server: Server, era: Era = "auto", token: str | None = None, extensions: Sequence[ClientExtension] = (), **more: Any
) -> AsyncGenerator[Client]:
    headers = {"Authorization": f"Bearer {token or server.token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE, trust_env=False) as http:
        transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
        async with Client(transport, mode=era, extensions=extensions, **more) as client:
            yield client


async def called(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool answers, as data."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return cast("dict[str, Any]", result.structured_content)


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """What a tool says that does not do it."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.content
    return " ".join(getattr(each, "text", "") for each in result.content)


async def waited(client: Client, run: str, *states: str) -> dict[str, Any]:
    """The run, once it is in one of these states."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await called(client, "wait_for_run", run=run)
            if found["state"] in (states or ("completed", "failed", "cancelled")):
                return found


class Updates:
    """What a client of before 2026-07-28 is told: a message handler."""

    def __init__(self) -> None:
        self.uris: list[str] = []
        self._more = asyncio.Event()

    async def __call__(self, message: Any) -> None:
        if isinstance(message, ServerNotification):
            message = getattr(message, "root", message)
        if getattr(message, "method", "") == "notifications/resources/updated":
            self.uris.append(str(message.params.uri))
            self._more.set()

    async def next(self) -> str:
        while not self.uris:
            self._more.clear()
            await self._more.wait()
        return self.uris.pop(0)


class TaskParams(RequestParams):
    task_id: str


class UpdateParams(TaskParams):
    input_responses: dict[str, Any] = Field(default_factory=dict)


class GetTask(Request[TaskParams, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: TaskParams
    name_param = "taskId"


class UpdateTask(Request[UpdateParams, Literal["tasks/update"]]):
    method: Literal["tasks/update"] = "tasks/update"
    params: UpdateParams
    name_param = "taskId"


class CancelTask(Request[TaskParams, Literal["tasks/cancel"]]):
    method: Literal["tasks/cancel"] = "tasks/cancel"
    params: TaskParams
    name_param = "taskId"


class Created(Result):
    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    ttl_ms: int | None = None
    poll_interval_ms: int | None = None
    status_message: str | None = None


class Task(Result):
    """As it stands."""

    result_type: str
    task_id: str
    status: str
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    input_requests: dict[str, Any] | None = None


class Tasks(ClientExtension):
    """Declares the extension, and follows tasks to their end; `answers` are given to what is asked meanwhile."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self, answers: Sequence[str] = ()) -> None:
        self.answers = list(answers)
        self.created: list[Created] = []
        self.seen: list[Task] = []

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Created, resolve=self._finish)]

    async def _finish(self, created: Created, context: ClaimContext) -> CallToolResult:
        self.created.append(created)
        async with asyncio.timeout(PATIENCE):
            while (found := await self.get(context.session, created.task_id)).status not in (
                "completed", "failed", "cancelled",
            ):  # fmt: skip
                if found.input_requests and self.answers:
                    question = next(iter(found.input_requests))
                    await self.update(context.session, found.task_id, question, self.answers.pop(0))
                await asyncio.sleep(0.05)
        if found.status == "completed":
            return CallToolResult.model_validate(found.result)
        raise RuntimeError(found.status)

    async def get(self, session: Any, task: str) -> Task:
        found: Task = await session.send_request(GetTask(params=TaskParams(task_id=task)), Task)
        self.seen.append(found)
        return found

    async def update(self, session: Any, task: str, question: str, answer: str) -> None:
        response = {"action": "accept", "content": {"answer": answer}}
        params = UpdateParams(task_id=task, input_responses={question: response})
        await session.send_request(UpdateTask(params=params), Result)

    async def cancel(self, session: Any, task: str) -> None:
        await session.send_request(CancelTask(params=TaskParams(task_id=task)), Result)
