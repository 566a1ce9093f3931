"""A real Chromium, driven by Playwright: Debian's, or the one that ATLAS_TEST_CHROMIUM names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.services.availability import missing

_PATIENCE = 60_000
"""Milliseconds for what takes a fraction of a second on an idle machine."""
_NAMES = "chromium", "chromium-browser", "google-chrome"


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    """One for a module, of tests that are not asynchronous: Playwright has an event loop running in this thread for as
    long as it is there. Each test has pages of its own."""
    found = os.environ.get("ATLAS_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        missing("no chromium: install it (Debian: apt install chromium), or set ATLAS_TEST_CHROMIUM")
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def page_of(browser: Browser, url: str, said: Callable[[str], None], **options: object) -> Generator[Page]:
    """A page of its own; `said` hears of errors in scripts, of what its policy blocked, and of dialogs."""
    context = browser.new_context(base_url=url, **options)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(_PATIENCE)
    page.on("pageerror", lambda error: said(f"error: {error}"))
    page.on("console", lambda message: said(f"{message.type}: {message.text}") if message.type == "error" else None)
    try:
        yield page
    finally:
        context.close()


def shot(page: Page, name: str) -> None:
    """A picture for people to look at, where ATLAS_TEST_PICTURES says, if it says."""
    if directory := os.environ.get("ATLAS_TEST_PICTURES"):
        page.screenshot(path=Path(directory) / f"{name}.png", full_page=True)
