"""The orchestration tools: what an MCP client can ask of Atlas. They translate `Service`, and hold no logic."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from pydantic import Field

from mcp_servers.manners import Policy, Tools
from mcp_servers.paging import Text, fitting, position, text_page
from mcp_servers.storage.threads import in_thread
from orchestrator import asking
from orchestrator.asking import Reach
from orchestrator.looking import Looking
from orchestrator.mcp.answers import (
    QuestionInfo,
    QuestionsInfo,
    RunInfo,
    RunsPage,
    Submitted,
    TodoInfo,
    TodosPage,
    TodoWhole,
)
from orchestrator.plan.document import Plan
from orchestrator.service import Service
from orchestrator.tokens import Caller
from orchestrator.views import TodoView
from state.errors import InputError
from state.limits import TOOL_RESULT_BYTES
from state.records import RUN_ENDED, RUN_WAITING, Scope

SOURCE = "mcp"
_RUN_ID = re.compile(r"[0-9a-f-]{36}")
_RUNS, _TODOS = 50, 200
_SOME, _ATTENTION_CHARACTERS = 5, 1_000
_WAIT_SECONDS = 50.0
"""Many clients give up on a call after a minute, whatever they are told meanwhile."""
_ANSWER_SECONDS = 1.0
"""Kept of a call's time for its answer."""
_STEP = 0.001
"""By so much what is told of progress grows when nothing has ended: it must grow each time."""
Run = Annotated[str, Field(description="Its id, the end of an id, its name, or `last`.")]
TodoKey = Annotated[str, Field(description="Its id in the plan, or its own.")]
Cursor = Annotated[str | None, Field(description="The next_cursor of the page before.")]
Key = Annotated[str | None, Field(max_length=255, description="The same key again gives the first run.")]
Whose = Callable[[object], Caller]
"""Who makes a call, by its HTTP request; over stdio there is none."""


