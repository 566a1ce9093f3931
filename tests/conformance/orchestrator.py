"""Our orchestration server with the fixtures that the suite calls, those of its scenarios of tasks among them:
``python -m tests.conformance.orchestrator``.

The latter submit real runs, which a worker beside carries out: a task is a run here too. It says on stderr where it
listens.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from typing import Any

from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, require_client_extension
from mcp.types import INTERNAL_ERROR, CallToolRequestParams, CallToolResult, InputRequiredResult, TextContent

from mcp_servers.manners import Policy, Tools
from mcp_servers.schemas import answer_json
from mcp_servers.serving import Address, serve_http
from mcp_servers.subscriptions import Subscriptions
from orchestrator.asking import Reach, plan_of
from orchestrator.cli.compose import House, house, workshop
from orchestrator.cli.driving import Interruption, serve_queue
from orchestrator.hints import Hints
from orchestrator.looking import Looking
from orchestrator.mcp.answers import Submitted
from orchestrator.mcp.changes import tell_changes
from orchestrator.mcp.server import orchestration
from orchestrator.mcp.tasks import EXTENSION, RunTasks
from orchestrator.mcp.tools import RunTools
from orchestrator.tasks import ended
from orchestrator.tokens import Caller
from orchestrator.views import RunView
from tests.conformance import rounds
from tests.conformance.server import furnish, say, suite_tools

EVERYBODY = Caller("everybody", "operate", trusted=True)
WITH_TASKS_ONLY = frozenset(("failing_job", "protocol_error_job"))


class Fixtures:
    """Tools that submit runs."""

    def __init__(self, bodies: RunTools) -> None:
        self._bodies = bodies

    async def greet(self, name: str) -> str:
        """Greet somebody, at once."""
        return f"Hello, {name}!"

    async def slow_compute(self, seconds: float = 0.0, label: str = "") -> Submitted:
        """Take a while."""
        return await self._submit("slow_compute", {"run": f"sleep {seconds}; echo {shlex.quote(label)} done"})

    async def failing_job(self) -> Submitted:
        """Fail."""
        return await self._submit("failing_job", {"run": "sleep 1; exit 1"})

    async def protocol_error_job(self) -> Submitted:
        """Have a result that can't be told."""
        return await self._submit("protocol_error_job", {"run": "true"})

    async def confirm_delete(self, filename: str) -> Submitted:
        """Ask first."""
        return await self._submit("confirm_delete", {"ask": f"Delete {filename}?", "choices": ["yes", "no"]})

    async def multi_input(self) -> Submitted:
        """Ask for two things."""
        return await self._submit("multi_input", {"ask": "Your name?"}, {"ask": "Your colour?"})

    async def test_tool_with_task(self, context: Context[Any, Any]) -> CallToolResult | InputRequiredResult:
        """Ask for a name, then take a while."""
        name = rounds.answer(context, "user_name", "name")
        if not name:
            return rounds.asking(user_name=rounds.form("What is your name?", name="string"))
        made = await self._submit("test_tool_with_task", {"run": f"echo Hello, {shlex.quote(str(name))}!"})
        text, data = answer_json(made)
        return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=data)

    async def _submit(self, name: str, *todos: dict[str, Any]) -> Submitted:
        listed = [{"id": f"todo-{number}", **todo} for number, todo in enumerate(todos)]
        return await self._bodies.submit(
            plan_of({"atlas": 1, "name": name, "sandbox": "host", "todos": listed}), EVERYBODY
        )

    def offered(self) -> Tools:
        tools = Tools(Policy())
        for body in (
            self.greet, self.slow_compute, self.failing_job, self.protocol_error_job, self.confirm_delete,
            self.multi_input, self.test_tool_with_task,
        ):  # fmt: skip
            tools.add(body, "writes", body.__name__)
        return tools


class FixtureTasks(RunTasks):
    """Ours; with answers as the suite gives them, and results as it wants them."""

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        if params.name in WITH_TASKS_ONLY:
            require_client_extension(ctx, EXTENSION)
        return await super().intercept_tool_call(params, ctx, call_next)

    def reply(self, content: Mapping[str, Any]) -> str:
        return str(content["name"]) if "name" in content else "yes" if content["confirm"] else "no"

    async def result(self, run: RunView) -> CallToolResult:
        if run.name == "protocol_error_job":
            raise MCPError(INTERNAL_ERROR, "the result can't be told")
        if run.name != "test_tool_with_task":
            return await super().result(run)
        printed = b"".join([piece async for piece in self.service.log(run.id, "todo-0")])
        return CallToolResult(content=[TextContent(type="text", text=printed.decode())])


async def serve(house: House) -> None:
    """Until it is killed."""
    bodies = RunTools(house.service, Looking(house.store), Reach(), lambda _: EVERYBODY)
    fixtures = Fixtures(bodies).offered().tools
    hints, subscriptions = Hints(house.store), Subscriptions()
    makers = frozenset(tool.name for tool in fixtures) - {"greet"}
    tasks = FixtureTasks(house.service, bodies.whose, makers)
    server = orchestration(bodies, subscriptions, Policy(), tasks, [*fixtures, *suite_tools()])
    furnish(server)
    interruption = Interruption()
    async with workshop(house) as shop:
        aside = [
            asyncio.create_task(each)
            for each in (
                hints.run(), tell_changes(hints, subscriptions), serve_queue(house, shop, 4, interruption),
                serve_http(server, Address(port=0), say),
            )
        ]  # fmt: skip
        await interruption.wait()
        await ended(*aside)


async def _main() -> None:
    async with house() as found:
        await serve(found)


if __name__ == "__main__":
    asyncio.run(_main())
