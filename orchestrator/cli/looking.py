"""Commands that only look: runs, todos, watch, evidence, questions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.running import Json, RunArgument, with_house

if TYPE_CHECKING:
    from orchestrator.cli.compose import House
    from orchestrator.views import EvidenceView, Spend


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (runs, todos, watch, evidence, questions):
        app.command()(command)


def runs(limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20, as_json: Json = False) -> None:
    """List runs, newest first."""

    async def use(house: House) -> None:
        from orchestrator.cli.output import print_json, print_table

        found = await house.service.runs(limit)
        if as_json:
            return print_json(found)
        if not found:
            print(f"no runs in {house.kept.name}", file=sys.stderr)
        columns = ["id", "name", "state", "settled", "created"]
        rows = [
            [run.id[-8:], run.name, run.state, f"{run.progress.settled}/{run.progress.total}", run.created_at or ""]
            for run in found
        ]
        if any(run.spend.tokens for run in found):
            columns += ["tokens", "cached", "$"]
            for row, run in zip(rows, found, strict=True):
                row.extend(_spend(run.spend))
        return print_table(columns, rows)

    with_house(use, as_lines_of_json=as_json)


def _spend(spend: Spend) -> list[str]:
    if not spend.tokens:
        return ["", "", ""]
    return [f"{spend.tokens:,}", f"{spend.cached_tokens:,}", f"{spend.usd:.4f}"]


def todos(run: RunArgument, as_json: Json = False) -> None:
    """List a run's TODOs in the order of its plan."""

    async def use(house: House) -> None:
        from orchestrator.cli.output import print_json, print_table

        found = await house.service.todos(run)
        if as_json:
            return print_json(found)
        rows = [(t.key, t.state, t.reason or "", t.detail or t.title, ", ".join(t.needs)) for t in found]
        return print_table(("todo", "state", "reason", "detail", "needs"), rows)

    with_house(use, as_lines_of_json=as_json)


def watch(
    run: RunArgument,
    after: Annotated[int, typer.Option(help="Start after this event number (with --json).")] = 0,
    as_json: Json = False,
) -> None:
    """Follow a run until it ends or waits for somebody; Ctrl-C stops watching, not the run."""

    async def use(house: House) -> int:
        return await followed(house, run, after, as_json=as_json)

    with_house(use, as_lines_of_json=as_json)


async def followed(house: House, run: str, after: int = 0, *, as_json: bool = False) -> int:
    """Show what happens to a run until it ends or waits for somebody; the exit code that says how it stands then."""
    from orchestrator.cli.conclusion import conclude
    from orchestrator.cli.driving import EXIT
    from orchestrator.cli.following import follow
    from orchestrator.cli.lookout import Lookout
    from orchestrator.cli.output import watch as view_of
    from orchestrator.cli.picture import Picture
    from state.records import RUN_ENDED, RUN_WAITING

    service = house.service
    found = await service.standing(run)
    id = found.run.id
    start = after if as_json else found.last_event
    with view_of(Picture.of(found.run, found.todos), as_lines_of_json=as_json) as view:
        if found.run.state not in RUN_ENDED | RUN_WAITING:  # else it is told at the end, which is now
            view.begin()
        await follow(service, view, id, start, Lookout(house, id, view.note).look)
    last = await service.run(id)
    if not as_json:
        await conclude(house, last)
    return EXIT.get(last.state, 1)


def evidence(
    run: RunArgument,
    todo: Annotated[str | None, typer.Argument(metavar="[TODO]", help="Of this one only.")] = None,
    as_json: Json = False,
) -> None:
    """Show what was checked, on what, and what came out; and the outputs that were taken."""

    async def use(house: House) -> None:
        from orchestrator.cli.output import print_json, print_table

        rows, outputs = await house.service.evidence(run, todo)
        if as_json:
            print_json(rows)
            return print_json(outputs)
        keys = {each.id: each.key for each in await house.service.todos(run)}
        if not rows:
            print("nothing has been checked; `atlas todos` says how it stands", file=sys.stderr)
        print_table(
            ("todo", "attempt", "", "item", "exit", "took", "subject", "verifier"),
            [
                (keys[row.todo], str(row.fence), "passed" if row.passed else "FAILED", _item(row),
                 "" if row.exit_code is None else str(row.exit_code), f"{row.seconds:.1f}s", _short(row.subject),
                 row.verifier)
                for row in rows
            ],
        )  # fmt: skip
        for row in outputs:
            published = "" if row.published_at else "  (not published yet)"
            print(f"{keys[row.todo]}: {row.internal} -> {row.remote}  {row.size} bytes  {row.digest}{published}")
        return None

    with_house(use, as_lines_of_json=as_json)


def _item(row: EvidenceView) -> str:
    from orchestrator.cli.wording import checked, one_line

    answer = f" -> {row.output_tail}" if "ask" in row.item else ""
    return one_line(checked(row), 60) + answer


def _short(subject: str) -> str:
    kind, _, digest = subject.partition(":")
    return f"{kind}:{digest[:12]}"


def questions(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Of this run only.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are answered or expired.")] = False,
    as_json: Json = False,
) -> None:
    """List questions that wait for an answer."""

    async def use(house: House) -> None:
        from orchestrator.cli.output import print_json, print_table

        found = await house.service.questions(run, pending=not everything)
        if as_json:
            return print_json(found)
        if not found:
            print("no questions" if everything else "no open questions", file=sys.stderr)
            return None
        rows = [
            (q.id[-8:], q.run[-8:], q.state, q.text, "/".join(q.choices), q.answer or "", q.expires_at or "")
            for q in found
        ]
        return print_table(("id", "run", "state", "question", "choices", "answer", "expires"), rows)

    with_house(use, as_lines_of_json=as_json)
