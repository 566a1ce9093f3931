"""MCP clients of `atlas serve`, of both eras: they submit, follow, answer, look, cancel."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from pathlib import Path

import pytest
from mcp import MCPError
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.subscriptions import ResourceUpdated

from tests.acceptance.command_line import PATIENCE
from tests.http.mcp_client import (
    ASK,
    ERAS,
    GREET,
    SHIPPED,
    CancelTask,
    Era,
    Task,
    TaskParams,
    Tasks,
    Updates,
    called,
    connected,
    plan,
    refused,
    waited,
)
from tests.http.server import Server, ended, served

TOOLS = {
    "submit_plan", "submit_goal", "list_runs", "get_run", "list_todos", "get_todo", "wait_for_run", "get_log",
    "list_questions", "answer_question", "cancel_run", "retry_todo",
}  # fmt: skip


@pytest.mark.parametrize("era", ERAS)
async def test_what_there_is(server: Server, era: Era) -> None:
    async with connected(server, era) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == TOOLS
        for tool in tools.values():
            assert tool.description
            assert tool.output_schema
            assert tool.annotations
        assert tools["cancel_run"].annotations
        assert tools["cancel_run"].annotations.destructive_hint
        templates = (await client.list_resource_templates()).resource_templates
        assert {each.uri_template for each in templates} == {"atlas://runs/{run}", "atlas://runs/{run}/todos"}
        assert "evidence" in (client.instructions or "")


@pytest.mark.parametrize("era", ERAS)
async def test_a_plan_from_submission_to_evidence(server: Server, era: Era) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with connected(server, era) as client:
        made = await called(client, "submit_plan", plan=plan(GREET, ASK, SHIPPED))
        run = made["run"]["id"]
        waiting = await waited(client, run, "awaiting_input")
        assert (waiting["settled"], waiting["total"]) == (1, 3)
        (asked,) = (await called(client, "list_questions", run=run))["questions"]
        assert waiting["attention"] == [f"question {asked['id']}: Ship it?"]
        assert (asked["text"], asked["choices"], asked["state"]) == ("Ship it?", ["yes", "no"], "pending")
        assert "maybe" in await refused(client, "answer_question", question=asked["id"], value="maybe")
        answered = await called(client, "answer_question", question=asked["id"], value="yes")
        assert (answered["state"], answered["answer"]) == ("answered", "yes")
        assert "answered" in await refused(client, "answer_question", question=asked["id"], value="no")
        result = await client.call_tool("wait_for_run", {"run": run}, progress_callback=tell)
        while result.structured_content and result.structured_content["state"] == "in_progress":
            result = await client.call_tool("wait_for_run", {"run": run}, progress_callback=tell)
        assert result.structured_content
        assert result.structured_content["state"] == "completed"
        assert [done for done, _, _ in told] == sorted({done for done, _, _ in told}), "it grows"
        todos = (await called(client, "list_todos", run=run))["todos"]
        assert [(each["key"], each["state"]) for each in todos] == [
            ("greet", "completed"), ("ship", "completed"), ("after", "completed"),
        ]  # fmt: skip
        greet = await called(client, "get_todo", run=run, todo="greet")
        assert greet["attempts"] == 1
        assert [(each["command"], each["passed"], each["exit_code"]) for each in greet["evidence"]][-1] == (
            "true",
            True,
            0,
        )
        assert (await called(client, "get_log", run=run, todo="greet"))["text"] == "hello\n"
        assert run in {each["id"] for each in (await called(client, "list_runs"))["runs"]}
    with server.client() as admin:
        acts = admin.get("/api/audit").json()["audits"]
        assert {(each["who"], each["act"]) for each in acts if each["subject"] == run} >= {
            ("first", "submit"), ("first", "answer"),
        }  # fmt: skip


@pytest.mark.parametrize("era", ERAS)
async def test_a_run_is_cancelled(server: Server, era: Era, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    async with connected(server, era) as client:
        made = await called(client, "submit_plan", plan=plan({"id": "long", "run": f"touch {marker}; sleep 600"}))
        run = made["run"]["id"]
        async with asyncio.timeout(PATIENCE):
            while not marker.exists():  # noqa: ASYNC110  a process makes it
                await asyncio.sleep(0.01)
        cancelled = await called(client, "cancel_run", run=run)
        assert cancelled["state"] in ("in_progress", "cancelled")
        assert (await waited(client, run))["state"] == "cancelled"
        assert (await called(client, "cancel_run", run=run))["state"] == "cancelled", "as if it was the first time"


async def test_a_wait_ends_before_its_timeout(server: Server) -> None:
    async with connected(server) as client:
        run = (await called(client, "submit_plan", plan=plan({"id": "long", "run": "sleep 600"})))["run"]["id"]
        assert (await called(client, "wait_for_run", run=run, timeout=1.5))["state"] == "in_progress"
        await called(client, "cancel_run", run=run)


async def test_a_failure_is_tried_again(server: Server, tmp_path: Path) -> None:
    there = tmp_path / "there"
    async with connected(server) as client:
        made = await called(client, "submit_plan", plan=plan({"id": "look", "run": f"test -e {there}"}))
        run = made["run"]["id"]
        failed = await waited(client, run)
        assert (failed["state"], failed["attention"]) == ("failed", ["look failed (exit): exit code 1"])
        todo = await called(client, "get_todo", run=run, todo="look")
        assert todo["reason"] == "exit"
        there.touch()
        await called(client, "retry_todo", run=run, todo="look")
        assert (await waited(client, run, "completed"))["state"] == "completed"


async def test_the_same_key_gives_the_first_run(server: Server) -> None:
    async with connected(server) as client:
        first = await called(client, "submit_plan", plan=plan(GREET), key="k-1")
        again = await called(client, "submit_plan", plan=json.dumps(plan(GREET)), key="k-1")
        assert (first["run"]["id"], first["repeated"]) == (again["run"]["id"], False)
        assert again["repeated"]
        assert first["run"]["id"] in await refused(client, "submit_plan", plan=plan(ASK), key="k-1")


async def test_long_lists_and_logs_come_in_pages(server: Server) -> None:
    many = [{"id": f"todo-{number}", "ask": "x" * 150, "choices": ["yes"]} for number in range(450)]
    async with connected(server) as client:
        run = (await called(client, "submit_plan", plan=plan(*many)))["run"]["id"]
        keys: list[str] = []
        cursor: str | None = None
        while True:
            arguments = {"cursor": cursor} if cursor else {}
            page = await called(client, "list_todos", run=run, **arguments)
            assert len(json.dumps(page)) < 60_000
            keys += [each["key"] for each in page["todos"]]
            if (cursor := page.get("next_cursor")) is None:
                break
        assert keys == [each["id"] for each in many]
        await called(client, "cancel_run", run=run)
        printed = plan({"id": "print", "run": "seq 1 30000"})
        run = (await called(client, "submit_plan", plan=printed))["run"]["id"]
        await waited(client, run)
        text, cursor = "", None
        while True:
            page = await called(client, "get_log", run=run, todo="print", **({"cursor": cursor} if cursor else {}))
            text += page["text"]
            if (cursor := page.get("next_cursor")) is None:
                break
        assert text == "".join(f"{number}\n" for number in range(1, 30_001))


async def test_subscribers_are_told_2026(server: Server) -> None:
    async with connected(server) as client:
        run = (await called(client, "submit_plan", plan=plan(ASK, SHIPPED)))["run"]["id"]
        await waited(client, run, "awaiting_input")
        uri = f"atlas://runs/{run}"
        async with asyncio.timeout(PATIENCE), client.listen(resource_subscriptions=[uri, f"{uri}/todos"]) as changes:
            await called(client, "answer_question", question="ship", value="yes")
            seen: set[str] = set()
            state = ""
            async for change in changes:
                assert isinstance(change, ResourceUpdated)
                seen.add(change.uri)
                (content,) = (await client.read_resource(uri)).contents
                state = json.loads(getattr(content, "text", ""))["state"]
                if state == "completed" and len(seen) == 2:
                    break
        assert seen == {uri, f"{uri}/todos"}
        (content,) = (await client.read_resource(f"{uri}/todos")).contents
        assert [each["state"] for each in json.loads(getattr(content, "text", ""))["todos"]] == ["completed"] * 2


@pytest.mark.filterwarnings("ignore:resources/subscribe is removed")
async def test_subscribers_are_told_2025(server: Server) -> None:
    updates = Updates()
    async with connected(server, "legacy", message_handler=updates) as client:
        run = (await called(client, "submit_plan", plan=plan(ASK, SHIPPED)))["run"]["id"]
        await waited(client, run, "awaiting_input")
        uri = f"atlas://runs/{run}"
        await client.session.subscribe_resource(uri)  # pyright: ignore[reportDeprecated]  of its era
        await called(client, "answer_question", question="ship", value="yes")
        async with asyncio.timeout(PATIENCE):
            while True:
                assert await updates.next() == uri
                (content,) = (await client.read_resource(uri)).contents
                if json.loads(getattr(content, "text", ""))["state"] == "completed":
                    break


async def test_a_resource_that_is_not_there(server: Server) -> None:
    async with connected(server) as client:
        with pytest.raises(MCPError, match="no run") as caught:
            await client.read_resource("atlas://runs/nowhere")
        assert caught.value.error.code == -32602


async def test_a_run_is_a_task(server: Server) -> None:
    """For a client that knows tasks, a submission ends when the run does; its questions are the task's."""
    tasks = Tasks(answers=["yes"])
    async with connected(server, extensions=[tasks]) as client:
        result = await client.call_tool("submit_plan", {"plan": plan(GREET, ASK, SHIPPED)})
        assert result.structured_content
        assert (result.is_error, result.structured_content["run"]["state"]) == (False, "completed")
        (created,) = tasks.created
        assert created.model_dump(exclude={"meta", "task_id"}) == {
            "result_type": "task", "status": "working", "ttl_ms": None, "poll_interval_ms": 500,
            "status_message": "in_progress: 0 of 3 TODOs have ended",
        }  # fmt: skip
        assert {each.status for each in tasks.seen} >= {"input_required", "completed"}
        asked = next(each for each in tasks.seen if each.input_requests)
        (request,) = (asked.input_requests or {}).values()
        assert request["method"] == "elicitation/create"
        assert request["params"]["requestedSchema"]["properties"]["answer"]["enum"] == ["yes", "no"]
        failed = await client.call_tool("submit_plan", {"plan": plan({"id": "no", "run": "exit 3"})})
        assert failed.structured_content
        assert (failed.is_error, failed.structured_content["run"]["state"]) == (True, "failed")


