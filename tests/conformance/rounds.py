"""Tools of the conformance suite that ask the client for input in rounds of their own (2026-07-28)."""

from __future__ import annotations

import json
from typing import Any

from mcp.server.mcpserver import Context
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
)

from mcp_servers.manners import Tools


def form(message: str, **properties: str) -> ElicitRequest:
    """A form with these fields, all required; each value is a JSON type."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def question(text: str) -> CreateMessageRequest:
    """For the client's model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=50))


def asking(state: str | None = None, **requests: InputRequest) -> InputRequiredResult:
    return InputRequiredResult(input_requests=requests, request_state=state)


def answer(context: Context[Any, Any], name: str, field: str) -> object:
    """What the client answered to a form, if it did."""
    given = (context.input_responses or {}).get(name)
    return given.content.get(field) if isinstance(given, ElicitResult) and given.content else None


async def test_input_required_result_elicitation(context: Context[Any, Any]) -> str | InputRequiredResult:
    """Ask for a name."""
    name = answer(context, "user_name", "name")
    return f"Hello, {name}!" if name else asking(user_name=form("What is your name?", name="string"))


async def test_input_required_result_sampling(context: Context[Any, Any]) -> str | InputRequiredResult:
    """Ask the client's model."""
    given = (context.input_responses or {}).get("capital_question")
    if isinstance(given, CreateMessageResult) and given.content.type == "text":
        return f"Model said: {given.content.text}"
    return asking(capital_question=question("What is the capital of France?"))


async def test_input_required_result_list_roots(context: Context[Any, Any]) -> str | InputRequiredResult:
    """Ask for the client's roots."""
    given = (context.input_responses or {}).get("client_roots")
    if isinstance(given, ListRootsResult):
        return f"The client has {len(given.roots)} roots."
    return asking(client_roots=ListRootsRequest())


async def test_input_required_result_request_state(context: Context[Any, Any]) -> str | InputRequiredResult:
    """Ask for a confirmation, and have the client hold our state meanwhile."""
    if context.input_responses and context.request_state == "held":
        return "state-ok: confirmed"
    return asking("held", confirm=form("Please confirm", ok="boolean"))


async def test_input_required_result_tampered_state(context: Context[Any, Any]) -> str | InputRequiredResult:
    """Have the client hold our state, which it must not change."""
    if context.request_state:
        return f"state-ok: {context.request_state}"
    return asking("held", confirm=form("Please confirm", ok="boolean"))


async def test_input_required_result_multiple_inputs(context: Context[Any, Any]) -> str | InputRequiredResult:
    """Ask for three things at once."""
    if {"user_name", "greeting", "client_roots"} <= set(context.input_responses or {}):
        return "All inputs received."
    return asking(
        "several",
        user_name=form("What is your name?", name="string"),
        greeting=question("Generate a greeting"),
        client_roots=ListRootsRequest(),
    )


async def test_input_required_result_multi_round(context: Context[Any, Any]) -> str | InputRequiredResult:
    """Ask for a name, then for a colour."""
    state: dict[str, Any] = json.loads(context.request_state) if context.request_state else {"round": 0}
    name, color = answer(context, "step1", "name"), answer(context, "step2", "color")
    if state["round"] == 2 and color:
        return f"{state['name']} likes {color}."
    if state["round"] == 1 and name:
        asked = form("Which colour do you like?", color="string")
        return asking(json.dumps({"round": 2, "name": name}), step2=asked)
    return asking(json.dumps({"round": 1}), step1=form("What is your name?", name="string"))


async def test_input_required_result_capabilities(context: Context[Any, Any]) -> InputRequiredResult:
    """Ask for no more than the client can give."""
    able = context.client_capabilities
    requests: dict[str, InputRequest] = {}
    if able is None or able.sampling is not None:
        requests["sample"] = question("Say hello")
    if able is None or able.elicitation is not None:
        requests["ask"] = form("What is your name?", name="string")
    return asking("able", **requests)


def register(tools: Tools) -> None:
    """Offer them."""
    for body in (
        test_input_required_result_elicitation, test_input_required_result_sampling,
        test_input_required_result_list_roots, test_input_required_result_request_state,
        test_input_required_result_tampered_state, test_input_required_result_multiple_inputs,
        test_input_required_result_multi_round, test_input_required_result_capabilities,
    ):  # fmt: skip
        tools.add(body, "reads", body.__name__)
