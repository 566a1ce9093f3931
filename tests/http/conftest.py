"""One server for what does not change it for others."""

from __future__ import annotations

from collections.abc import Generator

import httpx
import pytest

from tests.http.pages import said, visit
from tests.http.server import Server, served

__all__ = ["said", "visit"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture
def client(server: Server) -> Generator[httpx.Client]:
    with server.client() as found:
        yield found
