"""docs/mcp.md shows the tools that there are."""

from __future__ import annotations

from pathlib import Path

from orchestrator.mcp.catalogue import tables

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mcp.md"


async def test_the_page_has_the_tables_of_the_servers() -> None:
    assert PAGE.read_text("utf-8").endswith(tables()), "run: python -m orchestrator.mcp.catalogue, and paste it"
