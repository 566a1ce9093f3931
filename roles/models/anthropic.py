"""Anthropic's Messages, always streamed.

What is cached: tools and system by a mark that stays, the conversation by one that Anthropic moves along itself.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from roles.models.calls import CallReader, clean
from roles.models.exchange import converse, patience, server_of
from roles.models.failures import Complaint, Source, refusal
from roles.models.port import Block, Kept, Message, Meter, Reply, Request, Stop, Text, ToolCall, ToolResult, Usage
from roles.models.reading import Number, Read, Words, kind_of
from roles.models.replies import finished
from roles.models.turns import each_turn

if TYPE_CHECKING:
    from anthropic import AsyncStream
    from anthropic.types import MessageParam, RawMessageStreamEvent, ToolParam
    from anthropic.types.message_create_params import MessageCreateParamsStreaming


class AnthropicModel:
    """One model of Anthropic, or of a server that speaks as theirs do."""

    def __init__(
        self,
        provider: str,
        model: str,
        *,
        key: str | None = None,
        token: str | None = None,
        key_variable: str = "",
        base_url: str | None = None,
    ) -> None:
        """`key` or `token`, as the SDK tells them apart."""
        from anthropic import AsyncAnthropic

        self._client = AsyncAnthropic(api_key=key, auth_token=token, base_url=base_url, max_retries=0)
        self._source = Source(provider, model, server_of(self._client.base_url), key_variable, key or token or "")

    @property
    def name(self) -> str:
        """``provider/model``."""
        return self._source.name

    @property
    def maker(self) -> str:
        """The provider: signatures of one mean nothing to another."""
        return self._source.provider

    async def reply(self, request: Request, meter: Meter) -> Reply:
        """Ask once."""
        asked = _asked(self._source, request)
        hearing = _Hearing(meter)

        async def opening() -> AsyncStream[RawMessageStreamEvent]:
            meter.sent()
            return await self._client.messages.create(**asked, timeout=patience(request))

        await converse(self._source, request, opening, hearing.take)
        return hearing.reply(self._source, request)

    async def close(self) -> None:
        """Its connections."""
        await self._client.close()


def _asked(source: Source, request: Request) -> MessageCreateParamsStreaming:
    asked: MessageCreateParamsStreaming = {
        "model": source.model,
        "max_tokens": request.output_tokens,
        "stream": True,
        "messages": each_turn(request.messages, source.provider, _message),
        "cache_control": {"type": "ephemeral"},
    }
    if request.system.strip():
        asked["system"] = [{"type": "text", "text": clean(request.system), "cache_control": {"type": "ephemeral"}}]
    if request.tools:
        asked["tools"] = [_tool(each.name, each.description, dict(each.parameters)) for each in request.tools]
    if request.effort:
        asked["output_config"] = {"effort": request.effort}
    return asked


def _tool(name: str, description: str, schema: dict[str, Any]) -> ToolParam:
    return {"name": name, "description": description, "input_schema": schema}


def _message(turn: Message) -> MessageParam:
    return cast("MessageParam", {"role": turn.role, "content": [_block(block) for block in turn.blocks]})


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Text(text):
            return {"type": "text", "text": text}
        case ToolCall():
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": dict(block.arguments)}
        case ToolResult():
            shown = {"content": block.text} if block.text.strip() else {}
            failed = {"is_error": True} if block.failed else {}
            return {"type": "tool_result", "tool_use_id": block.id, **shown, **failed}
        case Kept():
            return dict(block.data)


class _Usage(Read):
    input_tokens: Number = 0
    cache_read_input_tokens: Number = 0
    cache_creation_input_tokens: Number = 0
    output_tokens: Number = 0


class _Start(Read):
    model: Words = ""
    usage: _Usage | None = None


class _Piece(Read):
    """The beginning of a block, or more of it."""

    type: Words = ""
    id: Words = ""
    name: Words = ""
    text: Words = ""
    thinking: Words = ""
    signature: Words = ""
    data: Words = ""
    input: dict[str, Any] | None = None
    partial_json: Words = ""
    stop_reason: str | None = None


class _Event(Read):
    type: Words = ""
    index: Number = 0
    message: _Start | None = None
    content_block: _Piece | None = None
    delta: _Piece | None = None
    usage: _Usage | None = None


@dataclass
class _Heard:
    """A block as far as it has come."""

    begun: _Piece
    words: list[str] = field(default_factory=list[str])
    signature: str = ""


class _Hearing:
    """Puts one reply together."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._blocks: dict[int, _Heard] = {}
        self._usage = Usage()
        self._model = ""
        self._stop: str | None = None

    def take(self, event: object) -> bool:
        """Whether the reply is whole with this."""
        if kind_of(event) in _KNOWN:
            self._take(_Event.of(event))
        return self._stop is not None

    def _take(self, read: _Event) -> None:
        match read.type:
            case "message_start" if read.message:
                self._model = read.message.model
                self._tell(read.message.usage, final=False)
            case "content_block_start" if read.content_block:
                self._blocks[read.index] = _Heard(read.content_block)
                self._more(read.index, read.content_block)
            case "content_block_delta" if read.delta:
                self._more(read.index, read.delta)
            case "message_delta":
                self._stop = (read.delta and read.delta.stop_reason) or self._stop
                self._tell(read.usage, final=bool(self._stop))
            case _:
                pass

    def _more(self, index: int, piece: _Piece) -> None:
        if index not in self._blocks:
            raise ValueError("a piece of a block that was not begun")
        heard = self._blocks[index]
        words = piece.text or piece.thinking or piece.partial_json
        heard.words.append(words)
        heard.signature += piece.signature
        self._meter.heard(words + piece.signature + piece.data, aloud=bool(piece.text))

    def _tell(self, usage: _Usage | None, *, final: bool) -> None:
        if usage is None:
            return
        known = self._usage
        self._usage = Usage(
            input=max(known.input, usage.input_tokens),
            cached=max(known.cached, usage.cache_read_input_tokens),
            written=max(known.written, usage.cache_creation_input_tokens),
            output=max(known.output, usage.output_tokens),
        )
        if self._usage != Usage():
            self._meter.told(self._usage, final=final)

    def reply(self, source: Source, request: Request) -> Reply:
        """When it is whole."""
        if self._stop == "model_context_window_exceeded":
            raise refusal(source, request, Complaint(codes=frozenset(("context_length_exceeded",))))
        stop = _STOPS.get(self._stop or "", "end")
        reader = CallReader(request.messages, lambda: f"toolu_{uuid.uuid4().hex[:24]}")
        ordered = [self._blocks[index] for index in sorted(self._blocks)]
        blocks: list[Block] = []
        for heard in ordered:
            cut = stop == "length" and heard is ordered[-1]
            blocks += _whole(heard, reader, source.provider, cut=cut)
        return finished(source, blocks, stop, self._meter, self._model or source.model)


_KNOWN = frozenset(("message_start", "content_block_start", "content_block_delta", "message_delta"))
_STOPS: dict[str, Stop] = {"max_tokens": "length", "tool_use": "tools", "refusal": "refused"}


def _whole(heard: _Heard, reader: CallReader, maker: str, *, cut: bool) -> list[Block]:
    words, begun = "".join(heard.words), heard.begun
    match begun.type:
        case "text":
            return [Text(words)] if words else []
        case "tool_use":
            return [reader.read(begun.id, begun.name, words or begun.input or "", cut=cut)]
        case "thinking" if heard.signature:
            return [Kept(maker, {"type": "thinking", "thinking": words, "signature": heard.signature})]
        case "redacted_thinking":
            return [Kept(maker, {"type": "redacted_thinking", "data": begun.data})]
        case _:
            return []
