"""Routes about runs and their TODOs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from mcp_servers.storage.threads import in_thread
from orchestrator import asking
from orchestrator.http.parts import Parts, answer, caller_of
from orchestrator.http.shapes import (
    Evidence,
    Going,
    NewRun,
    Reason,
    Runs,
    Submitted,
    TodoDetail,
    Todos,
    Why,
)
from orchestrator.http.streams import EventStream
from orchestrator.http.watching import run_events
from orchestrator.service import Submission
from orchestrator.transcript import AttemptStory
from orchestrator.views import RunView
from state import tracing
from state.limits import PAGE
from state.records import QUEUE

SOURCE = "http"
_REPEATED: dict[str, Any] = {"model": Submitted, "description": "It was there already, and nothing has changed."}
_EVENTS = 2**53
RunId = Annotated[str, Path(description="Id, the end of an id, a name, or `last`.", examples=["last"])]
TodoId = Annotated[str, Path(description="Its id in the plan, or its own.", examples=["greet"])]
Limit = Annotated[int, Query(ge=1, le=PAGE, description="Of a page.")]
Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=255, description="The same again changes nothing: the first run comes."),
]
After = Annotated[int, Query(ge=0, le=_EVENTS, description="Begin after this event.")]
LastEvent = Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=_EVENTS, description="As browsers send it.")]


def run_routes(parts: Parts) -> APIRouter:
    """Those of runs."""
    router = APIRouter(prefix="/api/runs", tags=["runs"])
    service = parts.service

    @router.post("", status_code=201, response_model=Submitted, responses={200: _REPEATED})
    async def submit(body: NewRun, request: Request, key: Key = None) -> Response:
        """Submit a plan, a goal or a task. 200: it was there already."""
        caller = caller_of(request)
        submitted = await _submitted(parts, body, request, asking.once(SOURCE, caller.name, key))
        view = await service.run(submitted.run)
        made = Submitted(view, submitted.warnings, submitted.repeated)
        return answer(made, 200 if submitted.repeated else 201, {"Location": f"/api/runs/{view.id}"})

    @router.get("", response_model=Runs)
    async def runs(limit: Limit = 50, before: Annotated[str | None, Query(max_length=100)] = None) -> Response:
        """Newest first."""
        return answer(Runs(*await parts.looking.runs(limit, before)))

    @router.get("/{run}", response_model=RunView)
    async def run(run: RunId) -> Response:
        """One run."""
        return answer(await service.run(run))

    @router.get("/{run}/diff", response_class=Response, responses=_text("text/x-diff"))
    async def diff(run: RunId) -> Response:
        """What its roles have changed, as a patch."""
        return _patch(await parts.changes.patch(run))

    @router.get("/{run}/report", response_class=Response, responses=_text("text/markdown"))
    async def report(run: RunId) -> Response:
        """What came of it, for people."""
        return Response(await parts.telling.report(run), media_type="text/markdown; charset=utf-8")

    @router.get("/{run}/events", response_class=Response, responses=_text("text/event-stream"))
    async def events(
        run: RunId,
        after: After = 0,
        last: LastEvent = None,
        until: Annotated[str | None, Query(pattern="^end$", description="`end`: until the run has ended.")] = None,
    ) -> Response:
        """What happens, as server-sent events: `id` is the event's number, and what comes after `Last-Event-ID` (or
        `after`) is replayed first. `resync`: what is between was deleted meanwhile."""
        found = await service.find(run)
        start = last if last is not None else after
        opening = run_events(parts.feeds, service, found.id, start, until_end=until is not None)
        return EventStream(opening, parts.streams)

    _ = submit, runs, run, diff, report, events
    return router


def act_routes(parts: Parts) -> APIRouter:
    """What can be done to a run."""
    router = APIRouter(prefix="/api/runs", tags=["runs"])
    service = parts.service

    @router.post("/{run}/cancel", response_model=RunView)
    async def cancel(run: RunId, request: Request) -> Response:
        """End it for good; what runs is killed at once."""
        return answer(await service.cancel(run, caller_of(request).name))

    @router.post("/{run}/hold", response_model=RunView)
    async def hold(run: RunId, request: Request, body: Reason | None = None) -> Response:
        """Start nothing more of it until it is resumed; what runs may finish."""
        name = caller_of(request).name
        return answer(await service.hold(run, (body and body.reason) or f"held by {name}", name))

    @router.post("/{run}/resume", response_model=RunView)
    async def resume(run: RunId, request: Request, body: Going | None = None) -> Response:
        """Go on with a run that is held or has used up its budget; workers take it from the queue."""
        name = caller_of(request).name
        return answer(await service.resume(run, QUEUE, body and body.budget, name))

    @router.post("/{run}/replan", response_model=RunView)
    async def replan(run: RunId, body: Why, request: Request) -> Response:
        """Have another plan made for what has not begun, or has failed."""
        return answer(await service.replan(run, body.why, caller_of(request).name))

    @router.post("/{run}/todos/{todo}/retry", response_model=RunView, tags=["todos"])
    async def retry(run: RunId, todo: TodoId, request: Request) -> Response:
        """Try a failed or blocked TODO again, with what was skipped because of it."""
        return answer(await service.retry(run, todo, caller_of(request).name))

    _ = cancel, hold, resume, replan, retry
    return router


def todo_routes(parts: Parts) -> APIRouter:
    """Those of TODOs."""
    router = APIRouter(prefix="/api/runs/{run}/todos", tags=["todos"])
    service = parts.service

    @router.get("", response_model=Todos)
    async def todos(run: RunId, limit: Limit = 200, after: Annotated[int, Query(ge=-1, le=2**31 - 1)] = -1) -> Response:
        """In the order of the plan."""
        return answer(Todos(*await parts.looking.todos(run, limit, after)))

    @router.get("/{todo}", response_model=TodoDetail)
    async def todo(run: RunId, todo: TodoId) -> Response:
        """One, with its attempts and questions."""
        return answer(await parts.looking.todo(run, todo))

    @router.get("/{todo}/evidence", response_model=Evidence)
    async def evidence(run: RunId, todo: TodoId) -> Response:
        """What was checked, on what, and what came out; and the outputs that were taken."""
        return answer(Evidence(*await service.evidence(run, todo)))

    @router.get("/{todo}/log", response_class=Response, responses=_text("text/plain"))
    async def log(
        run: RunId,
        todo: TodoId,
        attempt: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="The newest if left out.")] = None,
        offset: Annotated[int, Query(ge=0, le=_EVENTS, description="In bytes.")] = 0,
    ) -> Response:
        """What its commands have printed so far."""
        pieces = service.log(run, todo, attempt, offset)
        first = await anext(pieces, b"")  # that there is no such TODO is known by now
        return StreamingResponse(_rest(first, pieces), media_type="text/plain; charset=utf-8")

    @router.get("/{todo}/transcript")
    async def transcript(
        run: RunId, todo: TodoId, attempt: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None
    ) -> list[dict[str, Any]]:
        """What its roles have said and done so far, attempt by attempt."""
        found = await parts.telling.find(run, todo)
        return [_story(each) for each in await parts.telling.transcript(found, attempt)]

    @router.get("/{todo}/diff", response_class=Response, responses=_text("text/x-diff"))
    async def diff(run: RunId, todo: TodoId) -> Response:
        """What the newest attempt of a role has changed so far, as a patch."""
        return _patch(await parts.changes.of_todo(run, todo))

    _ = todos, todo, evidence, log, transcript, diff
    return router


async def _submitted(parts: Parts, body: NewRun, request: Request, once: str | None) -> Submission:
    caller, trace = caller_of(request), tracing.valid(request.headers.get("traceparent"))
    if (document := body.task) is not None:
        task = await in_thread(lambda _: asking.task_of(document))  # a large one takes seconds
        parts.reach.check_task(task, trusted=caller.trusted)
        return await parts.service.submit_task(
            task, provenance=caller.provenance, source=SOURCE, traceparent=trace, by=caller.name
        )
    if (written := body.plan) is not None:
        plan = await in_thread(lambda _: asking.plan_of(written))
    else:
        budget = body.budget and body.budget.model_dump(exclude_none=True)
        plan = asking.goal_plan(body.goal or "", body.repo, body.base, budget=budget, models=body.models)
    parts.reach.check_plan(plan, trusted=caller.trusted)
    return await parts.service.submit(
        plan, None, provenance=caller.provenance, source=SOURCE, approve=body.approve, traceparent=trace,
        by=caller.name, once=once,
    )  # fmt: skip


def _story(story: AttemptStory) -> dict[str, Any]:
    entries = [{"type": type(each).__name__.lower(), **asdict(each)} for each in story.entries]
    return {**asdict(story), "entries": entries}


def _text(media_type: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {media_type: {"schema": {"type": "string"}}}}}


def _patch(text: str) -> Response:
    return Response(text.encode("utf-8", "surrogateescape"), media_type="text/x-diff; charset=utf-8")


async def _rest(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece
