"""What task documents want of an attempt, whatever comes of it: standard output and outputs with `on: always`."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.plan.spec import OutputSpec, StdoutSpec, TaskSpec, VerifySpec
from state.ports import Store
from tests.contract.store_world import FakeClock
from tests.integration.task_workshop import SECRET, TaskWorkshop, task_workshop


@pytest.fixture
async def shop(
    tmp_path: Path, open_store: Callable[[FakeClock | None], Store]
) -> AsyncGenerator[TaskWorkshop]:  # fmt: skip
    store = open_store(None)
    async with task_workshop(tmp_path, store) as found:
        yield found
    await store.close()


def wanted(shop: TaskWorkshop, **keys: Any) -> dict[str, Any]:
    """A file and a directory of each sort, and the standard output always."""
    outputs = [
        {"internal": "always.txt", "remote": shop.url("always.txt"), "on": "always"},
        {"internal": "always/", "remote": shop.url("always/"), "on": "always"},
        {"internal": "success.txt", "remote": shop.url("success.txt")},
    ]
    return {"outputs": outputs, "stdout": {"remote": shop.url("log.txt")}, **keys}


MAKE = "echo a >always.txt; mkdir always; echo b >always/b; echo s >success.txt; echo said; echo shouted >&2; "
ALWAYS = {"always.txt": b"a\n", "always/b": b"b\n", "log.txt": b"said\n"}
FAILS = {"exit": (MAKE + "exit 3", "exit"), "timeout": (MAKE + "sleep 60", "timeout")}


async def test_all_of_it_is_published_on_success(shop: TaskWorkshop) -> None:
    run = (await shop.submit(shop.document(MAKE, **wanted(shop)))).run
    assert await shop.rest(run) == "completed"
    assert shop.published() == {**ALWAYS, "success.txt": b"s\n"}
    assert await shop.manifest(run) == {"always.txt": True, "always/": True, "success.txt": True, "(stdout)": True}


@pytest.mark.parametrize("how", FAILS)
async def test_what_is_wanted_always_is_published_on_failure(shop: TaskWorkshop, how: str) -> None:
    script, reason = FAILS[how]
    run = (await shop.submit(shop.document(script, **wanted(shop, timeout=2 if how == "timeout" else 60)))).run
    assert await shop.rest(run) == "failed"
    assert (await shop.todo(run)).reason == reason, (await shop.todo(run)).detail
    assert shop.published() == ALWAYS
    assert await shop.manifest(run) == {"always.txt": True, "always/": True, "(stdout)": True}


async def test_what_is_not_there_is_not_missed_on_failure(shop: TaskWorkshop) -> None:
    run = (await shop.submit(shop.document("echo said; echo b >always.txt; exit 3", **wanted(shop)))).run
    assert await shop.rest(run) == "failed"
    assert (await shop.todo(run)).detail == "exit code 3: said"
    assert shop.published() == {"always.txt": b"b\n", "log.txt": b"said\n"}


async def test_a_missing_output_fails_and_leaves_the_others(shop: TaskWorkshop) -> None:
    run = (await shop.submit(shop.document("echo said; echo b >always.txt", **wanted(shop)))).run
    assert await shop.rest(run) == "failed"
    todo = await shop.todo(run)
    assert (todo.reason, "always/, success.txt" in (todo.detail or "")) == ("output", True)
    assert shop.published() == {"always.txt": b"b\n", "log.txt": b"said\n"}


async def test_only_on_success_is_nothing_on_failure(shop: TaskWorkshop) -> None:
    keys = wanted(shop, stdout={"remote": shop.url("log.txt"), "on": "success"})
    keys["outputs"] = keys["outputs"][2:]
    run = (await shop.submit(shop.document(MAKE + "exit 1", **keys))).run
    assert await shop.rest(run) == "failed"
    assert shop.published() == {}
    assert await shop.manifest(run) == {}
    assert not list(shop.path.rglob(".atlas"))


def _spec(shop: TaskWorkshop, script: str, **fields: Any) -> TaskSpec:
    out = OutputSpec("out.txt", shop.url("out.txt"), tree=False, on="always")
    stdout = StdoutSpec(shop.url("log.txt"), "always")
    return TaskSpec(("sh", "-c", script), outputs=(out,), stdout=stdout, **fields)


async def test_verification_that_fails_leaves_it_too(shop: TaskWorkshop) -> None:
    verify = (VerifySpec(("sh", "-c", "echo checking; exit 1")),)
    run = await shop.submit_spec(_spec(shop, "echo said; echo o >out.txt", verify=verify))
    assert await shop.rest(run) == "failed"
    assert (await shop.todo(run)).reason == "verification"
    assert shop.published() == {"out.txt": b"o\n", "log.txt": b"said\n"}


async def test_the_last_attempt_leaves_it_and_no_other(shop: TaskWorkshop) -> None:
    count = shop.path / "count"
    script = f"echo x >>{count}; n=$(wc -l <{count}); echo attempt $n; echo $n >out.txt; exit 1"
    run = await shop.submit_spec(_spec(shop, script, retries=2, backoff=0.01))
    assert await shop.rest(run) == "failed"
    assert shop.published() == {"out.txt": b"3\n", "log.txt": b"attempt 3\n"}
    staged = {path.parent.name for path in shop.remote.rglob("*") if path.is_file() and ".atlas" in path.parts}
    assert staged == {str((await shop.todo(run)).fence)}


async def test_a_person_s_retry_leaves_its_own_instead(shop: TaskWorkshop) -> None:
    flag = shop.path / "flag"
    run = await shop.submit_spec(_spec(shop, f"test -e {flag} && echo second >out.txt && exit; echo first; exit 1"))
    assert await shop.rest(run) == "failed"
    assert shop.published() == {"log.txt": b"first\n"}
    flag.touch()
    await shop.service.retry(run, "task", "me")
    assert await shop.rest(run) == "completed"
    assert shop.published() == {"out.txt": b"second\n", "log.txt": b""}
    _, outputs = await shop.service.evidence(run)
    assert {(output.internal, output.size) for output in outputs} == {("out.txt", 7), ("(stdout)", 0)}


async def test_what_the_worker_did_not_publish_any_sweeper_does(shop: TaskWorkshop) -> None:
    shop.publishes = False
    run = (await shop.submit(shop.document(MAKE + "exit 1", **wanted(shop)))).run
    assert await shop.rest(run) == "failed"
    assert shop.published() == {}
    await shop.publisher.everything()
    assert shop.published() == {}, "its own worker is about to"
    await shop.publisher.everything(late=0)
    assert shop.published() == ALWAYS
    assert set((await shop.manifest(run)).values()) == {True}


async def test_an_output_that_can_t_be_taken_spoils_neither_the_failure_nor_its_output(shop: TaskWorkshop) -> None:
    run = (await shop.submit(shop.document("echo said; ln -s /etc/passwd always.txt; exit 3", **wanted(shop)))).run
    assert await shop.rest(run) == "failed"
    todo = await shop.todo(run)
    assert todo.reason == "exit"
    assert (todo.detail or "").startswith("exit code 3: said; not all of its outputs were stored: output always.txt: ")
    assert shop.published() == {"log.txt": b"said\n"}


async def test_a_remote_that_fails_does_not_hide_the_failure(shop: TaskWorkshop) -> None:
    shop.remote.mkdir()
    (shop.remote / "file").write_bytes(b"")
    stdout = {"remote": shop.url("file/log.txt"), "on": "always"}
    run = (await shop.submit(shop.document("echo said; exit 3", stdout=stdout))).run
    assert await shop.rest(run) == "failed"
    todo = await shop.todo(run)
    assert todo.reason == "exit"
    assert (todo.detail or "").startswith("exit code 3: said; not all of its outputs were stored: ")
    assert await shop.manifest(run) == {}


async def test_too_much_of_it_is_a_failure_that_names_the_bound(shop: TaskWorkshop) -> None:
    shop.stdout_bytes = 100_000
    run = (await shop.submit(shop.document("echo a >always.txt; yes; true", **wanted(shop)))).run
    assert await shop.rest(run) == "failed"
    todo = await shop.todo(run)
    assert todo.reason == "output"
    assert "its standard output is over 100,000 bytes (STDOUT_BYTES)" in (todo.detail or "")
    assert shop.published() == {"always.txt": b"a\n"}


async def test_as_much_as_is_taken_is_no_failure(shop: TaskWorkshop) -> None:
    shop.stdout_bytes = 300_000
    run = (await shop.submit(shop.document("head -c 300000 /dev/zero; yes | head -n 90000 >&2", **wanted(shop)))).run
    await shop.rest(run)
    assert shop.published() == {"log.txt": bytes(300_000)}


async def test_it_is_kept_to_the_byte(shop: TaskWorkshop) -> None:
    content = shop.path / "content"
    content.write_bytes(os.urandom(3_000_001))
    run = (await shop.submit(shop.document(f"cat {content}", stdout={"remote": shop.url("log.bin")}))).run
    assert await shop.rest(run) == "completed"
    assert shop.published() == {"log.bin": content.read_bytes()}


async def test_secrets_are_not_in_it(shop: TaskWorkshop) -> None:
    script = (
        'echo o >out.txt; printf "%s" "$THE_SECRET" | cut -c 1-8 | tr -d "\\n"; printf "%s" "$THE_SECRET" | cut -c 9-'
    )
    run = await shop.submit_spec(_spec(shop, script, secrets=("THE_SECRET",)))
    assert await shop.rest(run) == "completed"
    assert shop.published()["log.txt"] == b"[secret THE_SECRET]\n"
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in shop.remote.rglob("*") if path.is_file())


async def test_a_command_that_puts_something_in_its_place_gains_nothing(shop: TaskWorkshop) -> None:
    """On a host, it can: the directory is its user's own."""
    run = (await shop.submit(shop.document("rm ../stdout; ln -s /etc/passwd ../stdout; exit 3", **wanted(shop)))).run
    assert await shop.rest(run) == "failed"
    assert (await shop.todo(run)).reason == "exit"
    assert shop.published() == {}
