"""What both sandboxes ask before they start anything, and say about themselves."""

from __future__ import annotations

from dataclasses import dataclass

from state.errors import SandboxUnavailable
from state.ports import SandboxCommand


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a sandbox can be used here. `detail` is what it is, or why it is not available, and `hint` what to do."""

    available: bool
    detail: str
    hint: str = ""


def refusal(command: SandboxCommand) -> str | None:
    """Why no system could start this command (exit 126, as a shell would answer), or None.

    Text is UTF-8 without NUL on its way to a program; a variable's name ends at the first ``=``.
    """
    if not command.argv:
        return "no command"
    for text in (*command.argv, *command.environment, *command.environment.values()):
        if "\0" in text:
            return f"{text!r}: contains a NUL character"
        try:
            text.encode()
        except UnicodeEncodeError:
            return f"{text!r}: is not valid Unicode"
    for name in command.environment:
        if not name or "=" in name:
            return f"{name!r}: not the name of an environment variable"
    return None


def require_workdir(command: SandboxCommand) -> None:
    """`SandboxUnavailable` unless the working directory is there."""
    if not command.workdir.is_dir():
        raise SandboxUnavailable(f"The working directory {command.workdir} is not there.")
