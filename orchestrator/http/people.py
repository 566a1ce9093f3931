"""Routes about people: their questions, who is logged in, tokens, and who did what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from orchestrator.http.access import COOKIE, address_of, too_many
from orchestrator.http.parts import Parts, answer, caller_of
from orchestrator.http.problems import problem
from orchestrator.http.shapes import (
    AllTokens,
    Audits,
    AuditView,
    LogIn,
    NewAnswer,
    NewToken,
    Questions,
    TokenMade,
    Whoami,
)
from orchestrator.http.streams import EventStream
from orchestrator.tokens import SESSION_SECONDS, Caller
from orchestrator.views import QuestionView, moment
from state import access_reading
from state.limits import PAGE

_SESSION = "/api/session"
TokenName = Annotated[str, Path(max_length=200)]


def question_routes(parts: Parts) -> APIRouter:
    """Those of questions, and of what happens to all runs."""
    router = APIRouter(prefix="/api", tags=["questions"])
    service = parts.service

    @router.get("/questions", response_model=Questions)
    async def questions(
        run: Annotated[str | None, Query(max_length=500, description="Of this run only.")] = None,
        state: Annotated[str, Query(pattern="^(pending|all)$")] = "pending",
    ) -> Response:
        """Oldest first; those that wait for an answer, or all."""
        return answer(Questions(await service.questions(run, pending=state == "pending")))

    @router.post("/questions/{question}/answer", response_model=QuestionView)
    async def answer_question(
        question: Annotated[str, Path(description="Id, the end of an id, or the gate's TODO id.")],
        body: NewAnswer,
        request: Request,
    ) -> Response:
        """Answer it; what waits for it goes on. 409: it was answered already, or has expired."""
        return answer(await service.answer(question, body.value, caller_of(request).name))

    @router.get(
        "/events", response_class=Response, tags=["runs"],
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )  # fmt: skip
    async def hints() -> Response:
        """Runs as they change, from now on, as server-sent events. `resync`: look at the list again."""
        return EventStream(parts.hints.watch(), parts.streams)

    _ = questions, answer_question, hints
    return router


def session_routes(parts: Parts) -> APIRouter:
    """Logging in from a browser, and out."""
    router = APIRouter(prefix=_SESSION, tags=["session"])
    tokens, failures = parts.tokens, parts.failures

    @router.post("", response_model=Whoami)
    async def log_in(body: LogIn, request: Request) -> Response:
        """Begin a session with a token: a cookie that scripts can't read, for half a day."""
        address = address_of(request.scope)
        if seconds := failures.wait(address):
            return too_many(seconds)
        found = await tokens.log_in(body.token)
        if found is None:
            failures.note(address)
            return problem(401, "unauthorized", "this token does not count", "`atlas token new NAME` makes one.")
        secret, caller = found
        made = answer(_whoami(caller))
        made.set_cookie(
            COOKIE, secret, max_age=int(SESSION_SECONDS), httponly=True, samesite="strict", path="/",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return made

    @router.get("", response_model=Whoami)
    async def who(request: Request) -> Response:
        """Who is asking. 401: nobody that is known."""
        caller: Caller | None = request.state.caller
        if caller is None:
            return problem(401, "unauthorized", "nobody is logged in", "Log in with a token.")
        return answer(_whoami(caller))

    @router.delete("", status_code=204)
    async def log_out(request: Request) -> Response:
        """End the session."""
        caller: Caller | None = request.state.caller
        if caller:
            await tokens.log_out(caller)
        done = Response(status_code=204)
        done.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return done

    _ = log_in, who, log_out
    return router


def admin_routes(parts: Parts) -> APIRouter:
    """Tokens, and who did what; `Access` lets only admins come here."""
    router = APIRouter(prefix="/api", tags=["admin"])
    tokens = parts.tokens

    @router.get("/tokens", response_model=AllTokens)
    async def all_tokens() -> Response:
        """All that were ever made; never their secrets."""
        return answer(AllTokens(await tokens.all()))

    @router.post("/tokens", status_code=201, response_model=TokenMade)
    async def new_token(body: NewToken, request: Request) -> Response:
        """Make one. Its secret is told now, and never again."""
        by = caller_of(request).name
        secret = await tokens.issue(body.name, body.scope, by, trusted=body.trusted, seconds=body.seconds)
        return answer(TokenMade(body.name, secret), 201)

    @router.delete("/tokens/{name}", status_code=204)
    async def revoke(name: TokenName, request: Request) -> Response:
        """It counts no more, nor do the sessions that were begun with it."""
        await tokens.revoke(name, caller_of(request).name)
        return Response(status_code=204)

    @router.get("/audit", response_model=Audits)
    async def audit(
        limit: Annotated[int, Query(ge=1, le=PAGE)] = 100,
        before: Annotated[str | None, Query(max_length=100)] = None,
    ) -> Response:
        """Who asked for what, newest first."""
        rows = await parts.looking.store.read(lambda session: access_reading.audits(session, limit + 1, before))
        page = [
            AuditView(row.id, moment(row.at), row.who, row.act, row.subject, row.outcome, row.detail)
            for row in rows[:limit]
        ]
        return answer(Audits(page, page[-1].id if len(rows) > limit else None))

    _ = all_tokens, new_token, revoke, audit
    return router


def _whoami(caller: Caller) -> Whoami:
    return Whoami(caller.name, caller.scope, caller.session is not None)
