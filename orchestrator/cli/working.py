"""Commands that get work done: run, resume, retry, worker."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from orchestrator.cli.running import Json, RunArgument, TodoArgument, prepared, with_house
from state.errors import Conflict
from state.records import QUEUE, local_placement

if TYPE_CHECKING:
    from orchestrator.cli.compose import House, Workshop
    from orchestrator.plan.document import Plan
    from state.tables import Run

_LOCAL = "local:"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(run)
    app.command()(resume)
    app.command()(retry)
    app.command()(replan)
    app.command()(worker)


Sandbox = Annotated[
    Literal["auto", "docker", "host"] | None, typer.Option(help="Where commands run; overrides the plan.")
]
Approve = Annotated[
    Literal["auto", "ask"], typer.Option(help="ask: a person approves a plan that was made before it is carried out.")
]
ModelNames = Annotated[
    list[str] | None,
    typer.Option("--model", help="provider/name, for all roles; again: asked when the one before does not answer."),
]
Budgets = Annotated[
    list[str] | None, typer.Option("--budget", help="tokens=2000000, usd=5 or wall_clock=2h; may be repeated.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Submit only; `atlas worker` or `atlas serve` carries it out.")]


def run(
    plan: Annotated[Path, typer.Argument(help="A plan.yaml (or .json); '-' reads standard input.")],
    sandbox: Sandbox = None,
    approve: Approve = "auto",
    model: ModelNames = None,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Carry out a plan, here and now; Ctrl-C holds it, `atlas resume` goes on."""
    prepared(lambda: begin(*_read(plan), How(sandbox, approve, model or (), detach, as_json)), as_lines_of_json=as_json)


@dataclass(frozen=True, slots=True)
class How:
    """What the command line says besides the plan. `plan_only`: of a goal, only the plan is wanted. `out`: where people
    read what happens, if not on standard output. `then` is done with the run when it has completed here."""

    sandbox: Literal["auto", "docker", "host"] | None = None
    approve: Literal["auto", "ask"] = "auto"
    models: Sequence[str] = ()
    detach: bool = False
    as_json: bool = False
    plan_only: bool = False
    out: TextIO | None = None
    then: Callable[[House, str], Awaitable[int]] | None = None


def begin(document: Plan, directory: Path, how: How) -> Callable[[House], Awaitable[int]]:
    """Submit a plan, and carry it out here unless somebody else is to."""
    if how.models:
        document = document.model_copy(update={"models": {**document.models, "default": list(how.models)}})

    async def use(house: House) -> int:
        from orchestrator.cli.compose import callers_trace, workshop
        from orchestrator.cli.preflight import looked_at

        _warn(await looked_at(house.settings, document, directory, how))
        if how.detach:
            submitted = await house.service.submit(
                document, directory, placement=QUEUE, sandbox=how.sandbox, approve=how.approve,
                traceparent=callers_trace(),
            )  # fmt: skip
            _warn(submitted.warnings)
            text = f"submitted; a worker carries it out, `atlas watch {submitted.run[-8:]}` shows it"
            await _say(house, submitted.run, how.as_json, text)
            return 0
        async with workshop(house) as shop:
            placement = local_placement(shop.liveness.boot)
            submitted = await house.service.submit(
                document, directory, placement=placement, sandbox=how.sandbox, approve=how.approve,
                plan_only=how.plan_only, traceparent=callers_trace(),
            )  # fmt: skip
            _warn(submitted.warnings)
            code = await _here(house, shop, submitted.run, 0, how.as_json, how.out)
            return code if code or how.then is None else await how.then(house, submitted.run)

    return use


def _read(plan: Path) -> tuple[Plan, Path]:
    """The plan, and where its relative paths start: at the file's directory, or here for standard input."""
    from orchestrator.plan.reading import load_plan, read_plan

    if str(plan) == "-":
        return read_plan(None, sys.stdin.buffer.read()), Path.cwd()
    return load_plan(plan), plan.absolute().parent.resolve()


def resume(
    run: RunArgument,
    budget: Budgets = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it to `atlas worker`.")] = False,
    as_json: Json = False,
) -> None:
    """Go on with a run that was held, interrupted, has used up its budget, or whose process is gone. Finished TODOs are
    not run again."""

    def prepare() -> Callable[[House], Awaitable[int]]:
        from orchestrator.cli.budgets import read_budget

        limits = read_budget(budget) if budget else {}

        async def use(house: House) -> int:
            found = await house.service.find(run)
            leave_it = detach or found.placement == QUEUE
            return await go_on(house, found, detach=leave_it, as_json=as_json, limits=limits)

        return use

    prepared(prepare, as_lines_of_json=as_json)


def retry(
    run: RunArgument,
    todo: TodoArgument,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it to `atlas worker`.")] = False,
    as_json: Json = False,
) -> None:
    """Try a failed or blocked TODO again, with what was skipped because of it, and go on with the run."""

    async def use(house: House) -> int:
        from orchestrator.cli.compose import whoami

        found = await house.service.find(run)
        await house.service.retry(found.id, todo, whoami())
        return await _take_up(house, found, detach=detach, as_json=as_json)

    with_house(use, as_lines_of_json=as_json)


