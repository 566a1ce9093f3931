"""The retry policy, and what executors' results become."""

from __future__ import annotations

import json

import pytest

from orchestrator.outcome import LONGEST_BACKOFF, RetryPolicy, settlement
from state.commands import Block, Claimed, Complete, Fail
from state.limits import RETRIES
from state.ports import Blockage, Failure, Worked
from state.records import Output


def claim(attempt: int = 0, **document: object) -> Claimed:
    """A claim of a TODO with this document."""
    return Claimed(
        todo="t", run="r", key="k", kind="task", fence=3, epoch=0, attempt=attempt, crash_count=0, timeout=1.0,
        deadline=0.0, document=json.dumps(document), provenance="person",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("attempt", "wait"), [(0, 5.0), (1, 10.0), (2, 20.0), (3, 40.0), (4, None), (5, None), (10**6, None)]
)
def test_waits_double_until_no_attempt_is_left(attempt: int, wait: float | None) -> None:
    assert RetryPolicy(retries=4, backoff=5.0).wait(attempt) == wait


def test_waits_have_a_bound() -> None:
    waits = [RetryPolicy(retries=RETRIES, backoff=5.0).wait(attempt) for attempt in range(RETRIES)]
    assert max(wait for wait in waits if wait is not None) == LONGEST_BACKOFF
    assert RetryPolicy(retries=10**9, backoff=1e-9).wait(10**8) is not None


def test_without_a_policy_there_is_no_retry() -> None:
    assert RetryPolicy.of("{}").wait(0) is None
    assert RetryPolicy.of('{"retries": 1, "backoff": 0.5}').wait(0) == 0.5


def test_each_result_has_its_command() -> None:
    assert settlement(claim(), Worked([], [])) == Complete("t", 3, [], [])
    assert settlement(claim(), Blockage("image", "none")) == Block("t", 3, "image", "none")
    assert settlement(claim(1, retries=2, backoff=1), Failure("exit", "1")) == Fail("t", 3, "exit", "1", 2.0, [], [])
    left = Output("(stdout)", "s3://b/log", "s3://b/.atlas/log", "sha256:0", 1, False, None)
    last = Failure("exit", "1", outputs=[left])
    assert settlement(claim(2, retries=2, backoff=1), last) == Fail("t", 3, "exit", "1", None, [], [left])


@pytest.mark.parametrize("result", [Failure("output", "no file: a\udcff\0"), Blockage("input", "no file: a\udcff\0")])
def test_a_name_that_is_no_text_can_be_told(result: Failure | Blockage) -> None:
    command = settlement(claim(), result)
    assert isinstance(command, Fail | Block)
    assert command.detail == "no file: a?\N{SYMBOL FOR NULL}"
