"""Text that others wrote, made fit to be heard: names, titles, Markdown, code, what models say. It stays text: nothing
in it is an instruction to a speech engine, and no mark in it begins or ends anything."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from voice.intents import Language

LONGEST = 160
"""Characters of what others wrote, in one sentence of ours."""
LONGEST_NAME = 50
_LISTED = 4
_LOOKED_AT = 4_000
"""Characters; what comes after is not heard in any case."""
_WORD = 28
"""Letters and digits in a row that a person would not spell out."""

_CODE_BLOCK = re.compile(r"(```|~~~).*?(\1|\Z)", re.DOTALL)
_IMAGE_OR_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://(?:[^\s/@]*@)?([^\s/:?#@\"'<>()\[\]]*)[^\s\"'<>()\[\]]*", re.IGNORECASE)
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE | re.ASCII)
_HASH = re.compile(
    r"(?<![0-9a-z])(?:sha\d+:)?(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,}(?![0-9a-z])", re.IGNORECASE | re.ASCII
)
_PATH = re.compile(
    r"(?<![\w./])(?:(?:~|\.{1,2})?/(?:[\w.@+-]+/)*|(?:[\w.@+-]+/){2,}|[\w@+-]+/(?=[\w-]+\.\w))([\w.@+-]*)/?", re.ASCII
)
"""What is said of one is its last step."""
_EXTENSION = re.compile(r"(?<=[A-Za-z0-9])\.(?=[A-Za-z]{2})", re.ASCII)
_MONEY = re.compile(r"\$\s?(\d+(?:\.\d+)?)", re.ASCII)
_PERCENT = re.compile(r"(\d)\s?%")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LONG_NUMBER = re.compile(r"\d{10,}")
_LONG_WORD = re.compile(rf"[A-Za-z0-9]{{{_WORD + 1},}}", re.ASCII)
_JOINED = re.compile(r"(?<=\w)[_/\\|]+(?=\w)|(?<=[^\W\d_])-+(?=\w)|(?<=\w)-+(?=[^\W\d_])")
_DASH = re.compile(r"(?<!\w)-+|-+(?!\w)")
_BETWEEN = re.compile(r"[^，。；：？！、]+")
"""Chinese marks stay what they are."""
_AT_MARKS = re.compile(r"\s*([，。；：？！、])\s*")
_REPEATED = re.compile(r"([^\w\s])(?:\s*[^\w\s])+")
_LOOSE = re.compile(r"\s+([.,;:?!，。；：？！、])")
_KEPT = frozenset(".,;:?!'’-，。；：？！、")
ENDS = ".?!。？！"
"""Marks that end a sentence."""

_SAID: dict[Language, dict[str, str]] = {
    "en": {"code": "some code", "link": "a link to", "money": "dollars", "percent": "percent", "dot": " dot "},
    "zh": {"code": "一段代码", "link": "链接", "money": "美元", "percent": "%", "dot": " 点 "},
}


def spoken(text: str, language: Language = "en", longest: int = LONGEST) -> str:
    """In one line of words, numbers and the marks between them, at most `longest` characters; may be empty."""
    said = _SAID[language]
    text = _BETWEEN.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text[:_LOOKED_AT])
    text = _CODE_BLOCK.sub(f" {said['code']} ", text)
    text = _IMAGE_OR_LINK.sub(r"\1", text)
    text = _URL.sub(lambda found: f" {said['link']} {found[1]} ", text)
    text = _HASH.sub(" ", _UUID.sub(" ", text))
    text = _PATH.sub(lambda found: f" {found[1]} ", text)
    text = _MONEY.sub(rf"\1 {said['money']}", text)
    text = _PERCENT.sub(rf"\1 {said['percent']}" if language == "en" else rf"\1{said['percent']}", text)
    text = _EXTENSION.sub(said["dot"], text)
    text = _JOINED.sub(" ", text)
    text = _CAMEL.sub(" ", text)
    text = "".join(each if _heard(each, language) else " " for each in text)
    text = _LONG_WORD.sub(" ", _LONG_NUMBER.sub(" ", text))
    text = _DASH.sub(" ", text)
    text = _REPEATED.sub(r"\1", " ".join(text.split()))
    text = _LOOSE.sub(r"\1", text)
    return cut(text.strip(" ,;:-'’，；：、.。"), longest)


def _heard(character: str, language: Language) -> bool:
    if character in _KEPT or (character == "%" and language == "zh"):
        return True
    return unicodedata.category(character) in ("Lu", "Ll", "Lo", "Lt", "Nd", "Mn", "Mc")


def cut(text: str, longest: int) -> str:
    """At most so many characters, between words where there are some."""
    if len(text) <= longest:
        return text
    part = text[: longest + 1]
    shorter = part.rsplit(" ", 1)[0] if " " in part[longest // 2 :] else part[:longest]
    return shorter.rstrip(" ,;:-'’，；：、")


def named(name: str, language: Language = "en") -> str:
    """A run or a TODO by its name, within a sentence: no mark that would end it."""
    text = spoken(name, language, 4 * LONGEST_NAME)
    text = " ".join("".join(" " if each in ".?!;:,。？！；：，、" else each for each in text).split())
    return cut(text, LONGEST_NAME)


def aloud(name: str, language: Language = "en") -> str:
    """A name; between Chinese characters and others is a space, which engines make a little pause of."""
    text = named(name, language) or {"en": "a run without a name", "zh": "没有名字的任务"}[language]
    return f" {text} " if language == "zh" and text.isascii() else text


def listed(names: Sequence[str], language: Language = "en", word: Literal["and", "or", ","] = "and") -> str:
    """``a, b and c``; of more than `_LISTED`, how many others there are."""
    said = [aloud(name, language).strip() for name in names[:_LISTED]]
    rest = len(names) - len(said)
    if language == "zh":
        return " 、 ".join(said) + (f" 等 {len(names)} 个" if rest else "")
    said += [_count(rest, "other")] if rest else []
    if word == "," or len(said) < 2:
        return ", ".join(said)
    return f"{', '.join(said[:-1])} {word} {said[-1]}"


def sentence(text: str, language: Language = "en", longest: int = LONGEST) -> str:
    """The first sentence of it, with its end; empty if there is nothing to be said."""
    text = spoken(text, language, longest)
    ends = [at for mark in ENDS if (at := text.find(mark if not mark.isascii() else mark + " ")) > 0]
    text = text[: min(ends) + 1] if ends else text
    if not text:
        return ""
    return text if text[-1] in ENDS else text + {"en": ".", "zh": "。"}[language]


def tidy(text: str) -> str:
    """Without spaces at Chinese marks, and with one at most elsewhere."""
    return _AT_MARKS.sub(r"\1", " ".join(text.split()))


def money(usd: float, language: Language = "en") -> str:
    """``less than a cent``, ``12 cents``, ``3 dollars and 20 cents``"""
    dollars, cents = divmod(round(usd * 100), 100)
    if language == "zh":
        if not dollars and not cents:
            return "不到 1 美分"
        return " ".join(
            part for part in (f"{dollars} 美元" if dollars else "", f"{cents} 美分" if cents else "") if part
        )
    if not dollars and not cents:
        return "less than a cent"
    parts = [_count(dollars, "dollar") if dollars else "", _count(cents, "cent") if cents else ""]
    return " and ".join(part for part in parts if part)


def duration(seconds: float, language: Language = "en") -> str:
    """``20 seconds``, ``5 minutes``, ``2 hours and 5 minutes``"""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} 秒" if language == "zh" else _count(round(seconds), "second")
    hours, rest = divmod(minutes, 60)
    if language == "zh":
        return " ".join(part for part in (f"{hours} 小时" if hours else "", f"{rest} 分钟" if rest else "") if part)
    return " and ".join(_count(n, word) for n, word in ((hours, "hour"), (rest, "minute")) if n)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
