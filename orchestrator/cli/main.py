"""`atlas`: the commands. Each is short, and imports what it needs when it runs: `--help` must be quick."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import Annotated, Any, cast

import typer

from orchestrator.cli import acting, goals, looking, results, server, serving, setup, submitting, telling, working
from orchestrator.cli import talking as voice

app = typer.Typer(
    name="atlas", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    rich_markup_mode=None, context_settings={"max_content_width": 120},  # drawing boxes takes longer than all the rest
    help="Takes a plan and keeps at it until every TODO is completed with evidence, or it can say exactly why not.",
)  # fmt: skip
for group in (working, goals, submitting, looking, telling, results, acting, server, serving, voice, setup):
    group.register(app)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"atlas {version('atlas-orchestrator')}")
        raise typer.Exit


@app.callback()
def _root(  # pyright: ignore[reportUnusedFunction]  registered by the decorator
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    return


def main() -> None:
    """The console script."""
    _have_standard_streams()
    out: object = sys.stdout
    if isinstance(out, TextIOWrapper):  # a terminal that can't show a character is no reason to stop
        cast("TextIOWrapper[Any]", out).reconfigure(errors="backslashreplace")
    app()


def _have_standard_streams() -> None:
    """Whoever starts us with one of them closed must not make the next file that we open be it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            setattr(sys, name, os.fdopen(opened, "w" if number else "r"))


if __name__ == "__main__":
    main()
