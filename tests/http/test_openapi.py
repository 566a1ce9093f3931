"""The API against its own OpenAPI document: whatever is asked, the answer is one that the document names."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks as plain
from schemathesis.specs.openapi import checks as of_openapi

from tests.http.server import PLAN, Server, served, submitted

CHECKS: list[Any] = [
    *(getattr(plain, name) for name in ("not_a_server_error",)), *(
        getattr(of_openapi, name)
        for name in ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
    ),
]  # fmt: skip
OPERATIONS = [
    ("/api/runs", "POST"), ("/api/runs", "GET"), ("/api/runs/{run}", "GET"), ("/api/runs/{run}/cancel", "POST"),
    ("/api/runs/{run}/hold", "POST"), ("/api/runs/{run}/resume", "POST"), ("/api/runs/{run}/replan", "POST"),
    ("/api/runs/{run}/diff", "GET"), ("/api/runs/{run}/report", "GET"), ("/api/runs/{run}/todos", "GET"),
    ("/api/runs/{run}/todos/{todo}", "GET"), ("/api/runs/{run}/todos/{todo}/evidence", "GET"),
    ("/api/runs/{run}/todos/{todo}/log", "GET"), ("/api/runs/{run}/todos/{todo}/transcript", "GET"),
    ("/api/runs/{run}/todos/{todo}/diff", "GET"), ("/api/runs/{run}/todos/{todo}/retry", "POST"),
    ("/api/questions", "GET"), ("/api/questions/{question}/answer", "POST"), ("/api/session", "POST"),
    ("/api/session", "GET"), ("/api/session", "DELETE"), ("/api/tokens", "GET"), ("/api/tokens", "POST"),
    ("/api/tokens/{name}", "DELETE"), ("/api/audit", "GET"),
]  # fmt: skip
STREAMS = [("/api/events", "GET"), ("/api/runs/{run}/events", "GET")]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Server, Any]]:
    """A server with some runs, and its document."""
    with served(tmp_path_factory.mktemp("schemathesis"), "--no-worker") as server:
        with server.client() as client:
            for todos in ([{"id": "greet", "run": "true"}], [{"id": "gate", "ask": "Go?", "choices": ["yes", "no"]}]):
                submitted(client, {**PLAN, "todos": todos})
        yield server, schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def test_every_operation_is_tried(api: tuple[Server, Any]) -> None:
    _, schema = api
    found = {(path, method.upper()) for path, methods in schema.raw_schema["paths"].items() for method in methods}
    assert found == {*OPERATIONS, *STREAMS}


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_in_the_document(api: tuple[Server, Any], path: str, method: str) -> None:
    server, schema = api
    headers = {"Authorization": f"Bearer {server.token}"}

    @settings(
        max_examples=25, deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    @given(case=schema[path][method].as_strategy())
    def tried(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS, timeout=60)

    tried()


@pytest.mark.parametrize(("path", "method"), [each for each in OPERATIONS if each[1] == "GET"])
def test_good_answers_are_as_the_document_says(api: tuple[Server, Any], path: str, method: str) -> None:
    server, schema = api
    with server.client() as client:
        run = submitted(client, {**PLAN, "todos": [{"id": "gate", "ask": "Go?"}]})
    known = {"run": run, "todo": "gate"}
    names = {name: value for name, value in known.items() if f"{{{name}}}" in path}
    case = schema[path][method].Case(path_parameters=names)
    answer = case.call_and_validate(headers={"Authorization": f"Bearer {server.token}"}, checks=CHECKS, timeout=60)
    assert answer.status_code == (404 if path.endswith(("/log", "/transcript", "/diff")) else 200)
