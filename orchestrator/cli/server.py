"""Commands about the server that a team looks at: serve, token."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.cli.running import Json, prepared, with_house

if TYPE_CHECKING:
    from orchestrator.cli.compose import House

TOKEN_FILE = "token"  # noqa: S105 - a file's name


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(serve)
    tokens = typer.Typer(no_args_is_help=True, help="Who may use the server: bearer tokens, by name.")
    tokens.command("new")(new)
    tokens.command("list")(list_)
    tokens.command("revoke")(revoke)
    app.add_typer(tokens, name="token")


def serve(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any that is free.")] = 8420,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allow_host: Annotated[
        list[str], typer.Option("--allow-host", help="Another name that clients use for it: name[:port].")
    ] = [],  # noqa: B006  as Typer takes it
    allow_origin: Annotated[list[str], typer.Option("--allow-origin", help="A web page that may use it.")] = [],  # noqa: B006
    worker: Annotated[
        bool | None,
        typer.Option("--worker/--no-worker", help="Carry out TODOs here too; default: with the embedded database."),
    ] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="TODOs at a time; default: the settings'.")] = None,
) -> None:
    """Serve the API, live events and the dashboard: the team's window."""

    def prepare() -> Callable[[House], Awaitable[int]]:
        from mcp_servers.serving import Address

        address = Address(port=port, host=host, hosts=allow_host, origins=allow_origin)

        async def use(house: House) -> int:
            from orchestrator.cli.service_desk import Desk

            works = worker if worker is not None else not house.kept.shared
            slots = (concurrency or house.settings.worker_concurrency) if works else 0
            return await Desk(house, address, slots).serve()

        return use

    prepared(prepare)


Name = Annotated[str, typer.Argument(metavar="NAME", help="Says whose it is. Never used again.")]


def new(
    name: Name,
    scope: Annotated[Literal["read", "operate", "admin"], typer.Option(help="What its bearer may do.")] = "read",
    trusted: Annotated[bool, typer.Option("--trusted", help="What it submits counts as a person's.")] = False,
    expires: Annotated[
        str | None, typer.Option(help="After so long, such as 30d; default: when it is revoked.")
    ] = None,
) -> None:
    """Make a token, and print its secret: it can't be had again."""

    def prepare() -> Callable[[House], Awaitable[int]]:
        from orchestrator.plan.values import duration
        from state.errors import InputError

        try:
            seconds = duration(expires) if expires else None
        except ValueError as error:
            raise InputError(f"--expires: {error}", "Write 12h or 30d.") from None

        async def use(house: House) -> int:
            from orchestrator.cli.compose import whoami

            print(await tokens_of(house).issue(name, scope, whoami(), trusted=trusted, seconds=seconds))
            return 0

        return use

    prepared(prepare)


def list_(as_json: Json = False) -> None:
    """List tokens, also those that count no more."""

    async def use(house: House) -> None:
        from dataclasses import asdict
        from json import dumps

        from orchestrator.cli.output import print_table

        found = await tokens_of(house).all()
        if as_json:
            for each in found:
                print(dumps(asdict(each), ensure_ascii=False))
            return
        print_table(
            ("name", "scope", "trusted", "made", "by", "ends", "revoked"),
            [
                (each.name, each.scope, "yes" if each.trusted else "", each.made_at or "", each.made_by,
                 each.expires_at or "", each.revoked_at or "")
                for each in found
            ],
        )  # fmt: skip

    with_house(use, as_lines_of_json=as_json)


def revoke(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Make a token count no more, and end the sessions that were begun with it."""

    async def use(house: House) -> None:
        from orchestrator.cli.compose import whoami

        await tokens_of(house).revoke(name, whoami())
        print(f"{name} is revoked", file=sys.stderr)

    with_house(use)


def tokens_of(house: House) -> Tokens:
    """Of this installation."""
    from orchestrator.settings import read_token
    from orchestrator.tokens import Tokens

    return Tokens(house.dispatch, read_token(os.environ))


def write_secret(path: Path, secret: str) -> None:
    """Into a new file of this user's."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(secret + "\n")


if TYPE_CHECKING:
    from orchestrator.tokens import Tokens
