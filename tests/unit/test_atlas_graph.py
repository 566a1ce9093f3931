"""The Atlas graph, as `atlas graph` draws it, is the one of docs/design.md §5: who may follow whom."""

from __future__ import annotations

import re
from collections import defaultdict

from typer.testing import CliRunner

from orchestrator.cli.main import app

EDGE = re.compile(r"^\s*(\w+) -[.-]+> (\w+);$", re.MULTILINE)
END = "__end__"
ROLES = {"prometheus", "metis", "hephaestus", "oracle", "librarian"}


def test_the_graph_that_is_drawn() -> None:
    done = CliRunner().invoke(app, ["graph"])
    assert done.exit_code == 0
    assert "graph TD" in done.output
    ways: dict[str, set[str]] = defaultdict(set)
    for one, other in EDGE.findall(done.output):
        ways[one].add(other)
    assert ways == {
        "__start__": ROLES | {"tools"},  # a retry enters by Oracle's door; who takes over, in the middle of a call
        "prometheus": {"prometheus", "tools", END},
        "metis": {"metis", "tools", END},
        "hephaestus": {"hephaestus", "tools", "enforce", END},  # never to its end past the enforcer but by a stop
        "oracle": {"oracle", "tools", END},
        "librarian": {"librarian", "tools", END},
        "tools": ROLES | {"tools", "enforce", END},
        "enforce": {"hephaestus", "oracle", END},
    }
