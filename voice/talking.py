"""Answers what is no command, by a model: sentence by sentence while it is being written. It looks, and proposes; it
changes nothing."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Protocol

from roles.models.port import Message, Reply, Request, Text, ToolCall, ToolResult, ToolSpec
from voice.acts import Start
from voice.saying import Saying
from voice.situation import Situation
from voice.transcripts import language_of
from voice.wording.receipts import LONGEST_TEXT as LONGEST_GOAL
from voice.wording.spoken import sentence

_TURNS = 12
"""Of either side that are remembered."""
_ROUNDS = 4
"""Of tools, for one answer."""
_OUTPUT_TOKENS = 600
_LONGEST_SENTENCE = 400
_TIMEOUT = 60.0
_DATA_CHARACTERS = 6_000
_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")

_TOOLS = (
    ToolSpec(
        "look_at_runs", "All runs that are open or have ended lately, and the questions that wait for the person.",
        {"type": "object", "properties": {}, "additionalProperties": False},
    ),
    ToolSpec(
        "look_at_run", "One run: its state, its TODOs, what went wrong, what it cost.",
        {
            "type": "object", "properties": {"name": {"type": "string", "description": "Its name, or a part of it."}},
            "required": ["name"], "additionalProperties": False,
        },
    ),
    ToolSpec(
        "propose_goal", "Propose work: the person is asked whether to start it.",
        {
            "type": "object",
            "properties": {
                "goal": {"type": "string", "description": "What is to be achieved.", "maxLength": LONGEST_GOAL},
            },
            "required": ["goal"], "additionalProperties": False,
        },
    ),
)  # fmt: skip


class Asks(Protocol):
    """`roles.models.chain.Chain`."""

    async def reply(self, request: Request, say: Callable[[str], None] | None = None) -> Reply: ...


class Looks(Protocol):
    """What a model may look at: `voice.desk.Desk`."""

    async def situation(self) -> Situation: ...

    async def describe(self, name: str) -> str:
        """A run, in words for a model."""
        ...


@dataclass(slots=True)
class _Exchange:
    asked: str
    sentences: list[str]


class ModelTalker:
    """`voice.conversation.Talker`. `heard` tells the sentences that were said to their ends lately: what was cut off is
    remembered as far as it was heard."""

    def __init__(
        self, asks: Callable[[], Awaitable[Asks]], looks: Looks, heard: Callable[[], Sequence[str]], conversation: str
    ) -> None:
        self._asks = asks
        self._looks = looks
        self._heard = heard
        self._conversation = conversation
        self._past: deque[_Exchange] = deque(maxlen=_TURNS)

    async def reply(self, text: str, said: Callable[[Saying], None]) -> Start | None:
        """See `Talker`. `ModelError`, `SettingsError`."""
        exchange = _Exchange(text, [])
        messages = [*self._remembered(), Message("user", [Text(text)])]
        self._past.append(exchange)
        asks = await self._asks()

        def say(written: str) -> None:
            if words := sentence(written, language_of(written), longest=_LONGEST_SENTENCE):
                exchange.sentences.append(words)
                said(Saying(words, "answer"))

        for _ in range(_ROUNDS):
            aloud = Sentences(say)
            reply = await asks.reply(self._request(messages), aloud.more)
            aloud.end()
            goal = next((call.arguments.get("goal") for call in reply.calls if call.name == "propose_goal"), None)
            if isinstance(goal, str) and 0 < len(goal.strip()) <= LONGEST_GOAL:
                return Start(goal.strip())
            if not reply.calls:
                break
            results = [ToolResult(call.id, await self._look(call)) for call in reply.calls]
            messages += [Message("assistant", reply.blocks), Message("user", results)]
        return None

    def _request(self, messages: Sequence[Message]) -> Request:
        return Request(
            _prompt(), messages, _TOOLS, output_tokens=_OUTPUT_TOKENS, effort="low", timeout=_TIMEOUT,
            idle=_TIMEOUT / 2, conversation=self._conversation,
        )  # fmt: skip

    def _remembered(self) -> list[Message]:
        heard = set(self._heard())
        messages: list[Message] = []
        for past in self._past:
            known = [each for each in past.sentences if each in heard]
            cut = " (interrupted)" if len(known) < len(past.sentences) else ""
            messages.append(Message("user", [Text(past.asked)]))
            messages.append(Message("assistant", [Text((" ".join(known) or "…") + cut)]))
        return messages

    async def _look(self, call: ToolCall) -> str:
        if call.name == "look_at_run":
            told = await self._looks.describe(str(call.arguments.get("name", "")))
        elif call.name == "look_at_runs":
            now = await self._looks.situation()
            told = json.dumps(
                {
                    "runs": [
                        {"name": run.name, "state": run.state, "done": run.progress.settled, "of": run.progress.total}
                        for run in now.runs
                    ],
                    "questions": [{"text": each.text, "choices": each.choices} for each in now.questions],
                },
                ensure_ascii=False,
            )
        elif call.name == "propose_goal":
            return f"a goal is a text of at most {LONGEST_GOAL} characters: the person has to hear all of it"
        else:
            return "there is no such tool"
        return f"<data>{told[:_DATA_CHARACTERS].replace('</data>', '')}</data>"


class Sentences:
    """Makes sentences of pieces of text, and gives each as soon as it is whole."""

    def __init__(self, give: Callable[[str], None]) -> None:
        self._give = give
        self._rest = ""

    def more(self, piece: str) -> None:
        """Of the text."""
        self._rest += piece
        *whole, self._rest = _END.split(self._rest)
        for each in whole:
            self._give(each)

    def end(self) -> None:
        """What is left is the last."""
        rest, self._rest = self._rest.strip(), ""
        if rest:
            self._give(rest)


@lru_cache(maxsize=1)
def _prompt() -> str:
    return (files("voice") / "prompts" / "talk.md").read_text("utf-8")
