"""The orchestration MCP server: tools, resources that tell of their changes, and tasks, for clients of both eras."""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel

from mcp_servers.manners import Policy
from mcp_servers.schemas import answer_json
from mcp_servers.serving import mcp_server
from mcp_servers.subscriptions import Subscriptions
from orchestrator.mcp.changes import RUN, TODOS
from orchestrator.mcp.tasks import RunTasks
from orchestrator.mcp.tools import RunTools, run_tools
from state.errors import AtlasError, NotFound

_INSTRUCTIONS = """\
Atlas carries out plans and goals: each TODO is completed with evidence, or it says why not. Submit with \
submit_plan or submit_goal, follow with wait_for_run (or subscribe to atlas://runs/RUN-ID), put its questions \
(list_questions) to the person and answer them, look at what came out with get_todo and get_log. Runs go on without \
you: come back with their id."""
_JSON = "application/json"


def orchestration(
    bodies: RunTools, subscriptions: Subscriptions, policy: Policy, tasks: RunTasks, more: list[Tool] | None = None
) -> MCPServer[Any]:
    """The server. Changes are published to `subscriptions` by `orchestrator.mcp.changes.tell_changes`."""
    tools = run_tools(bodies, policy) + (more or [])
    server = mcp_server(
        "atlas-orchestrator", "Atlas", _INSTRUCTIONS, tools, subscriptions=subscriptions, extensions=[tasks]
    )

    @server.resource(RUN, name="run", title="A run", mime_type=_JSON)
    async def run_as_it_stands(run: str, context: Context[Any, Any]) -> str:
        """How a run stands. Subscribe by its id."""
        return await _read(bodies.get_run(context, run))

    @server.resource(TODOS, name="todos", title="The TODOs of a run", mime_type=_JSON)
    async def todos_as_they_stand(run: str, context: Context[Any, Any]) -> str:
        """How a run's TODOs stand: the first of them, where not all fit; list_todos has pages."""
        return await _read(bodies.list_todos(context, run))

    _ = run_as_it_stands, todos_as_they_stand
    return server


async def _read(found: Any) -> str:  # noqa: ANN401
    try:
        answer: BaseModel = await found
    except NotFound as error:
        raise ResourceNotFoundError(error.message) from None
    except AtlasError as error:
        raise ResourceError(error.message) from None
    text, _ = answer_json(answer)
    return text