def replan(
    run: RunArgument,
    why: Annotated[str, typer.Argument(help="What is wrong with the plan, or what you want instead.")],
    detach: Annotated[bool, typer.Option("--detach", help="Leave it to `atlas worker`.")] = False,
    as_json: Json = False,
) -> None:
    """Have another plan made for what has not begun, or has failed, and go on with the run. What is done or in progress
    stays; so do your gates, pushes, and TODOs with inputs, outputs or secrets."""

    async def use(house: House) -> int:
        from orchestrator.cli.compose import whoami
        from orchestrator.cli.preflight import can_plan
        from orchestrator.replanning import check_reason

        check_reason(why)
        found = await house.service.find(run)
        _warn(await can_plan(house, found))
        await house.service.replan(found.id, why, whoami())
        return await _take_up(house, found, detach=detach, as_json=as_json)

    with_house(use, as_lines_of_json=as_json)


async def _take_up(house: House, found: Run, *, detach: bool, as_json: bool) -> int:
    """Whoever works on the run goes on with it; if nobody does, somebody is found."""
    if found.placement.startswith(_LOCAL) and not await _gone(house, found):
        await _say(house, found.id, as_json, "the process that works on it takes it from here")
        return 0
    return await go_on(house, found, detach=detach or found.placement == QUEUE, as_json=as_json)


def worker(
    concurrency: Annotated[int | None, typer.Option(min=1, help="TODOs at a time; default: the settings'.")] = None,
    health: Annotated[
        str | None, typer.Option(metavar="[HOST:]PORT|unix:///PATH", help="Serve /healthz, /readyz and /metrics there.")
    ] = None,
) -> None:
    """Carry out whatever is in the queue, until stopped: SIGTERM finishes what runs within the grace of the settings
    (30 s), Ctrl-C gives it back at once."""

    def prepare() -> Callable[[House], Awaitable[int]]:
        from orchestrator.cli.compose import settings
        from orchestrator.cli.wellness import Address

        found = settings()
        asked = health or found.worker_health
        address = Address.read(asked) if asked else None

        async def use(house: House) -> int:
            from orchestrator.cli.compose import workshop
            from orchestrator.cli.driving import Interruption, serve_queue

            interruption = Interruption()  # before anything is made that a signal would leave behind
            slots = concurrency or found.worker_concurrency
            async with workshop(house) as shop:
                if address is None:
                    return await serve_queue(house, shop, slots, interruption)
                from orchestrator.cli.wellness import Watched
                from orchestrator.metrics import ProcessMetrics

                metrics = ProcessMetrics(slots=slots)
                return await serve_queue(house.metered(metrics), shop, slots, interruption, Watched(address, metrics))

        return use

    prepared(prepare)


async def go_on(
    house: House, found: Run, *, detach: bool, as_json: bool, limits: Mapping[str, float | int | str] | None = None
) -> int:
    """Give a run to the queue, or work on it here; with new `limits` of its budget."""
    from orchestrator.cli.compose import workshop
    from orchestrator.cli.driving import EXIT
    from orchestrator.plan.document import Budget

    budget = Budget.model_validate(limits or {})

    if not await _gone(house, found):
        raise Conflict(
            f"{found.name} is being worked on by another `atlas` on this machine",
            f"Watch it with `atlas watch {found.id[-8:]}`, or stop it there with Ctrl-C first.",
        )
    if detach:
        await house.service.resume(found.id, QUEUE, budget)
        await _say(house, found.id, as_json, "in the queue; a worker carries it out")
        return 0
    async with workshop(house) as shop:
        await shop.sweeper.fast()
        await shop.sweeper.due()
        await shop.publisher.everything(found.id)
        resumed = await house.service.resume(found.id, local_placement(shop.liveness.boot), budget)
        if resumed.state in ("completed", "failed", "cancelled"):
            await _say(house, found.id, as_json, None)
            return EXIT[resumed.state]
        return await _here(house, shop, found.id, found.last_event, as_json)


async def _here(
    house: House, shop: Workshop, id: str, after: int, as_json: bool, out: TextIO | None = None
) -> int:  # fmt: skip
    from orchestrator.cli.driving import LocalWork

    run = await house.service.find(id)
    work = LocalWork(house, shop, run, after, as_lines_of_json=as_json, out=out)
    return await work.carry_out(slots=run.concurrency)


async def _gone(house: House, run: Run) -> bool:
    """Whether no process has the run for itself."""
    if not run.placement.startswith(_LOCAL):
        return True
    boot = run.placement.removeprefix(_LOCAL)
    return (await house.census.verdicts([boot]))[boot] == "dead"


async def _say(house: House, id: str, as_json: bool, text: str | None) -> None:
    from orchestrator.cli.conclusion import conclude
    from orchestrator.cli.output import print_json

    found = await house.service.run(id)
    if as_json:
        print_json([found])
    elif text:
        print(f"{found.name} {found.id[-8:]}: {text}")
    else:
        await conclude(house, found)


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
