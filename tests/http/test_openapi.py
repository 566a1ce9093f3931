"""The API against its own OpenAPI document: whatever is asked, the answer is one that the document names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.http.server import PLAN, Server, served, submitted

STREAMS = "/events"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Loaded from the server; some runs are there."""
    with served(tmp_path_factory.mktemp("schemathesis"), "--no-worker") as server:
        with server.client() as client:
            for todos in ([{"id": "greet", "run": "true"}], [{"id": "gate", "ask": "Go?", "choices": ["yes", "no"]}]):
                submitted(client, {**PLAN, "todos": todos})
        schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        schema.server = server  # type: ignore[attr-defined]
        yield schema


schema = schemathesis.pytest.from_fixture("api")


@schema.exclude(path_regex=f"{STREAMS}$").exclude(path="/api/tokens/{name}").parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_in_the_document(case: Case, api: Any) -> None:
    server: Server = api.server
    headers = {"Authorization": f"Bearer {server.token}"}
    checks = (
        not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    )  # fmt: skip
    case.call_and_validate(headers=headers, checks=list(checks), timeout=60)


def test_the_document_is_sound() -> None:
    assert Path(schemathesis.__file__).exists()
