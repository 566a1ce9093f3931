"""The rules of design §4, once, for every engine: a typed pure function per command over a loaded `Work`.

Sequential semantics within a batch: each decision sees what the ones before it decided. A decision that refuses has
changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from state.access_commands import Audited, IssueToken, RevokeToken
from state.agent_commands import AskPerson, ForgetThreads, Remember, ReserveCall, SettleCall
from state.commands import (
    AdvanceSink,
    Answer,
    BeginVerifying,
    Block,
    Cancel,
    Claim,
    ClaimNext,
    Command,
    Complete,
    Delivered,
    Done,
    ExhaustTime,
    Expire,
    ExtendRun,
    Fail,
    Hold,
    Outcome,
    Published,
    Release,
    Replan,
    Resume,
    Retry,
    Say,
    SubmitRun,
    TakeSink,
    WorkerEnded,
    WorkerStarted,
)
from state.decisions import (
    access,
    bookkeeping,
    budgeting,
    control,
    gates,
    ownership,
    planning,
    remembering,
    retrying,
    settlement,
    submission,
    telling,
)
from state.records import QUEUE
from state.work import Work

_DECISIONS: dict[type[Any], Callable[[Work, Any], Outcome]] = {
    SubmitRun: submission.submit,
    ExtendRun: planning.extend,
    Replan: planning.replan,
    ReserveCall: budgeting.reserve,
    SettleCall: budgeting.settle,
    Remember: remembering.remember,
    ForgetThreads: remembering.forget_threads,
    AskPerson: remembering.ask_person,
    Claim: ownership.claim,
    ClaimNext: ownership.claim_next,
    BeginVerifying: ownership.begin_verifying,
    Say: ownership.say,
    Release: ownership.release,
    Complete: settlement.complete,
    Fail: settlement.fail,
    Block: settlement.block,
    Answer: gates.answer,
    Expire: gates.expire,
    Cancel: control.cancel,
    Hold: control.hold,
    ExhaustTime: control.exhaust_time,
    Resume: control.resume,
    Retry: retrying.retry,
    Delivered: bookkeeping.delivered,
    Published: bookkeeping.published,
    TakeSink: telling.take,
    AdvanceSink: telling.advance,
    WorkerStarted: bookkeeping.worker_started,
    WorkerEnded: bookkeeping.worker_ended,
    IssueToken: access.issue,
    RevokeToken: access.revoke,
}


def decide(work: Work, command: Command) -> Outcome:
    """Carry out one command on what is loaded."""
    work.touched.clear()
    work.ready = []
    asked = command.command if isinstance(command, Audited) else command
    outcome = _DECISIONS[type(asked)](work, asked)
    if isinstance(command, Audited):
        access.audit(work, command, outcome)
    if isinstance(outcome, Done) and outcome.ready:  # all of one run
        outcome.queued = work.runs[work.todos[outcome.ready[0]].run_id].placement == QUEUE
    work.close_command()
    return outcome
