"""The fixtures of the acceptance tests, and what the trials found, in one table."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import atlas, effects

__all__ = ["atlas", "effects"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded as the property ``trial``."""
    reports = terminalreporter.getreports("passed")
    lines = [
        str(value)
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == "trial"
    ]
    if lines:
        terminalreporter.section("trials")
        for line in sorted(lines):
            terminalreporter.write_line(line)
