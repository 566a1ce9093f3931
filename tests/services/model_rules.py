"""What makers of models refuse in a request. `None`: nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, cast

from tests.services.model_wires import Json, Wire

_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def broken_rule(wire: Wire, body: Json) -> str | None:
    """The first rule that a request breaks."""
    checks = {"anthropic": _anthropic, "chat": _chat, "responses": _responses}
    return next(checks[wire](body), None)


def _need(body: Json, *names: str) -> Iterable[str]:
    for name in names:
        if not body.get(name):
            yield f"{name}: Field required"


def _blank(text: object) -> bool:
    return not isinstance(text, str) or not text.strip()


def _anthropic(body: Json) -> Any:
    yield from _need(body, "model", "max_tokens", "messages")
    allowed = {"model", "max_tokens", "messages", "stream", "system", "tools", "cache_control", "output_config"}
    yield from (f"{name}: Extra inputs are not permitted" for name in body.keys() - allowed)
    for block in body.get("system") or ():
        if _blank(block.get("text")):
            yield "system: text content blocks must be non-empty"
    expected, role, seen = set[str](), "user", set[str]()
    for at, message in enumerate(cast(list[Json], body["messages"])):
        if message["role"] != role:
            yield f"messages.{at}: roles must alternate"
        role = "assistant" if role == "user" else "user"
        content = cast(list[Json], message["content"])
        if not content:
            yield f"messages.{at}: content must not be empty"
        yield from _anthropic_content(at, message["role"], content, expected)
        expected = {block["id"] for block in content if block["type"] == "tool_use"}
        if expected & seen:
            yield f"messages.{at}: tool_use ids must be unique"
        seen |= expected
    if role == "user":
        yield "messages: this model does not take a beginning of its reply"


def _anthropic_content(at: int, role: str, content: list[Json], expected: set[str]) -> Any:
    answered = [block["tool_use_id"] for block in content if block["type"] == "tool_result"]
    if set(answered) != expected or len(answered) != len(expected):
        yield f"messages.{at}: tool_use without tool_result in the next message, or the other way round"
    if [block["type"] for block in content[: len(answered)]] != ["tool_result"] * len(answered):
        yield f"messages.{at}: tool_result blocks must come first"
    for block in content:
        kind = block["type"]
        if kind not in {"user": ("text", "tool_result")}.get(role, ("text", "tool_use", *_THOUGHTS)):
            yield f"messages.{at}: unexpected {kind}"
        if kind == "text" and _blank(block["text"]):
            yield f"messages.{at}: text content blocks must contain non-whitespace text"
        if kind == "tool_use" and not (_ID.fullmatch(block["id"]) and _ID.fullmatch(block["name"])):
            yield f"messages.{at}: ids and names must match {_ID.pattern}"
        if kind == "tool_use" and not isinstance(block["input"], dict):
            yield f"messages.{at}: input must be a dictionary"
    if content[-1]["type"] in _THOUGHTS:
        yield f"messages.{at}: the final block of an assistant message cannot be thinking"


_THOUGHTS = ("thinking", "redacted_thinking")


def _chat(body: Json) -> Any:
    yield from _need(body, "model", "messages")
    messages = cast(list[Json], body["messages"])
    expected: list[str] = []
    last = ""
    for at, message in enumerate(messages):
        role = message["role"]
        if role == "system" and at:
            yield "the system message comes first"
        if role == "tool":
            if message["tool_call_id"] not in expected:
                yield f"messages.{at}: a tool message must follow its tool_calls"
            else:
                expected.remove(message["tool_call_id"])
            last = "tool"
            continue
        if expected:
            yield f"messages.{at}: tool_calls {expected} are not answered"
        if role == last or (role == "assistant" and last in ("", "system")):
            yield f"messages.{at}: conversation roles must alternate user/assistant/user/assistant"
        if _blank(message.get("content")) and not message.get("tool_calls"):
            yield f"messages.{at}: content must not be empty"
        for call in message.get("tool_calls") or ():
            yield from _call(call["id"], call["function"]["name"], call["function"]["arguments"])
            expected.append(call["id"])
        last = role
    if expected or last == "assistant":
        yield "the last message must be the user's or a tool's"


def _responses(body: Json) -> Any:
    yield from _need(body, "model", "input")
    if body.get("store") is not False:
        yield "this server stores nothing"
    yield from _pairs(body["input"])
    thought = False
    for at, item in enumerate(cast(list[Json], body["input"])):
        kind = item.get("type", "message")
        if thought and kind not in ("reasoning", "function_call") and item.get("role") != "assistant":
            yield f"input.{at}: reasoning was provided without its required following item"
        thought = kind == "reasoning"
        if thought and not item.get("encrypted_content"):
            yield f"input.{at}: no such item: nothing is stored"
        if kind == "message" and _blank(item["content"]):
            yield f"input.{at}: content must not be empty"
    if thought:
        yield "reasoning was provided without its required following item"


def _pairs(items: list[Json]) -> Any:
    """Of calls and their outputs."""
    waiting, called = set[str](), set[str]()
    for at, item in enumerate(items):
        match item.get("type", "message"):
            case "function_call":
                yield from _call(item["call_id"], item["name"], item["arguments"])
                if item["call_id"] in called:
                    yield f"input.{at}: duplicate call_id"
                called.add(item["call_id"])
                waiting.add(item["call_id"])
            case "function_call_output":
                if item["call_id"] not in waiting:
                    yield f"input.{at}: No tool call found for function call output"
                waiting.discard(item["call_id"])
            case "message" if waiting and item["role"] == "user":
                yield f"input.{at}: No tool output found for {waiting}"
            case _:
                pass
    if waiting:
        yield f"No tool output found for {waiting}"


def _call(id: str, name: str, arguments: str) -> Any:
    if not (_ID.fullmatch(id) and len(id) <= 40 and _ID.fullmatch(name)):
        yield f"ids and names must match {_ID.pattern}"
    if not isinstance(json.loads(arguments), dict):
        yield "arguments must be an object"
