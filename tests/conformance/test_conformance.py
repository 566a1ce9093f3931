"""The official conformance suite against our serving code: all that a revision scores passes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.services.node import Node

HERE = Path(__file__).parent
TASKS = frozenset((
    "tasks-lifecycle", "tasks-capability-negotiation", "tasks-wire-fields", "tasks-request-state-removal",
    "tasks-mrtr-input", "tasks-request-headers", "tasks-dispatch-and-envelope", "tasks-required-task-error",
    "tasks-mrtr-composition",
))  # fmt: skip
LINE = re.compile(r"^(✓|✗) ([\w-]+): (\d+) passed, (\d+) failed$", re.MULTILINE)
EXPECTED: set[str] = set(yaml.safe_load((HERE / "expected-failures.yml").read_text())["server"])


@contextmanager
def started(module: str, **variables: str) -> Generator[str]:
    """Where it listens."""
    with subprocess.Popen(
        [sys.executable, "-m", f"tests.conformance.{module}"], cwd=HERE.parents[1], stderr=subprocess.PIPE, text=True,
        env={**os.environ, **variables},
    ) as server:  # fmt: skip
        assert server.stderr
        with ThreadPoolExecutor(1) as reading:
            try:
                line = next(each for each in server.stderr if each.startswith("http"))
                reading.submit(server.stderr.read)  # what it says afterwards must not hold it up
                yield line.strip()
            finally:
                server.kill()


def required(node: Node, revision: str) -> tuple[set[str], set[str]]:
    """The scenarios that a revision scores, and those that it does not."""
    found = node.home / f"node_modules/@modelcontextprotocol/conformance/requirements/{revision}.yaml"
    document: dict[str, Any] = yaml.safe_load(found.read_text())
    return set(document["server"]), {each["scenario"] for each in document["not_scored"] if each["leg"] == "server"}


@pytest.mark.parametrize(("revision", "scenarios"), [("2025-11-25", 30), ("2026-07-28", 37)])
@pytest.mark.parametrize("module", ["server", "orchestrator"])
def test_conformance(node: Node, tmp_path: Path, module: str, revision: str, scenarios: int) -> None:
    with started(module, ATLAS_HOME=str(tmp_path / "home")) as url:
        check(node, tmp_path, url, revision, scenarios, EXPECTED if module == "server" else set())


def check(node: Node, tmp_path: Path, url: str, revision: str, scenarios: int, may_fail: set[str]) -> None:
    """All that the revision scores passes, and of the rest what is not in `may_fail`."""
    expected = may_fail if revision == "2026-07-28" else set[str]()
    (tmp_path / "expected.yml").write_text(yaml.safe_dump({"server": sorted(expected)}))
    ended = node.run(
        "conformance", "server", "--url", url, "--requirements", revision, "-o", str(tmp_path / "results"),
        "--expected-failures", str(tmp_path / "expected.yml"),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-5_000:] + ended.stderr[-2_000:]
    results = {name: (int(passed), int(failed)) for _, name, passed, failed in LINE.findall(ended.stdout)}
    scored, unscored = required(node, revision)
    assert len(scored) >= scenarios
    assert not scored & expected
    assert {name: results.get(name) for name in scored if results.get(name, (0, 1))[0] == 0} == {}, "nothing checked"
    failing = {name for name, (_, failed) in results.items() if failed}
    assert failing == expected
    assert failing <= unscored


def test_tasks_of_the_orchestration_server(node: Node, tmp_path: Path) -> None:
    """Each fixture's task is a run that a worker carries out."""
    offered = node.run("conformance", "list", "--server").stdout
    found = set(re.findall(r"\btasks-[\w-]+", offered))
    assert found == TASKS | {"tasks-status-notifications"}, "the last one checks nothing yet"
    with started("orchestrator", ATLAS_HOME=str(tmp_path / "home")) as url:
        for name in sorted(TASKS):
            ended = node.run(
                "conformance", "server", "--url", url, "--scenario", name, "--spec-version", "2026-07-28", "--force",
                "-o", str(tmp_path / name),
            )  # fmt: skip
            assert ended.returncode == 0, (name, ended.stdout[-5_000:] + ended.stderr[-2_000:])
            assert re.search(r"^Passed: ([1-9]\d*)/\1, 0 failed", ended.stdout, re.MULTILINE), (name, ended.stdout)