async def test_a_task_is_cancelled_and_outlives_the_server(tmp_path: Path) -> None:
    tasks = Tasks()
    with served(tmp_path) as server:
        async with connected(server) as client:  # declares nothing: the run at once
            run = (await called(client, "submit_plan", plan=plan(ASK)))["run"]["id"]
        async with connected(server, extensions=[tasks]) as client:
            assert (await tasks.get(client.session, run)).status in ("working", "input_required")
        server.running.kill()
        server.start()
        async with connected(server, extensions=[tasks]) as client:
            assert (await tasks.get(client.session, run)).status == "input_required"
            await tasks.cancel(client.session, run)
            await tasks.cancel(client.session, run)
            found = await tasks.get(client.session, run)
            assert (found.status, found.result, found.error) == ("cancelled", None, None)
            with pytest.raises(MCPError, match="Unknown task") as caught:
                await tasks.get(client.session, "last")
            assert caught.value.error.code == -32602


async def test_who_does_not_declare_tasks_has_none(server: Server) -> None:
    async with connected(server) as client:
        run = (await called(client, "submit_plan", plan=plan(GREET)))["run"]["id"]
        with pytest.raises(MCPError) as caught:
            await client.session.send_request(CancelTask(params=TaskParams(task_id=run)), Task)
        assert caught.value.error.code == -32021
    with server.client() as admin:
        assert ended(admin, run)["state"] == "completed"


@pytest.mark.filterwarnings("ignore:resources/subscribe is removed")
async def test_the_server_ends_although_clients_listen(tmp_path: Path) -> None:
    with served(tmp_path, "--no-worker") as server:
        async with connected(server, "legacy") as old, connected(server) as new:
            run = (await called(old, "submit_plan", plan=plan({"id": "long", "run": "sleep 600"})))["run"]["id"]
            uri = f"atlas://runs/{run}"
            await old.session.subscribe_resource(uri)  # pyright: ignore[reportDeprecated]  of its era
            waiting = asyncio.create_task(new.call_tool("wait_for_run", {"run": run, "timeout": 600}))
            async with asyncio.timeout(PATIENCE):
                with contextlib.suppress(MCPError, SubscriptionLost):  # or the end of it, which is as good
                    async with new.listen(resource_subscriptions=[uri]) as changes:
                        await called(new, "get_run", run=run)  # is answered after the wait has begun
                        server.running.send(signal.SIGTERM)
                        async for _ in changes:
                            pass
                await asyncio.wait([waiting])
            assert isinstance(waiting.exception(), MCPError)
            assert server.running.ended().code == 0
        assert "Traceback" not in server.said, server.said
        assert "without completing" not in server.said, server.said
