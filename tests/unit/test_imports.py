"""Imports go down only (design §2): voice -> orchestrator -> roles -> mcp_servers -> state."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ["state", "mcp_servers", "roles", "orchestrator", "voice"]
MODULES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
COMPOSITION_ROOT = ROOT / "orchestrator" / "cli"


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    floor = FLOORS.index(path.relative_to(ROOT).parts[0])
    for name in imported(path):
        top = name.split(".")[0]
        assert top not in {"tests", "benchmarks"}, f"{path} imports {name}"
        if top not in FLOORS or COMPOSITION_ROOT in path.parents:
            continue
        assert FLOORS.index(top) <= floor, f"{path} imports {name}: a lower room must not know a higher one"


def test_only_the_command_line_composes() -> None:
    """Adapters of the store are chosen in one place."""
    for path in MODULES:
        if COMPOSITION_ROOT in path.parents or path.is_relative_to(ROOT / "state"):
            continue
        assert not {"state.sqlite", "state.postgres"} & set(imported(path)), f"{path} picks a store itself"


def test_modules_stay_small() -> None:
    long = {str(path.relative_to(ROOT)): n for path in MODULES if (n := len(path.read_text().splitlines())) > 400}
    assert not long
