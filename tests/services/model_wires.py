"""How makers of models write a reply on the wire: each as the pieces that its server sends one after the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Wire = Literal["anthropic", "chat", "responses"]
Json = dict[str, Any]


@dataclass(frozen=True)
class Say:
    """Words."""

    text: str


@dataclass(frozen=True)
class Call:
    """A call of a tool; `arguments` as text, so that it need not be JSON."""

    name: str
    arguments: str = "{}"
    id: str = "call_1"


@dataclass(frozen=True)
class Think:
    """Reasoning, with what proves it."""

    text: str = "Let me see."
    proof: str = "c2lnbmVk"
    redacted: bool = False


Part = Say | Call | Think


@dataclass(frozen=True)
class Billed:
    """What the server says was used; the three kinds of input add up."""

    input: int = 100
    cached: int = 0
    written: int = 0
    output: int = 20


@dataclass(frozen=True)
class Answer:
    """What one request is answered with.

    `chunk`: characters in one piece; `delay`: seconds before each piece; `pings`: how many keep-alives for each.
    `cut_at`: so many bytes of the body, then the connection ends. `error_after`: so many pieces, then `error` as an
    event. `hold_after`: so many pieces, then silence; -1: not even a status. `body`: exactly this instead of a reply.
    """

    parts: Sequence[Part] = (Say("Hello there."),)
    stop: Literal["end", "tools", "length", "refused", "overflow"] | None = None
    usage: Billed | None = field(default_factory=Billed)
    chunk: int = 4
    delay: float = 0.0
    pings: bool = False
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    content_type: str = "text/event-stream"
    cut_at: int | None = None
    error_after: int | None = None
    error: Json = field(default_factory=lambda: {"type": "overloaded_error", "message": "Overloaded"})
    hold_after: int | None = None

    @property
    def stopped(self) -> str:
        """`stop`, or what follows from the parts."""
        return self.stop or ("tools" if any(isinstance(part, Call) for part in self.parts) else "end")


@dataclass(frozen=True)
class Piece:
    """Some bytes; `tokens` of output in them."""

    data: bytes
    tokens: int = 0


def pieces(wire: Wire, model: str, answer: Answer) -> list[Piece]:
    """The whole body, undisturbed."""
    return list(_WIRES[wire](model, answer))


def error_event(wire: Wire, error: Json) -> bytes:
    """An error within a reply."""
    if wire == "anthropic":
        return event({"type": "error", "error": error}, "error")
    if wire == "chat":
        return event({"error": error})
    return event({"type": "error", "code": error.get("type"), "message": error.get("message"), "param": None}, "error")


def error_body(wire: Wire, error: Json) -> bytes:
    """An error instead of a reply."""
    return json.dumps({"type": "error", "error": error} if wire == "anthropic" else {"error": error}).encode()


def event(data: Json, name: str | None = None) -> bytes:
    """A server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def _split(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // 4)


def _anthropic(model: str, answer: Answer) -> Iterator[Piece]:
    def tell(type: str, tokens: int = 0, **fields: Any) -> Piece:
        return Piece(event({"type": type, **fields}, type), tokens)

    used = answer.usage
    start = used and {
        "input_tokens": used.input, "output_tokens": 1, "cache_read_input_tokens": used.cached,
        "cache_creation_input_tokens": used.written,
    }  # fmt: skip
    message: Json = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": start,
    }  # fmt: skip
    yield tell("message_start", message=message)
    yield tell("ping")
    for index, part in enumerate(answer.parts):
        begun, deltas = _anthropic_block(part, answer.chunk)
        yield tell("content_block_start", index=index, content_block=begun)
        for delta, words in deltas:
            yield tell("content_block_delta", _tokens(words), index=index, delta=delta)
        yield tell("content_block_stop", index=index)
    reason = {
        "end": "end_turn", "tools": "tool_use", "length": "max_tokens", "refused": "refusal",
        "overflow": "model_context_window_exceeded",
    }[answer.stopped]  # fmt: skip
    ended = {"output_tokens": used.output} if used else None
    yield tell("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=ended)
    yield tell("message_stop")


def _anthropic_block(part: Part, size: int) -> tuple[Json, list[tuple[Json, str]]]:
    match part:
        case Say(text):
            return {"type": "text", "text": ""}, [
                ({"type": "text_delta", "text": each}, each) for each in _split(text, size)
            ]
        case Call():
            begun: Json = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
            written = _split(part.arguments, size)
            return begun, [({"type": "input_json_delta", "partial_json": each}, each) for each in written]
        case Think(redacted=True):
            return {"type": "redacted_thinking", "data": part.proof}, []
        case Think():
            said = [({"type": "thinking_delta", "thinking": each}, each) for each in _split(part.text, size)]
            signed: Json = {"type": "signature_delta", "signature": part.proof}
            return {"type": "thinking", "thinking": "", "signature": ""}, [*said, (signed, "")]


def _chat(model: str, answer: Answer) -> Iterator[Piece]:
    def tell(tokens: int = 0, finish: str | None = None, **delta: Any) -> Piece:
        choice: Json = {"index": 0, "delta": delta, "finish_reason": finish}
        return Piece(event(base | {"choices": [choice], "usage": None}), tokens)

    base: Json = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model}
    yield tell(role="assistant", content="")
    number = 0
    for part in answer.parts:
        match part:
            case Say(text):
                for each in _split(text, answer.chunk):
                    yield tell(_tokens(each), content=each)
            case Think(text):
                for each in _split(text, answer.chunk):
                    yield tell(_tokens(each), reasoning_content=each)
            case Call():
                function: Json = {"name": part.name, "arguments": ""}
                yield tell(tool_calls=[{"index": number, "id": part.id, "type": "function", "function": function}])
                for each in _split(part.arguments, answer.chunk):
                    yield tell(_tokens(each), tool_calls=[{"index": number, "function": {"arguments": each}}])
                number += 1
    reason = {"end": "stop", "tools": "tool_calls", "length": "length", "refused": "content_filter"}[answer.stopped]
    yield tell(finish=reason)
    if used := answer.usage:
        prompt = used.input + used.cached + used.written
        details: Json = {"cached_tokens": used.cached, "cache_write_tokens": used.written}
        told: Json = {
            "prompt_tokens": prompt, "completion_tokens": used.output, "total_tokens": prompt + used.output,
            "prompt_tokens_details": details,
        }  # fmt: skip
        yield Piece(event(base | {"choices": [], "usage": told}))
    yield Piece(b"data: [DONE]\n\n")


