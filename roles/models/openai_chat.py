"""OpenAI's chat completions, which Ollama, vLLM, llama.cpp, Groq and most others speak too; always streamed.

Those differ in what they leave out, so that little is demanded of them: usage is estimated where none is told, ids are
made up where none are given. What they tell of their reasoning is not kept: none of them wants it back.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from roles.models.calls import CallReader, clean, written
from roles.models.exchange import converse, patience, server_of
from roles.models.failures import Complaint, Source, refusal
from roles.models.openai import LONGEST_CACHE_KEY, NO_KEY, Details, open_client, usage_of
from roles.models.port import Block, Message, Meter, Reply, Request, Stop, Text, ToolCall, ToolResult
from roles.models.reading import Number, Read, Words
from roles.models.replies import finished
from roles.models.turns import each_turn

if TYPE_CHECKING:
    from openai import AsyncStream
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming


class ChatCompletionsModel:
    """One model of a server that speaks chat completions. `openai`: the server is OpenAI's own, which knows more."""

    def __init__(
        self,
        provider: str,
        model: str,
        *,
        key: str | None = None,
        key_variable: str = "",
        base_url: str | None = None,
        openai: bool = False,
    ) -> None:
        self._client = open_client(key or NO_KEY, base_url)
        self._source = Source(provider, model, server_of(self._client.base_url), key_variable, key or "")
        self._openai = openai

    @property
    def name(self) -> str:
        """``provider/model``."""
        return self._source.name

    @property
    def maker(self) -> str:
        """The provider."""
        return self._source.provider

    async def reply(self, request: Request, meter: Meter) -> Reply:
        """Ask once."""
        asked = self._asked(request)
        hearing = _Hearing(meter)

        async def opening() -> AsyncStream[ChatCompletionChunk]:
            meter.sent()
            return await self._client.chat.completions.create(**asked, timeout=patience(request))

        await converse(self._source, request, opening, hearing.take)
        return hearing.reply(self._source, request)

    async def close(self) -> None:
        """Its connections."""
        await self._client.close()

    def _asked(self, request: Request) -> CompletionCreateParamsStreaming:
        messages = [each for turn in each_turn(request.messages, self.maker, _messages) for each in turn]
        if request.system.strip():
            messages.insert(0, {"role": "system", "content": clean(request.system)})
        asked: dict[str, Any] = {
            "model": self._source.model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.tools:
            asked["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": each.name, "description": each.description, "parameters": dict(each.parameters),
                    },
                }
                for each in request.tools
            ]  # fmt: skip
        if request.effort:
            asked["reasoning_effort"] = request.effort
        if not self._openai:
            asked["max_tokens"] = request.output_tokens
            return cast("CompletionCreateParamsStreaming", asked)
        asked |= {"max_completion_tokens": request.output_tokens, "store": False}
        if request.conversation:
            asked["prompt_cache_key"] = request.conversation[:LONGEST_CACHE_KEY]
        return cast("CompletionCreateParamsStreaming", asked)


def _messages(turn: Message) -> list[dict[str, Any]]:
    return list(_written(turn))


def _written(turn: Message) -> Iterator[dict[str, Any]]:
    words = "\n\n".join(block.text for block in turn.blocks if isinstance(block, Text))
    if turn.role == "assistant":
        calls = [_call(block) for block in turn.blocks if isinstance(block, ToolCall)]
        yield {"role": "assistant", "content": words or None} | ({"tool_calls": calls} if calls else {})
        return
    for block in turn.blocks:
        if isinstance(block, ToolResult):
            text = f"Failed: {block.text}" if block.failed else block.text
            yield {"role": "tool", "tool_call_id": block.id, "content": text}
    if words:
        yield {"role": "user", "content": words}


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": written(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


class _Function(Read):
    name: Words = ""
    arguments: str | dict[str, Any] | None = None


class _CallPiece(Read):
    index: int | None = None
    id: Words = ""
    function: _Function | None = None


class _Delta(Read):
    content: Words = ""
    refusal: Words = ""
    reasoning_content: Words = ""
    reasoning: Words = ""
    tool_calls: list[_CallPiece] | None = None


class _Choice(Read):
    index: Number = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Usage(Read):
    prompt_tokens: Number = 0
    completion_tokens: Number = 0
    prompt_tokens_details: Details | None = None


class _Chunk(Read):
    model: Words = ""
    choices: list[_Choice] | None = None
    usage: _Usage | None = None


@dataclass
class _Call:
    """A call as far as it has come."""

    id: str
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])


class _Hearing:
    """Puts one reply together."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._words: list[str] = []
        self._refusal: list[str] = []
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}
        self._model = ""
        self._finish: str | None = None

    def take(self, event: object) -> bool:
        """Whether the reply is whole with this."""
        chunk = _Chunk.of(event)
        self._model = chunk.model or self._model
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._more(choice.delta or _Delta())
                self._finish = choice.finish_reason or self._finish
        if chunk.usage:
            told = chunk.usage
            if usage := usage_of(told.prompt_tokens, told.prompt_tokens_details, told.completion_tokens):
                self._meter.told(usage, final=self._finish is not None)
        return self._finish is not None

    def _more(self, delta: _Delta) -> None:
        self._words.append(delta.content)
        self._refusal.append(delta.refusal)
        self._meter.heard(delta.content + delta.refusal)
        self._meter.heard(delta.reasoning_content or delta.reasoning, aloud=False)
        for piece in delta.tool_calls or ():
            self._more_of_call(piece)

    def _more_of_call(self, piece: _CallPiece) -> None:
        index = piece.index
        call = self._at.get(index) if index is not None else next(reversed(self._calls), None)
        if call is None or (piece.id and call.id and piece.id != call.id):
            call = _Call(piece.id)
            self._calls.append(call)
            if index is not None:
                self._at[index] = call
        call.id = call.id or piece.id
        if function := piece.function:
            call.name = call.name or function.name
            more = function.arguments or ""
            call.arguments.append(more if isinstance(more, str) else written(more))
            self._meter.heard(call.arguments[-1], aloud=False)

    def reply(self, source: Source, request: Request) -> Reply:
        """When it is whole."""
        if self._finish == "error":
            raise refusal(source, request, Complaint())
        stop = _STOPS.get(self._finish or "", "end")
        reader = CallReader(request.messages, lambda: f"call_{uuid.uuid4().hex[:24]}")
        refused = "".join(self._refusal)
        words = "".join(self._words) or refused
        blocks: list[Block] = [Text(words)] if words else []
        for call in self._calls:
            cut = stop == "length" and call is self._calls[-1]
            blocks.append(reader.read(call.id, call.name, "".join(call.arguments), cut=cut))
        return finished(source, blocks, "refused" if refused else stop, self._meter, self._model or source.model)


_STOPS: dict[str, Stop] = {
    "length": "length", "tool_calls": "tools", "function_call": "tools", "content_filter": "refused",
}  # fmt: skip