@dataclass(frozen=True, slots=True)
class RunTools:
    """The bodies of the tools."""

    service: Service
    looking: Looking
    reach: Reach
    whose: Whose

    # --- submitting --------------------------------------------------------------------------------------------------

    async def submit_plan(
        self,
        context: Context[Any, Any],
        plan: Annotated[dict[str, Any] | str, Field(description="A plan document: an object, or YAML text.")],
        key: Key = None,
    ) -> Submitted:
        """Submit a plan, which workers carry out, each TODO in its turn. It looks like {"atlas": 1, "name": NAME,
        "defaults": {"image": IMAGE}, "todos": [{"id": ID, "run": COMMAND, "needs": [ID], "verify": [{"run":
        COMMAND}]}]}. Commands run in containers of that image (a TODO may name its own), unless your caller is trusted:
        then, without an image, on the host. A TODO with "ask": QUESTION (and "choices") waits for a person's answer.
        Heed `warnings`, then follow it with wait_for_run."""
        caller = self.caller(context, "operate")
        return await self.submit(await in_thread(lambda _: asking.plan_of(plan)), caller, key)

    async def submit_goal(
        self,
        context: Context[Any, Any],
        goal: Annotated[str, Field(min_length=1, description="What is to be achieved, in your words.")],
        repo: Annotated[str | None, Field(description="Path or URL of the git repository to work on.")] = None,
        base: Annotated[str | None, Field(description="Branch, tag or commit to begin from.")] = None,
        approve: Annotated[
            Literal["auto", "ask"], Field(description="ask: a person approves the plan before it is carried out.")
        ] = "auto",
        key: Key = None,
    ) -> Submitted:
        """Submit a goal: Atlas makes a plan, reviews it, and carries it out with evidence. It needs a model."""
        caller = self.caller(context, "operate")
        return await self.submit(asking.goal_plan(goal, repo, base), caller, key, approve)

    async def submit(
        self, plan: Plan, caller: Caller, key: str | None = None, approve: Literal["auto", "ask"] = "auto"
    ) -> Submitted:
        """A run of it, in the queue."""
        self.reach.check_plan(plan, trusted=caller.trusted)
        submitted = await self.service.submit(
            plan, None, provenance=caller.provenance, source=SOURCE, approve=approve, by=caller.name,
            once=asking.once(SOURCE, caller.name, key),
        )  # fmt: skip
        run = RunInfo.of(await self.service.run(submitted.run))
        return Submitted(run=run, warnings=submitted.warnings, repeated=submitted.repeated)

    # --- looking -----------------------------------------------------------------------------------------------------

    async def list_runs(self, context: Context[Any, Any], cursor: Cursor = None) -> RunsPage:
        """List runs, newest first."""
        self.caller(context, "read")
        if cursor is not None and not _RUN_ID.fullmatch(cursor):
            raise InputError(
                f"{cursor[:50]!r} is not a cursor of this tool", "Pass the next_cursor of the page before."
            )
        runs, more = await self.looking.runs(_RUNS, cursor)
        return RunsPage(runs=[RunInfo.of(run) for run in runs], next_cursor=more)

    async def get_run(self, context: Context[Any, Any], run: Run) -> RunInfo:
        """Look at how a run stands, and what of it needs somebody's attention."""
        self.caller(context, "read")
        return await self._whole((await self.service.find(run)).id)

    async def list_todos(self, context: Context[Any, Any], run: Run, cursor: Cursor = None) -> TodosPage:
        """List a run's TODOs, in the order of its plan."""
        self.caller(context, "read")
        return await self.todos(run, position(cursor) if cursor else -1)

    async def todos(self, run: str, after: int = -1) -> TodosPage:
        """Those behind this position in the plan, as many as fit."""
        found, more = await self.looking.todos(run, _TODOS, after)
        page = [TodoInfo.of(todo) for todo in found]
        if (fit := fitting(page)) < len(page):
            found, more = await self.looking.todos(run, fit, after)
            page = [TodoInfo.of(todo) for todo in found]
        return TodosPage(todos=page, next_cursor=None if more is None else str(more))

    async def get_todo(self, context: Context[Any, Any], run: Run, todo: TodoKey) -> TodoWhole:
        """Look at one TODO, with its checklist, its attempts and its evidence: what was checked, and what came out."""
        self.caller(context, "read")
        found = await self.looking.todo(run, todo)
        evidence, _ = await self.service.evidence(run, found.id)
        return TodoWhole.with_evidence(found, evidence)

    async def get_log(self, context: Context[Any, Any], run: Run, todo: TodoKey, cursor: Cursor = None) -> Text:
        """Read what a TODO's commands have printed so far."""
        self.caller(context, "read")
        start, data = position(cursor), b""
        async for piece in self.service.log(run, todo, offset=start):
            data += piece
            if len(data) > TOOL_RESULT_BYTES:
                break
        return text_page(data, start, more=len(data) > TOOL_RESULT_BYTES)

    async def wait_for_run(self, context: Context[Any, Any], run: Run, deadline: float) -> RunInfo:
        """Wait until a run has ended, or waits for somebody (a question, a budget, what is blocked), and be told of its
        progress meanwhile. Shortly before `timeout` it answers in any case, with the run as it is then: call it again.
        `attention` says what to do something about."""
        self.caller(context, "read")
        found = await self.service.standing(run)
        id, told = found.run.id, -1.0

        async def at_rest() -> bool:
            return (await self.service.run(id)).state in RUN_ENDED | RUN_WAITING

        with suppress(TimeoutError):
            async with asyncio.timeout(max(_ANSWER_SECONDS / 2, deadline - _ANSWER_SECONDS)):
                async for _ in self.service.events(id, found.last_event, until=at_rest):
                    view = await self.service.run(id)
                    told = max(float(view.progress.settled), told + _STEP)
                    await context.report_progress(told, max(view.progress.total, told), view.state)
        return await self._whole(id)

    async def _whole(self, id: str) -> RunInfo:
        run = await self.service.run(id)
        found = [_trouble(todo) for todo in await self.looking.troubles(id, _SOME)]
        if run.state not in RUN_ENDED:
            asked = await self.service.questions(id)
            found += [f"question {each.id}: {each.text}" for each in asked[:_SOME]]
        return RunInfo.of(run, [each[:_ATTENTION_CHARACTERS] for each in found])

    async def list_questions(
        self, context: Context[Any, Any], run: Annotated[str | None, Field(description="Of this run only.")] = None
    ) -> QuestionsInfo:
        """List the questions that wait for an answer, oldest first."""
        self.caller(context, "read")
        found = [QuestionInfo.of(each) for each in await self.service.questions(run)]
        shown = found[: fitting(found)]
        note = None if len(shown) == len(found) else f"{len(found) - len(shown)} more; name a run."
        return QuestionsInfo(questions=shown, note=note)

    # --- acting ------------------------------------------------------------------------------------------------------

    async def answer_question(
        self,
        context: Context[Any, Any],
        question: Annotated[str, Field(description="Its id, or the id of the TODO that asks, if no other run has it.")],
        value: Annotated[str, Field(description="One of its choices, or text where there are none.")],
    ) -> QuestionInfo:
        """Answer a question; what waits for it goes on. It is a person's to answer: ask the person first."""
        caller = self.caller(context, "operate")
        return QuestionInfo.of(await self.service.answer(question, value, caller.name))

    async def cancel_run(self, context: Context[Any, Any], run: Run) -> RunInfo:
        """End a run for good; what runs is killed at once."""
        caller = self.caller(context, "operate")
        if (found := await self.service.run(run)).state == "cancelled":
            return RunInfo.of(found)
        return RunInfo.of(await self.service.cancel(run, caller.name))

    async def retry_todo(self, context: Context[Any, Any], run: Run, todo: TodoKey) -> RunInfo:
        """Try a failed or blocked TODO again, with what was skipped because of it."""
        caller = self.caller(context, "operate")
        return RunInfo.of(await self.service.retry(run, todo, caller.name))

    def caller(self, context: Context[Any, Any], scope: Scope) -> Caller:
        """Who asks. `ToolError`: its token does not go so far."""
        caller = self.whose(context.request_context.request)
        if not caller.may(scope):
            raise ToolError(f"{caller.name} may {caller.scope}; this needs a token that may {scope}.")
        return caller