def _responses(model: str, answer: Answer) -> Iterator[Piece]:
    number = -1

    def tell(type: str, tokens: int = 0, **fields: Any) -> Piece:
        nonlocal number
        number += 1
        return Piece(event({"type": type, "sequence_number": number, **fields}, type), tokens)

    response: Json = {
        "id": "resp_1", "object": "response", "created_at": 1, "model": model, "status": "in_progress", "output": [],
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": None,
    }  # fmt: skip
    yield tell("response.created", response=response)
    output: list[Json] = []
    for index, part in enumerate(answer.parts):
        done, begun, kind, words = _responses_item(part, index, answer.stopped == "refused")
        output.append(done)
        yield tell("response.output_item.added", output_index=index, item=begun)
        for each in _split(words, answer.chunk):
            yield tell(kind, _tokens(each), output_index=index, item_id=begun["id"], content_index=0, delta=each)
        yield tell("response.output_item.done", output_index=index, item=done)
    used, incomplete = answer.usage, answer.stopped in ("length", "refused")
    ended: Json = {"status": "incomplete" if incomplete else "completed", "output": output}
    if incomplete:
        reason = "max_output_tokens" if answer.stopped == "length" else "content_filter"
        ended["incomplete_details"] = {"reason": reason}
    if used:
        total = used.input + used.cached + used.written
        ended["usage"] = {
            "input_tokens": total, "output_tokens": used.output, "total_tokens": total + used.output,
            "input_tokens_details": {"cached_tokens": used.cached, "cache_write_tokens": used.written},
            "output_tokens_details": {"reasoning_tokens": 0},
        }  # fmt: skip
    yield tell(f"response.{ended['status']}", response=response | ended)


def _responses_item(part: Part, index: int, refused: bool) -> tuple[Json, Json, str, str]:
    """The item as it is when done and when it begins, and how its words come."""
    match part:
        case Say(text):
            content: Json = {"type": "output_text", "text": text, "annotations": []}
            kind = "response.output_text.delta"
            if refused:
                content, kind = {"type": "refusal", "refusal": text}, "response.refusal.delta"
            begun: Json = {"type": "message", "id": f"msg_{index}", "role": "assistant", "content": []}
            return begun | {"status": "completed", "content": [content]}, begun, kind, text
        case Call():
            begun = {"type": "function_call", "id": f"fc_{index}", "call_id": part.id, "name": part.name}
            done = begun | {"arguments": part.arguments, "status": "completed"}
            return done, begun | {"arguments": ""}, "response.function_call_arguments.delta", part.arguments
        case Think():
            begun = {"type": "reasoning", "id": f"rs_{index}", "summary": []}
            summary = [{"type": "summary_text", "text": part.text}]
            done = begun | {"summary": summary, "encrypted_content": part.proof}
            return done, begun, "response.reasoning_summary_text.delta", part.text


_WIRES: dict[Wire, Callable[[str, Answer], Iterator[Piece]]] = {
    "anthropic": _anthropic,
    "chat": _chat,
    "responses": _responses,
}
