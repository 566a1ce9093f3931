"""The two spellings of a document, YAML 1.2 and JSON, as events for one `TreeBuilder`."""

from __future__ import annotations

import json
import re
from typing import NoReturn

import yaml

from orchestrator.plan.problems import Place, document_error, quoted, shown_line
from orchestrator.plan.tree import Scalar, TreeBuilder
from state.errors import LimitExceeded
from state.limits import DOCUMENT_DEPTH

# The libyaml parser where PyYAML was built with it; its own is twenty times slower, and otherwise the same.
_LOADER: type[yaml.CSafeLoader | yaml.SafeLoader] = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

# YAML 1.2 core schema. PyYAML resolves YAML 1.1, where `no` is false and 1:30 is 90.
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{sign + word: float(sign + "inf") for word in (".inf", ".Inf", ".INF") for sign in ("", "+", "-")},
}
_NUMBER_START = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")

_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|[^\s\[\]{}:,"]+')
_SURROGATE = re.compile("[\ud800-\udfff]")


def feed_yaml(text: str, builder: TreeBuilder) -> None:
    """Read one YAML document. Raises `DocumentError` with the place where it can't be read."""
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            mark = event.start_mark
            place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            if isinstance(event, yaml.ScalarEvent):
                if event.tag is not None:
                    _refuse_tag(event.tag, place, builder)
                builder.scalar(_scalar(event, place, builder), place, event.anchor)
            elif isinstance(event, yaml.CollectionEndEvent):
                builder.close()
            else:
                _take_yaml(event, place, builder)
    except yaml.MarkedYAMLError as error:
        _refuse_yaml(error, text, builder.name)
    except yaml.YAMLError as error:
        raise document_error([shown_line(builder.name, (1, 1), (), f"not YAML: {error}")]) from None


def _take_yaml(event: yaml.Event, place: Place, builder: TreeBuilder) -> None:
    match event:
        case yaml.CollectionStartEvent():
            if event.tag is not None:
                _refuse_tag(event.tag, place, builder)
            builder.open({} if isinstance(event, yaml.MappingStartEvent) else [], place, event.anchor)
        case yaml.AliasEvent():
            builder.alias(str(event.anchor), place)
        case yaml.DocumentStartEvent() if builder.documents:
            builder.refuse(place, "a second document begins here; one file holds one document")
        case yaml.DocumentStartEvent():
            builder.documents = True
        case _:
            pass


def _refuse_tag(tag: object, place: Place, builder: TreeBuilder) -> NoReturn:
    builder.refuse(place, f"the tag {quoted(str(tag))} is not allowed; write the plain value")


def _scalar(event: yaml.ScalarEvent, place: Place, builder: TreeBuilder) -> Scalar:
    text = str(event.value)
    if not event.implicit[0]:
        return text
    if text == "<<" and builder.wants_key:
        builder.refuse(place, "merge keys (<<) are not part of YAML 1.2; write the keys out")
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START:
        return text
    if _INTEGER.match(text):
        return builder.integer(text, place)
    if _BASED.match(text):
        return builder.integer(text[2:], place, 8 if text[1] == "o" else 16)
    return float(text) if _FLOAT.match(text) else text


def _refuse_yaml(error: yaml.MarkedYAMLError, text: str, name: str) -> NoReturn:
    mark = error.problem_mark or error.context_mark
    place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = str(error.problem or error.context or "it cannot be read")
    lines = text.splitlines()
    line = lines[place[0] - 1] if place[0] <= len(lines) else ""
    if "\t" in line[: place[1]]:
        problem = "a tab stands where YAML wants spaces"
    elif error.context and error.problem:
        problem = f"{problem} {error.context}"
    if "mapping values are not allowed" in problem:
        problem += "; text with a colon and a space in it needs quotes"
    raise document_error([shown_line(name, place, (), f"not YAML: {problem}")]) from None


def is_json(text: str, name: str) -> bool:
    """Whether the text is JSON by the letter. Raises for what YAML could not read any better: depth, and ``NaN``."""
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except ValueError:
        return False
    except RecursionError:
        raise LimitExceeded(f"{name}: nested more than {DOCUMENT_DEPTH} levels deep") from None
    return True


def refuse_json(text: str, name: str) -> NoReturn:
    """Say why this is not JSON."""
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        place = (error.lineno, error.colno)
        raise document_error([shown_line(name, place, (), f"not JSON: {error.msg}")]) from None
    raise AssertionError(text)


def feed_json(text: str, builder: TreeBuilder) -> None:
    """Read a text that `is_json`: its grammar is known to be right, so tokens are all there is to see."""
    line, line_start, next_line = 1, 0, text.find("\n")
    for match in _JSON_TOKEN.finditer(text):
        start = match.start()
        while -1 < next_line < start:
            line, line_start, next_line = line + 1, next_line + 1, text.find("\n", next_line + 1)
        place = (line, start - line_start + 1)
        token = match.group()
        match token[0]:
            case "{":
                builder.open({}, place)
            case "[":
                builder.open([], place)
            case "}" | "]":
                builder.close()
            case '"':
                builder.scalar(_json_text(token, place, builder), place)
            case _:
                builder.scalar(_json_word(token, place, builder), place)


def _json_text(token: str, place: Place, builder: TreeBuilder) -> str:
    if "\\" not in token:
        return token[1:-1]
    text = str(json.loads(token))
    if _SURROGATE.search(text):
        builder.refuse(place, "half of a surrogate pair (\\ud800 to \\udfff) is not a character")
    return text


def _json_word(token: str, place: Place, builder: TreeBuilder) -> Scalar:
    if token.lstrip("-").isdecimal():
        return builder.integer(token, place)
    if token in ("true", "false", "null"):
        return _WORDS[token]
    return float(token.replace("Infinity", "inf"))
