"""What a Dockerfile would have the engine do by itself, read before the engine does.

RUN steps are confined; ADD is not: the engine fetches a URL as itself, from its own network, loopback and all. So only
plain local names may be added. An image can bring such steps along (ONBUILD), hence its bases are looked at too.

Where engines of different versions read a line differently, both readings count.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping

from state.errors import InputError

_ESCAPE_NAMED = re.compile(r"#\s*escape\s*=", re.IGNORECASE)
_ADD = re.compile(r"(?:onbuild\s+)*add(?:\s|$)", re.IGNORECASE)
_PLAIN_ADD = re.compile(r"(?:onbuild\s+)*add(?:\s+--ch(?:own|mod)=[\w:]+)*(?:\s+[\w./*?-]+)+", re.IGNORECASE)
_FROM = re.compile(r"from\s+(?:--platform=\S*\s+)?(\S+)(?:\s+as\s+(\S+))?", re.IGNORECASE)
_ARG = re.compile(r"arg\s+(.+)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::-([^{}$]*))?\})")


def check_steps(steps: Iterable[str], where: str) -> None:
    """`InputError` if one of the instructions has the engine fetch something."""
    for step in steps:
        if _ADD.match(step) and not _PLAIN_ADD.fullmatch(step):
            raise InputError(
                f"{where}: ADD may name plain local files only, since the engine fetches URLs by its own network: "
                f"{step[:200]}",
                "Use COPY, or fetch in a RUN step with `network`.",
            )


def instructions(text: str) -> list[str]:
    """Each instruction on one line, without comments and white space around it; in two ways where it is on several."""
    lines = [line.rstrip() for line in text.removeprefix("\ufeff").split("\n")]
    escapes = "\\`" if any(_ESCAPE_NAMED.match(line.lstrip()) for line in lines) else "\\"
    lines = [line for line in lines if line and not line.lstrip().startswith("#")]
    return list(dict.fromkeys(found for escape in escapes for found in _joined(lines, escape)))


def bases(steps: Iterable[str], arguments: Mapping[str, str]) -> list[str]:
    """The images that it starts from. `InputError`: a name can't be told before the build."""
    found: dict[str, None] = {}
    stages, values = {"scratch"}, dict[str, str]()
    begun = False
    for step in steps:
        if (match := _FROM.match(step)) is not None:
            begun = True
            name = _expanded(match[1], values)
            if name.lower() not in stages:
                found[name] = None
            stages.add((match[2] or name).lower())
        elif not begun and (match := _ARG.match(step)) is not None:
            values |= _declared(match[1], values, arguments)
    return list(found)


def _joined(lines: list[str], escape: str) -> Iterator[str]:
    goes_on = False
    for number, line in enumerate(lines):
        if not goes_on:
            parts = list(_following(lines[number:], escape))
            yield "".join(parts).strip()
            yield "".join(part.lstrip() for part in parts).strip()
        goes_on = line.endswith(escape) and not line.endswith(2 * escape)


def _following(lines: list[str], escape: str) -> Iterator[str]:
    for line in lines:
        yield line.removesuffix(escape)
        if not line.endswith(escape):
            return


def _declared(text: str, values: Mapping[str, str], arguments: Mapping[str, str]) -> dict[str, str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"the Dockerfile's ARG can't be read: {text[:200]}") from error
    pairs = [word.partition("=") for word in words]
    return {name: arguments.get(name, _expanded(value, values) if given else "") for name, given, value in pairs}


def _expanded(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        return values.get(match[1] or match[2]) or match[3] or ""

    name = _VARIABLE.sub(value, text)
    if "$" in name or "\\" in name or '"' in name:
        raise InputError(f"the Dockerfile's {text[:200]} can't be told before the build", "Write it out.")
    return name
