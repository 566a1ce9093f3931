"""The official conformance suite against our serving code: all that a revision scores passes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.services.node import Node

HERE = Path(__file__).parent
LINE = re.compile(r"^(✓|✗) ([\w-]+): (\d+) passed, (\d+) failed$", re.MULTILINE)
EXPECTED: set[str] = set(yaml.safe_load((HERE / "expected-failures.yml").read_text())["server"])


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.server"], cwd=HERE.parents[1], stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr
        line = next(each for each in server.stderr if each.startswith("http"))
        yield line.strip()
        server.kill()


def required(node: Node, revision: str) -> tuple[set[str], set[str]]:
    """The scenarios that a revision scores, and those that it does not."""
    found = node.home / f"node_modules/@modelcontextprotocol/conformance/requirements/{revision}.yaml"
    document: dict[str, Any] = yaml.safe_load(found.read_text())
    return set(document["server"]), {each["scenario"] for each in document["not_scored"] if each["leg"] == "server"}


@pytest.mark.parametrize(("revision", "scenarios"), [("2025-11-25", 30), ("2026-07-28", 37)])
def test_conformance(node: Node, url: str, tmp_path: Path, revision: str, scenarios: int) -> None:
    expected = EXPECTED if revision == "2026-07-28" else set[str]()
    (tmp_path / "expected.yml").write_text(yaml.safe_dump({"server": sorted(expected)}))
    ended = node.run(
        "conformance", "server", "--url", url, "--requirements", revision, "-o", str(tmp_path / "results"),
        "--expected-failures", str(tmp_path / "expected.yml"),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-5_000:] + ended.stderr[-2_000:]
    results = {name: (int(passed), int(failed)) for _, name, passed, failed in LINE.findall(ended.stdout)}
    scored, unscored = required(node, revision)
    assert len(scored) >= scenarios
    assert not scored & EXPECTED
    assert {name: results.get(name) for name in scored if results.get(name, (0, 1))[0] == 0} == {}, "nothing checked"
    failing = {name for name, (_, failed) in results.items() if failed}
    assert failing == expected
    assert failing <= unscored
