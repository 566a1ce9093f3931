"""The official inspector, as people run it from a shell, lists and calls our tools over both transports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.git_repositories import repository
from tests.services.node import Node
from tests.services.s3 import Bucket

ATLAS = str(Path(sys.executable).with_name("atlas"))
TOKEN = "a-token-for-tests"
CELLS = [(transport, era) for transport in ("stdio", "http") for era in ("legacy", "modern")]
cells = pytest.mark.parametrize(("transport", "era"), CELLS)


class Inspected:
    """One server, as the inspector sees it."""

    def __init__(self, node: Node, home: Path, era: str, server: list[str], environment: dict[str, str]) -> None:
        self.node, self.era, self.server = node, era, server
        self.url: str | None = None
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(home), "ATLAS_HOME": str(home / "atlas"), "ATLAS_TOKEN": TOKEN,
        } | environment  # fmt: skip

    def ask(self, method: str, *more: str) -> dict[str, Any]:
        """What it answers; what the inspector complains of is an error. (A server over stdio adds its own lines.)"""
        if self.url:
            where = [self.url, "--transport", "http", "--header", f"Authorization: Bearer {TOKEN}"]
        else:
            passed = [part for name, value in self.environment.items() for part in ("-e", f"{name}={value}")]
            where = [*passed, ATLAS, "mcp", *self.server]
        asked = ["--protocol-era", self.era, "--method", method, *more]
        ended = self.node.run("mcp-inspector", "--cli", *where, *asked, env=self.environment)
        said = [line for line in ended.stderr.splitlines() if " atlas.audit: " not in line and line[:7] != "worker "]
        assert (ended.returncode, said) == (0, []), ended.stderr + ended.stdout
        return json.loads(ended.stdout)

    def tools(self) -> set[str]:
        """The names of all tools, whose schemas every client can use."""
        return {tool["name"] for tool in self.ask("tools/list", "--strict")["tools"]}

    def call(self, tool: str, **arguments: str) -> dict[str, Any]:
        """What a tool answers."""
        pairs = [f"{name}={value}" for name, value in arguments.items()]
        return self.ask("tools/call", "--tool-name", tool, "--tool-arg", *pairs)["structuredContent"]


@contextmanager
def inspected(
    node: Node, home: Path, cell: tuple[str, str], server: list[str], environment: dict[str, str] | None = None
) -> Generator[Inspected]:
    """Over stdio the inspector starts the server for each question; over HTTP it is there already."""
    transport, era = cell
    found = Inspected(node, home, era, server, environment or {})
    if transport == "stdio":
        yield found
        return
    with subprocess.Popen(
        [ATLAS, "mcp", *server, "--http", "0"], env=found.environment, stderr=subprocess.PIPE, text=True,
        stdin=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            assert process.stderr
            found.url = process.stderr.readline().split()[-1]
            yield found
        finally:
            process.kill()


@cells
def test_git(node: Node, tmp_path: Path, transport: str, era: str) -> None:
    repo = repository(tmp_path / "roots" / "repo")
    server = ["git", "--root", str(repo.parent), "--allow-destructive"]
    with inspected(node, tmp_path, (transport, era), server) as it:
        assert {"git_status", "git_reset_hard"} <= it.tools()
        assert it.call("git_status", repo=str(repo))["branch"] == "main"


@cells
def test_s3(node: Node, tmp_path: Path, s3_bucket: Bucket, transport: str, era: str) -> None:
    service = s3_bucket.service
    environment = {
        "ATLAS_S3_ENDPOINT": service.endpoint, "AWS_ACCESS_KEY_ID": service.access_key,
        "AWS_SECRET_ACCESS_KEY": service.secret_key, "AWS_REGION": service.region,
    }  # fmt: skip
    server = ["s3", "--allow", f"s3://{s3_bucket.name}", "--root", str(tmp_path), "--allow-destructive"]
    with inspected(node, tmp_path, (transport, era), server, environment) as it:
        assert {"s3_list_objects", "s3_delete_objects"} <= it.tools()
        location = f"s3://{s3_bucket.name}/a.txt"
        it.call("s3_put_object", url=location, content="hello")
        assert it.call("s3_get_object", url=location)["content"] == "hello"


@pytest.mark.docker
@cells
def test_container(node: Node, tmp_path: Path, docker_url: str, busybox_image: str, transport: str, era: str) -> None:
    environment = {"DOCKER_HOST": docker_url}
    server = ["container", "--root", str(tmp_path), "--allow-destructive"]
    with inspected(node, tmp_path, (transport, era), server, environment) as it:
        assert {"container_run", "container_remove"} <= it.tools()
        answer = it.call("container_run", image=busybox_image, argv='["echo", "hello"]')
        assert (answer["exit_code"], answer["stdout"]) == (0, "hello\n")


@cells
def test_orchestrator(node: Node, tmp_path: Path, transport: str, era: str) -> None:
    """In the era of 2026-07-28 the inspector knows tasks: it waits for the run."""
    found = Inspected(node, tmp_path, era, ["orchestrator", "--trusted"], {})
    with ExitStack() as stack:
        if transport == "http":
            serve = [ATLAS, "serve", "--port", "0"]
            process = stack.enter_context(
                subprocess.Popen(
                    serve, env=found.environment, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
                )
            )
            stack.callback(process.kill)
            assert process.stderr
            found.url = process.stderr.readline().split()[-1] + "mcp"
        assert {"submit_plan", "wait_for_run"} <= found.tools()
        plan = {"atlas": 1, "name": "by hand", "sandbox": "host", "todos": [{"id": "greet", "run": "echo hello"}]}
        made = found.call("submit_plan", plan=json.dumps(plan))["run"]
        assert (made["name"], made["total"]) == ("by hand", 1)
        assert made["state"] in (("completed",) if era == "modern" else ("in_progress", "completed"))
        assert found.call("wait_for_run", run=made["id"])["state"] == "completed"
