"""Fixtures for every test: real services live in tests/services."""

from __future__ import annotations

import pytest

pytest_plugins = [
    "tests.services.postgres",
    "tests.services.rabbitmq",
    "tests.services.rabbit_client",
    "tests.services.s3",
    "tests.services.docker_engine",
    "tests.services.guarded_engine",
    "tests.services.browser",
    "tests.services.node",
    "tests.services.python_image",
    "tests.services.stand_ins",
]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded as the property ``trial``."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
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
