"""How a command runs: an event loop, the house opened and closed, errors told, the exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.collector import imported_for_good
from state.errors import AtlasError, InputError

if TYPE_CHECKING:
    from orchestrator.cli.compose import House

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id, the end of an id, name, or 'last'.")]
TodoArgument = Annotated[str, typer.Argument(metavar="TODO", help="Its id in the plan.")]


def with_house(use: Callable[[House], Awaitable[int | None]], *, as_lines_of_json: bool = False) -> None:
    """Open the house, use it, exit. Errors that a person can read are told as such."""
    prepared(lambda: use, as_lines_of_json=as_lines_of_json)


def prepared(make: Callable[[], Callable[[House], Awaitable[int | None]]], *, as_lines_of_json: bool = False) -> None:
    """`with_house` for what `make` returns. What `make` refuses is refused before anything is opened or made."""

    async def opened(use: Callable[[House], Awaitable[int | None]]) -> int | None:
        import asyncio

        if task := asyncio.current_task():  # whoever has something to finish takes the signal over
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        with imported_for_good():
            from orchestrator.cli.compose import house
        async with house() as found:
            return await use(found)

    def run() -> int | None:
        use = make()
        import asyncio

        try:
            return asyncio.run(opened(use))
        except asyncio.CancelledError:
            return 128 + signal.SIGTERM

    told(run, as_lines_of_json=as_lines_of_json)


def told(action: Callable[[], int | None], *, as_lines_of_json: bool = False) -> None:
    """Do it and exit with its code: 2 for what was asked wrongly, 1 for what went wrong."""
    try:
        code = action() or 0
        sys.stdout.flush()
    except AtlasError as error:
        _print_error(error, as_lines_of_json=as_lines_of_json)
        code = 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # whoever read our output has seen enough
        sys.stderr.close()
        code = 0
    raise typer.Exit(code)


def _print_error(error: AtlasError, *, as_lines_of_json: bool) -> None:
    """What happened, to what, and what to do next. Here, where nothing heavy is imported: a typo is told at once."""
    if as_lines_of_json:
        import json

        told = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
        print(json.dumps(told, ensure_ascii=False), file=sys.stderr)
        return
    # problems in a document begin with their place, as compilers write it, for editors to jump to
    prefix = "" if error.code == "bad_document" else "atlas: "
    print(f"{prefix}{error.message}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)