def _trouble(todo: TodoView) -> str:
    return f"{todo.key} {todo.state} ({todo.reason}): {todo.detail or ''}".rstrip(" :")


def run_tools(bodies: RunTools, policy: Policy) -> list[Tool]:
    """All that the policy allows."""
    tools = Tools(policy)
    add = tools.add
    add(bodies.submit_plan, "writes", "Submit a plan", audited=("key",))
    add(bodies.submit_goal, "writes", "Submit a goal", audited=("repo", "base", "key"))
    add(bodies.list_runs, "reads", "List runs")
    add(bodies.get_run, "reads", "Look at a run", audited=("run",))
    add(bodies.list_todos, "reads", "List TODOs", audited=("run",))
    add(bodies.get_todo, "reads", "Look at a TODO", audited=("run", "todo"))
    add(bodies.get_log, "reads", "Read a log", audited=("run", "todo"))
    add(bodies.wait_for_run, "reads", "Wait for a run", seconds=_WAIT_SECONDS, audited=("run",))
    add(bodies.list_questions, "reads", "List questions")
    add(bodies.answer_question, "writes", "Answer a question", audited=("question",))
    add(bodies.cancel_run, "replaces", "Cancel a run", idempotent=True, audited=("run",))
    add(bodies.retry_todo, "writes", "Try a TODO again", audited=("run", "todo"))
    return tools.tools
