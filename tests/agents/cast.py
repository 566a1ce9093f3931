"""What a server of models is asked, whichever wire it came over; and how each role's model answers in a test."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from tests.services.model_server import Asked
from tests.services.model_wires import Answer, Call, Json, Part, Say

ROLES = ("prometheus", "metis", "hephaestus", "oracle", "librarian")
_WHO = re.compile(r"You are (Prometheus|Metis|Hephaestus|Oracle|the Librarian)[:,]")


@dataclass(frozen=True)
class Turn:
    """One turn as the server was sent it. `calls` are (name, arguments), `results` texts."""

    role: str
    words: str = ""
    calls: Sequence[tuple[str, Any]] = ()
    results: Sequence[str] = ()


@dataclass(frozen=True)
class Heard:
    """One request, understood."""

    role: str
    turns: Sequence[Turn]
    tools: Sequence[str]
    system: str
    asked: Asked = field(repr=False)

    @property
    def first(self) -> str:
        """What the conversation began with."""
        return self.turns[0].words

    @property
    def last(self) -> str:
        """What was said to the model last, results of its calls included."""
        turn = self.turns[-1]
        return "\n".join((*turn.results, turn.words))

    @property
    def replies(self) -> int:
        """How often the model has spoken in this conversation."""
        return sum(turn.role == "assistant" for turn in self.turns)

    @property
    def text(self) -> str:
        """Everything of the conversation."""
        return "\n".join(text for turn in self.turns for text in (turn.words, *turn.results))

    def called(self, name: str) -> int:
        """How often the model has called this tool in this conversation."""
        return sum(call == name for turn in self.turns for call, _ in turn.calls)


Answering = Answer | Part | Sequence[Part]
Player = Callable[[Heard], Answering]
"""Answers for one role."""
Cast = Mapping[str, Player]


def call(name: str, /, **arguments: object) -> Call:
    """A call of a tool."""
    return Call(name, json.dumps(arguments), "")


def acts(*replies: Answering) -> Player:
    """Gives these replies in order in every conversation, and the last one again and again."""
    return lambda heard: replies[min(heard.replies, len(replies) - 1)]


def writes(path: str = "answer.txt", content: str = "right\n") -> Call:
    """Writes a file."""
    return call("workspace_write", path=path, content=content)


def runs(command: str) -> Call:
    """Runs a command."""
    return call("workspace_run", command=command)


def lists(*items: str) -> Call:
    """Sets the checklist."""
    return call("checklist", action="set", items=list(items))


def ticks(item: int) -> Call:
    """Says that an item of the checklist has come true."""
    return call("checklist", action="complete", item=item)


DONE = call("done", summary="It is done.")
APPROVED = call("verdict", approve=True)
TRY_AGAIN = call("diagnosis", cause="It was not done.", approach="Try again.")
WORKS = acts(writes(), DONE)
"""Does what the usual TODO wants."""
USUAL: Cast = {
    "prometheus": acts(Say("I have no plan.")),
    "metis": acts(APPROVED),
    "hephaestus": WORKS,
    "oracle": acts(TRY_AGAIN),
    "librarian": lambda heard: call("report", markdown="# It is over") if "report" in heard.tools else call("notes"),
}


@dataclass
class Stage:
    """Answers a server's requests by who asks. `heard` is everything that was asked; ids of calls are unique."""

    cast: dict[str, Player] = field(default_factory=lambda: dict(USUAL))
    heard: list[Heard] = field(default_factory=list[Heard])
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def answer(self, asked: Asked) -> Answer:
        """For `ModelServer.chosen`."""
        heard = understood(asked)
        self.heard.append(heard)
        given = self.cast[heard.role](heard)
        if not isinstance(given, Answer):
            given = Answer(given if isinstance(given, Sequence) else (given,), chunk=4_000)
        return replace(given, parts=[self._named(part) for part in given.parts])

    def by(self, role: str) -> list[Heard]:
        """What this role's model was asked."""
        return [each for each in self.heard if each.role == role]

    def _named(self, part: Part) -> Part:
        return replace(part, id=f"call_{next(self._numbers)}") if isinstance(part, Call) else part


def understood(asked: Asked) -> Heard:
    """The request of either wire."""
    body = asked.body
    system, turns = {"anthropic": _anthropic, "chat": _chat, "responses": _responses}[asked.wire](body)
    tools = [tool.get("name") or tool["function"]["name"] for tool in body.get("tools") or ()]
    found = _WHO.search(system)
    assert found, f"nobody is named: {system[:200]}"
    return Heard(found[1].rpartition(" ")[2].lower(), turns, tools, system, asked)


def _anthropic(body: Json) -> tuple[str, list[Turn]]:
    system = "\n".join(block["text"] for block in body.get("system") or ())
    return system, [_anthropic_turn(message) for message in cast("list[Json]", body["messages"])]


def _anthropic_turn(message: Json) -> Turn:
    blocks: list[Json] = message["content"]
    return Turn(
        message["role"],
        "\n".join(block["text"] for block in blocks if block["type"] == "text"),
        [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"],
        [_plain(block["content"]) for block in blocks if block["type"] == "tool_result"],
    )


def _chat(body: Json) -> tuple[str, list[Turn]]:
    turns: list[Turn] = []
    system = ""
    for message in cast("list[Json]", body["messages"]):
        words = _plain(message.get("content") or "")
        match message["role"]:
            case "system":
                system = words
            case "assistant":
                functions = [each["function"] for each in message.get("tool_calls") or ()]
                calls = [(each["name"], json.loads(each["arguments"])) for each in functions]
                turns.append(Turn("assistant", words, calls))
            case "tool":
                before = turns.pop() if turns[-1].role == "user" else Turn("user")
                turns.append(replace(before, results=[*before.results, words]))
            case _:
                before = turns.pop() if turns and turns[-1].role == "user" else Turn("user")
                turns.append(replace(before, words=before.words + words))
    return system, turns


def _responses(body: Json) -> tuple[str, list[Turn]]:
    turns: list[Turn] = []
    for item in cast("list[Json]", body["input"]):
        kind = item.get("type", "message")
        if kind == "reasoning":
            continue
        role = "assistant" if kind == "function_call" or item.get("role") == "assistant" else "user"
        now = turns.pop() if turns and turns[-1].role == role else Turn(role)
        match kind:
            case "function_call":
                now = replace(now, calls=[*now.calls, (item["name"], json.loads(item["arguments"]))])
            case "function_call_output":
                now = replace(now, results=[*now.results, _plain(item["output"])])
            case _:
                now = replace(now, words=now.words + _plain(item["content"]))
        turns.append(now)
    return body.get("instructions", ""), turns


def _plain(content: object) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text", "")) for block in cast("list[Json]", content))
