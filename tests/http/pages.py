"""A page of the dashboard in a browser, and what is in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.http.server import PLAN, Server
from tests.services.browser import page_of

_AWAY = re.compile(r"Failed to load resource|net::ERR")
"""What Chromium says of an answer that is an error, and of a server that is away."""
Open = Callable[..., AbstractContextManager[Page]]


def plan(*todos: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {**PLAN, **keys, "todos": list(todos)}


@pytest.fixture
def said() -> Generator[list[str]]:
    """What the browser complained of: nothing, but of answers that are errors."""
    found: list[str] = []
    yield found
    assert [each for each in found if not _AWAY.search(each)] == []


@pytest.fixture
def visit(chromium: Browser, said: list[str]) -> Callable[[Server], AbstractContextManager[Page]]:
    """A page that has logged in, by the link that the server prints."""

    def visit(server: Server, path: str = "", **options: object) -> AbstractContextManager[Page]:
        opened = page_of(chromium, server.url, said.append, **options)
        return _logged_in(opened, server, path)

    return visit


class _logged_in(AbstractContextManager[Page]):
    def __init__(self, opened: AbstractContextManager[Page], server: Server, path: str) -> None:
        self._opened, self._server, self._path = opened, server, path

    def __enter__(self) -> Page:
        page = self._opened.__enter__()
        page.goto(f"/#token={self._server.token}")
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        assert self._server.token not in page.url
        if self._path:
            page.goto(self._path)
        return page

    def __exit__(self, *raised: Any) -> None:
        self._opened.__exit__(*raised)


def row(page: Page, key: str) -> Locator:
    """A TODO in the list."""
    return page.locator("ol.todos li").filter(has=page.locator(".key", has_text=re.compile(f"^{re.escape(key)}\\b")))


def state_of_run(page: Page) -> Locator:
    return page.locator("main .card .state").first
