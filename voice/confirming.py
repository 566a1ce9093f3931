"""Answers to "are you sure?" in more than a word: "yes, cancel it". Part of `voice.dialogue`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from voice.acts import Act, AnswerQuestion, ChangeRuns, Start, StartNamed

_YES = re.compile(
    r"\s*(?:(?:yes|yeah|yep|yup|sure|ok|okay)\b|是的|是|对的|对|好的|好|确定|确认|可以)[\s,.!，。！]*", re.IGNORECASE
)
_NO = re.compile(r"\s*(?:(?:no|nope|nah|don't|do not)\b|不要|不用|不是|不|别)[\s,.!，。！]*", re.IGNORECASE)
_VERBS = {
    "stop": ("stop", "cancel", "end", "kill", "停止", "停掉", "停", "终止", "取消"),
    "cancel": ("cancel", "stop", "end", "kill", "取消", "停止", "停掉", "停", "终止"),
    "hold": ("pause", "hold", "暂停"),
    "resume": ("resume", "continue", "go on", "继续", "恢复"),
    "retry": ("retry", "try", "重试"),
    "start": ("start", "begin", "run", "launch", "开始", "启动", "运行"),
}  # fmt: skip
_ALWAYS = ("do", "go ahead", "做")
"""But to an answer that is a no."""
_IT = re.compile(
    r"[\s,]*(?:(?:it|that|this|them|so|now|please|again|with|everything|all|of|the|for|good|run|runs|one"
    r"|他|它|吧|掉|了|请|全部)[\s,.!，。！]*)*",
    re.IGNORECASE,
)


def confirms(text: str, acts: Sequence[Act]) -> Literal["yes", "again"] | None:
    """What somebody says to acts that were read back: "again" where it begins as an answer and goes on as something
    else; None: it is no answer. What is nothing but a yes or a no is a command, and does not come here."""
    if yes := _YES.match(text):
        rest = text[yes.end() :].strip(" .,!?。，！？")
        return "yes" if not rest or any(_says(rest, verb) for verb in _verbs(acts)) else "again"
    return "again" if _NO.match(text) else None


def _verbs(acts: Sequence[Act]) -> list[str]:
    verbs: list[str] = [] if any(isinstance(act, AnswerQuestion) for act in acts) else [*_ALWAYS]
    for act in acts:
        match act:
            case ChangeRuns(change=change):
                verbs += _VERBS[change]
            case Start() | StartNamed():
                verbs += _VERBS["start"]
            case _:
                pass
    return verbs


def _says(rest: str, verb: str) -> bool:
    """This verb, and nothing that matters behind it."""
    return rest.casefold().startswith(verb) and _IT.fullmatch(rest, len(verb)) is not None
