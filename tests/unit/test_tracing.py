"""Traces: when there are any, what is taken for a parent, and what it costs not to have them."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Generator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from orchestrator.cli.traces import traced, wanted
from orchestrator.logs import KnownSecrets, configure
from orchestrator.run_spec import RunSpec
from state import tracing

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TO = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
LIGHT = """
import sys
import orchestrator.cli.compose, orchestrator.cli.main, orchestrator.cli.traces, orchestrator.executors.task
import orchestrator.service, orchestrator.worker, roles.acting, roles.models.chain
from state import tracing
assert tracing.span("a") is tracing.span("b", {"c": 1}, "client", "none")
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""


@pytest.fixture
def spans() -> Generator[InMemorySpanExporter]:
    """Traces are on."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracing.switch(provider.get_tracer("test"))
    yield kept
    tracing.switch(None)
    provider.shutdown()


@pytest.mark.parametrize(
    ("variables", "whether"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "mine", "OTEL_TRACES_EXPORTER": "otlp"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        (TO, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({**TO, "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({**TO, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**TO, "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({**TO, "OTEL_SDK_DISABLED": "false"}, True),
    ],
)
def test_the_standard_variables_say_whether(variables: dict[str, str], whether: bool) -> None:
    assert wanted(variables) is whether


def test_another_protocol_is_told_and_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    with traced({**TO, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}):
        assert not tracing.on()
    assert "not by grpc" in caplog.text


def test_without_traces_nothing_is_made_nor_loaded() -> None:
    subprocess.run([sys.executable, "-c", LIGHT], check=True)
    with tracing.span("anything") as here:
        here.say({"a": 1})
        here.failed("b")
    assert (tracing.traceparent(), tracing.ids()) == (None, None)


@given(st.one_of(st.from_regex(r"[0-9a-f]{2}-[0f]{32}-[0a]{16}-0[01](-x)?", fullmatch=True), st.text(max_size=80)))
@settings(max_examples=300, deadline=None)
def test_a_parent_is_what_opentelemetry_takes_for_one(text: str) -> None:
    found = TraceContextTextMapPropagator().extract({"traceparent": text})
    assert bool(tracing.valid(text)) is bool(found), text


@pytest.mark.parametrize("text", [None, b"", 5, "", GOOD + "-more", GOOD.upper(), "cc" + GOOD[2:] + "-" + "x" * 600])
def test_what_is_no_parent(text: object) -> None:
    assert tracing.valid(text) is None


def test_the_run_keeps_it() -> None:
    assert RunSpec.from_json(RunSpec(traceparent=GOOD).to_json()).traceparent == GOOD
    assert "traceparent" not in RunSpec().to_json()


def test_an_error_is_told_by_its_class_alone(spans: InMemorySpanExporter) -> None:
    def broken() -> None:
        with tracing.span("work", {"known": "yes", "unknown": None}, "producer", GOOD):
            raise ValueError("the password is 1234")

    with pytest.raises(ValueError, match="1234"):
        broken()
    [span] = spans.get_finished_spans()
    assert span.attributes == {"known": "yes", "error.type": "ValueError"}
    assert (span.status.description, list(span.events)) == (None, [])
    assert span.parent
    assert format(span.parent.span_id, "016x") == GOOD.split("-")[2]


def test_log_records_say_where_in_a_trace_they_are(spans: InMemorySpanExporter) -> None:
    out = io.StringIO()
    handler = configure("info", "json", KnownSecrets(), out)
    try:
        with tracing.span("work"):
            logging.getLogger("test").info("inside")
        logging.getLogger("test").info("outside")
    finally:
        logging.getLogger().removeHandler(handler)
    inside, outside = (json.loads(line) for line in out.getvalue().splitlines())
    [span] = spans.get_finished_spans()
    assert span.context
    assert (inside["trace_id"], inside["span_id"]) == (
        format(span.context.trace_id, "032x"), format(span.context.span_id, "016x"),
    )  # fmt: skip
    assert "trace_id" not in outside
