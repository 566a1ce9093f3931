"""Single values of a document: durations, sizes, names, texts. Pure text in, checked value out.

Each function raises `ValueError` with words that fit after ``plan.yaml:3:5: todos[0].timeout:``.
"""

from __future__ import annotations

import re

from orchestrator.plan.problems import described, quoted
from state import limits

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([smhd])")
DURATION_PATTERN = r"^([0-9]{1,12}(\.[0-9]{1,9})?[smhd])+$"
_DURATION = re.compile(DURATION_PATTERN)
_SIZES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
SIZE_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,9})?[bkmgtBKMGT]$"
_SIZE = re.compile(SIZE_PATTERN)

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_ID = re.compile(ID_PATTERN)
SECRET_PATTERN = r"^[A-Z_][A-Z0-9_]*$"  # noqa: S105 a name, not a password
_SECRET = re.compile(SECRET_PATTERN)
ENV_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
_ENV = re.compile(ENV_PATTERN)
IMAGE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$"
_IMAGE = re.compile(IMAGE_PATTERN)
MODEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[^\s/][^\s]*$"
_MODEL = re.compile(MODEL_PATTERN)
TRACEPARENT_PATTERN = r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"
_TRACEPARENT = re.compile(TRACEPARENT_PATTERN)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TEXT_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

ARGUMENT_BYTES = 131_071
"""What Linux takes as one argument or variable (MAX_ARG_STRLEN, less its end)."""
_MEMORY_MINIMUM = 6 << 20


def text_of(value: object) -> str:
    """The value, if it is text; a number or `true` is refused, because its spelling is lost by now."""
    if isinstance(value, str):
        return value
    quotes = "; put it in quotes" if isinstance(value, (int, float)) else ""
    raise ValueError(f"must be text, not {described(value)}{quotes}")


def version(value: object) -> int:
    """The version of the plan format. Only one so far; ``1.0`` and ``true`` equal 1 in Python, and are not it."""
    if type(value) is not int or value != 1:
        raise ValueError(f"must be 1, not {described(value)}")
    return 1


def duration(value: object) -> float:
    """Seconds of ``90s``, ``1h30m``, or a number of seconds."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and _DURATION.match(value) and not value.endswith("\n"):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(value))
    else:
        raise ValueError(f"must be a duration such as 90s, 30m or 1h30m, not {described(value)}")
    if not 0 <= seconds <= limits.DURATION_SECONDS:
        raise ValueError(f"a duration must be between 0 and {limits.DURATION_SECONDS / 86400:.0f} days")
    return seconds


def timeout(value: object) -> float:
    """A duration that is not zero."""
    if (seconds := duration(value)) <= 0:
        raise ValueError("must be longer than 0 seconds")
    return seconds


def byte_size(value: object) -> int:
    """Bytes of ``512m``, ``1.5g``, or a number of bytes; units are powers of 1024, as Docker's."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _SIZE.match(value) and not value.endswith("\n"):
        return int(float(value[:-1]) * _SIZES[value[-1].lower()])
    raise ValueError(f"must be a size such as 512m or 2g, not {described(value)}")


def memory(value: object) -> int:
    """A size a process can live in: 6m (Docker's own minimum) to 1024t."""
    if not _MEMORY_MINIMUM <= (size := byte_size(value)) <= 1 << 50:
        raise ValueError("memory must be between 6m and 1024t")
    return size


def key(value: object) -> str:
    """A readable id: letters, digits, ``.``, ``_``, ``-``."""
    text = text_of(value)
    if len(text) > limits.KEY_CHARACTERS:
        raise ValueError(f"an id may have at most {limits.KEY_CHARACTERS} characters")
    if not _ID.match(text) or text.endswith("\n"):
        raise ValueError(f"{quoted(text)} is not an id; use letters, digits, '.', '_' and '-'")
    return text


def line(value: object) -> str:
    """Text on one line, short enough for a title."""
    text = text_of(value)
    if not text.strip():
        raise ValueError("must not be empty")
    if len(text) > limits.TITLE_CHARACTERS:
        raise ValueError(f"may have at most {limits.TITLE_CHARACTERS} characters")
    if CONTROL.search(text):
        raise ValueError("must be one line without control characters")
    return text


def prose(value: object) -> str:
    """Text of many lines: a goal, a question, a prompt."""
    text = text_of(value)
    if not text.strip():
        raise ValueError("must not be empty")
    if len(text) > limits.TEXT_CHARACTERS:
        raise ValueError(f"may have at most {limits.TEXT_CHARACTERS:,} characters")
    if _TEXT_CONTROL.search(text):
        raise ValueError("must not contain control characters")
    return text


def argument(value: object) -> str:
    """What a program can be given as an argument or in its environment."""
    text = text_of(value)
    if len(text) > limits.TEXT_CHARACTERS or len(text.encode()) > ARGUMENT_BYTES:
        raise ValueError(f"may have at most {limits.TEXT_CHARACTERS:,} characters and {ARGUMENT_BYTES:,} bytes")
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


def command(value: object) -> str | list[str]:
    """A shell string, or the list of a program and its arguments."""
    if not isinstance(value, list):
        if not isinstance(value, str):
            raise ValueError(f"must be a command (text, or a list of texts), not {described(value)}")
        if not value.strip():
            raise ValueError("the command is empty")
        return argument(value)
    return argv(value)  # pyright: ignore[reportUnknownArgumentType] a list of anything


def argv(value: object) -> list[str]:
    """A program and its arguments."""
    if not isinstance(value, list):
        raise ValueError(f"must be a list of a program and its arguments, not {described(value)}")
    items: list[object] = list(value)  # pyright: ignore[reportUnknownArgumentType] a list of anything
    if not items or items[0] == "":
        raise ValueError("the command is empty")
    if len(items) > limits.PATHS:
        raise ValueError(f"a command may have at most {limits.PATHS} arguments")
    texts: list[str] = []
    for item in items:
        try:
            texts.append(argument(item))
        except ValueError as error:
            raise ValueError(f"item {len(texts)} {error}") from None
    return texts


def matching(value: object, pattern: re.Pattern[str], what: str) -> str:
    """Text of a bounded length that has this form."""
    text = text_of(value)
    if len(text) > limits.TITLE_CHARACTERS or not pattern.match(text) or text.endswith("\n"):
        raise ValueError(f"{quoted(text)} is not {what}")
    return text


def secret_name(value: object) -> str:
    """The name of a secret, never its value."""
    return matching(value, _SECRET, "the name of a secret; use capitals, digits and '_'")


def env_name(value: object) -> str:
    """The name of an environment variable."""
    return matching(value, _ENV, "the name of a variable; use letters, digits and '_'")


def image(value: object) -> str:
    """The name of a container image."""
    return matching(value, _IMAGE, "an image name such as python:3.12-slim")


def model(value: object) -> str:
    """``provider/name``."""
    return matching(value, _MODEL, "a model; write provider/name")


def traceparent(value: object) -> str:
    """The trace this belongs to, as W3C Trace Context writes it."""
    return matching(value, _TRACEPARENT, "a W3C traceparent")
