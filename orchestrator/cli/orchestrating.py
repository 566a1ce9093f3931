"""`atlas mcp orchestrator`: the orchestration server over stdio, and a worker beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.running import prepared

if TYPE_CHECKING:
    from orchestrator.cli.compose import House
    from orchestrator.cli.driving import Interruption


def orchestrator(
    repository: Annotated[
        list[str], typer.Option(help="Path or beginning of a URL that may be named besides the settings'; repeatable.")
    ] = [],  # noqa: B006  as Typer takes it
    trusted: Annotated[bool, typer.Option("--trusted", help="What clients submit counts as a person's.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Offer only tools that change nothing.")] = False,
    worker: Annotated[
        bool | None,
        typer.Option("--worker/--no-worker", help="Carry out TODOs here too; default: with the embedded database."),
    ] = None,
) -> None:
    """Submit and follow runs, over stdio; over HTTP it is /mcp of `atlas serve`."""

    def prepare() -> Callable[[House], Awaitable[int]]:
        async def use(house: House) -> int:
            works = worker if worker is not None else not house.kept.shared
            return await _serve(house, repository, trusted=trusted, read_only=read_only, works=works)

        return use

    prepared(prepare)


async def _serve(house: House, repositories: list[str], *, trusted: bool, read_only: bool, works: bool) -> int:
    """Until the client closes our input, or a signal comes. What runs here then goes back into the queue."""
    import asyncio

    from mcp_servers.manners import Policy
    from mcp_servers.serving import serve_stdio
    from mcp_servers.subscriptions import Subscriptions
    from orchestrator.asking import Reach
    from orchestrator.cli.compose import whoami
    from orchestrator.cli.driving import Interruption
    from orchestrator.hints import Hints
    from orchestrator.looking import Looking
    from orchestrator.mcp.changes import tell_changes
    from orchestrator.mcp.server import orchestration
    from orchestrator.mcp.tasks import RunTasks
    from orchestrator.mcp.tools import RunTools
    from orchestrator.tasks import ended
    from orchestrator.tokens import Caller

    interruption = Interruption()
    caller = Caller(f"{whoami()} (mcp)", "read" if read_only else "operate", trusted)
    reach = Reach([*house.settings.serve_repositories, *repositories], house.settings.serve_remotes)
    bodies = RunTools(house.service, Looking(house.store), reach, lambda _: caller)
    hints, subscriptions = Hints(house.store), Subscriptions()
    server = orchestration(
        bodies, subscriptions, Policy(read_only=read_only), RunTasks(house.service, bodies.whose)
    )  # fmt: skip
    aside = [asyncio.create_task(each) for each in (hints.run(), tell_changes(hints, subscriptions))]
    working = asyncio.create_task(work_beside(house, interruption, works=works))
    serving = asyncio.create_task(serve_stdio(server))
    try:
        await asyncio.wait([serving, working], return_when=asyncio.FIRST_COMPLETED)
        interruption.end()
        await working
    finally:
        await ended(serving, working, *aside)
    if not serving.cancelled() and (error := serving.exception()):
        raise error
    return 0


async def work_beside(house: House, interruption: Interruption, *, works: bool) -> None:
    """Until interrupted; `works`: carry out TODOs meanwhile."""
    from orchestrator.cli.compose import workshop
    from orchestrator.cli.driving import serve_queue

    if not works:
        await interruption.wait()
        return
    async with workshop(house) as shop:
        await serve_queue(house, shop, house.settings.worker_concurrency, interruption)
