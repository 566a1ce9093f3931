"""The tasks extension (SEP-2663): a task is a run, as durable as that, and known to every server on the database.

It is offered to clients that declare the extension with the request; others get the tools' plain answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import require_client_extension
from mcp.types import HEADER_MISMATCH, INVALID_PARAMS, CallToolRequestParams, CallToolResult, RequestParams, TextContent
from pydantic import Field

from mcp_servers.schemas import answer_json
from orchestrator.mcp.answers import RunInfo, Submitted
from orchestrator.service import Service
from orchestrator.tokens import Caller
from orchestrator.views import QuestionView, RunView
from state.errors import AtlasError, InputError, NotFound
from state.records import RUN_ENDED, RUN_WAITING, Scope

EXTENSION = "io.modelcontextprotocol/tasks"
MAKERS = frozenset(("submit_plan", "submit_goal"))
"""Tools whose answer is a task, for clients that know tasks."""
_MODERN = frozenset(("2026-07-28",))
_POLL_MILLISECONDS, _REST_MILLISECONDS = 500, 5_000
"""How often it is worth to ask: while something happens, and while somebody has to do something first."""
_DONE: dict[str, Any] = {"resultType": "complete"}


class TaskParams(RequestParams):
    """Which."""

    task_id: str


class UpdateParams(TaskParams):
    """What was asked for: by question."""

    input_responses: dict[str, Any] = Field(default_factory=dict)


@dataclass
class RunTasks(Extension):
    """See the module. `whose`: who makes a call, by its request."""

    service: Service
    whose: Callable[[object], Caller]
    makers: frozenset[str] = MAKERS

    identifier = EXTENSION

    def methods(self) -> list[MethodBinding]:
        """Of clients that declare it."""
        return [
            MethodBinding("tasks/get", TaskParams, self.get, _MODERN),
            MethodBinding("tasks/update", UpdateParams, self.update, _MODERN),
            MethodBinding("tasks/cancel", TaskParams, self.cancel, _MODERN),
        ]

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """A run that was submitted is a task."""
        result = await call_next(ctx)
        if params.name not in self.makers or not _knows_tasks(ctx):
            return result
        if not isinstance(result, CallToolResult) or result.is_error or not result.structured_content:
            return result
        made = Submitted.model_validate(result.structured_content)
        return {"resultType": "task", **_wire(await self.service.run(made.run.id))}

    async def get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        """How it stands."""
        run = await self._find(ctx, params, "read")
        found = _DONE | _wire(run)
        if run.state in RUN_ENDED:
            if run.state != "cancelled":
                found |= await self._outcome(run)
        elif asked := await self.service.questions(run.id):
            found |= {"status": "input_required", "inputRequests": {each.id: self.request(each) for each in asked}}
        return found

    async def update(self, ctx: ServerRequestContext[Any, Any], params: UpdateParams) -> HandlerResult:
        """Answers to its questions. What was declined, or is asked no more, changes nothing."""
        run = await self._find(ctx, params, "operate")
        by = self._caller(ctx, "operate").name
        pending = {each.id: each for each in await self.service.questions(run.id)}
        for question, response in params.input_responses.items():
            content = _content(response)
            if question in pending and content is not None:
                await _told(self.service.answer(question, self.reply(content), by))
        return _DONE

    async def cancel(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        """End the run for good."""
        run = await self._find(ctx, params, "operate")
        if run.state not in RUN_ENDED:
            await _told(self.service.cancel(run.id, self._caller(ctx, "operate").name))
        return _DONE

    async def result(self, run: RunView) -> CallToolResult:
        """Of a run that has completed or failed. `MCPError`: there is none, and the task has failed."""
        text, data = answer_json(Submitted(run=RunInfo.of(run)))
        return CallToolResult(
            content=[TextContent(type="text", text=text)], structured_content=data, is_error=run.state == "failed"
        )

    def request(self, question: QuestionView) -> dict[str, Any]:
        """What a client is asked for a question."""
        answer: dict[str, Any] = {"type": "string"}
        if question.choices:
            answer["enum"] = question.choices
        schema = {"type": "object", "properties": {"answer": answer}, "required": ["answer"]}
        params = {"mode": "form", "message": question.text, "requestedSchema": schema}
        return {"method": "elicitation/create", "params": params}

    def reply(self, content: Mapping[str, Any]) -> str:
        """The answer in what a client sent for it."""
        value = content.get("answer")
        if not isinstance(value, str):
            raise MCPError(INVALID_PARAMS, "an input response without `answer`, a string, in its content")
        return value

    async def _outcome(self, run: RunView) -> dict[str, Any]:
        try:
            result = await self.result(run)
        except MCPError as error:
            return {"status": "failed", "error": {"code": error.error.code, "message": error.error.message}}
        return {"status": "completed", "result": result.model_dump(mode="json", by_alias=True, exclude_none=True)}

    async def _find(self, ctx: ServerRequestContext[Any, Any], params: TaskParams, scope: Scope) -> RunView:
        require_client_extension(ctx, EXTENSION)
        self._caller(ctx, scope)
        headers = getattr(ctx.request, "headers", None)
        if headers is not None and headers.get("mcp-name") != params.task_id:
            raise MCPError(HEADER_MISMATCH, "The header Mcp-Name must be the request's params.taskId")
        try:
            run = await self.service.run(params.task_id)
        except (NotFound, InputError):
            run = None
        if run is None or run.id != params.task_id:  # names and ends of ids are for people
            raise MCPError(INVALID_PARAMS, f"Unknown task: {params.task_id[:100]}")
        return run

    def _caller(self, ctx: ServerRequestContext[Any, Any], scope: Scope) -> Caller:
        caller = self.whose(ctx.request)
        if not caller.may(scope):
            raise MCPError(INVALID_PARAMS, f"{caller.name} may {caller.scope}; this needs a token that may {scope}")
        return caller


def _knows_tasks(ctx: ServerRequestContext[Any, Any]) -> bool:
    try:
        require_client_extension(ctx, EXTENSION)
    except MCPError:
        return False
    return ctx.protocol_version in _MODERN


def _wire(run: RunView) -> dict[str, Any]:
    """A run that failed is a task that has a result, which says so. What is blocked or held may still go on."""
    status = {"completed": "completed", "failed": "completed", "cancelled": "cancelled"}.get(run.state, "working")
    done = run.progress
    message = f"{run.state}: {done.settled} of {done.total} TODOs have ended"
    rests = run.state in RUN_WAITING and run.state != "awaiting_input"
    return {
        "taskId": run.id, "status": status, "createdAt": run.created_at, "lastUpdatedAt": run.updated_at,
        "ttlMs": None, "pollIntervalMs": _REST_MILLISECONDS if rests else _POLL_MILLISECONDS,
        "statusMessage": f"{message} ({run.reason})" if run.reason else message,
    }  # fmt: skip


def _content(response: object) -> Mapping[str, Any] | None:
    """What was accepted; None: it was declined."""
    found = cast("dict[str, Any]", response) if isinstance(response, dict) else {}
    content = found.get("content")
    if found.get("action") != "accept" or not isinstance(content, dict):
        return None
    return cast("dict[str, Any]", content)


async def _told(doing: Awaitable[object]) -> None:
    try:
        await doing
    except AtlasError as error:
        raise MCPError(INVALID_PARAMS, f"{error.message} {error.hint}".strip()) from None
