"""Commands about the installation: doctor, schema, db."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from orchestrator.cli.running import Json, told


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(doctor)
    app.command()(schema)
    database = typer.Typer(no_args_is_help=True, help="The database.")
    database.command("upgrade")(upgrade)
    app.add_typer(database, name="db")


def doctor(as_json: Json = False) -> None:
    """Say what is there, and what to do about what is not. Exit 1 if something that Atlas needs is missing."""

    def examine() -> int:
        import asyncio
        import json

        from orchestrator.cli.diagnosis import examine as findings

        found = asyncio.run(findings())
        for finding in found:
            if as_json:
                print(json.dumps(finding.as_dict(), ensure_ascii=False))
            else:
                print(f"{finding.mark} {finding.name:<10} {finding.said}")
                if finding.remedy:
                    print(f"             {finding.remedy}")
        return int(any(finding.state == "broken" for finding in found))

    told(examine, as_lines_of_json=as_json)


def schema(what: Annotated[Literal["plan", "task"], typer.Argument(help="Which document.")]) -> None:
    """Print the JSON Schema of a document, for editors and other programs."""

    def show() -> None:
        import json

        from orchestrator.plan.schema import json_schema

        json.dump(json_schema(what), sys.stdout, indent=2, ensure_ascii=False)
        print()

    told(show)


def upgrade() -> None:
    """Bring the database to what this version of Atlas needs."""

    def bring() -> None:
        from orchestrator.cli.compose import settings
        from orchestrator.cli.persistence import upgrade_database

        print(f"{upgrade_database(settings().database_url)} is at the newest revision")

    told(bring)
