"""Fixtures for every test: real services live in tests/services."""

from __future__ import annotations

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
