"""A collector of traces: OTLP over HTTP, in protobuf, on loopback. It keeps every span that it is sent."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage


@dataclass(frozen=True)
class Span:
    """As it came; ids in hex, `parent` empty when there is none, `service` of its resource."""

    name: str
    trace: str
    id: str
    parent: str
    kind: str
    failed: bool
    service: str
    attributes: dict[str, object]


@dataclass
class Collector:
    """`url` is what OTEL_EXPORTER_OTLP_ENDPOINT names; `text` is all that was ever sent, as text would be found in."""

    url: str = ""
    spans: list[Span] = field(default_factory=list[Span])
    text: bytes = b""

    @property
    def variables(self) -> dict[str, str]:
        """What switches traces on."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}

    def named(self, name: str) -> list[Span]:
        """All spans with this name so far."""
        return [span for span in self.spans if span.name == name]

    def above(self, span: Span) -> list[str]:
        """The names from its parent up."""
        by_id = {each.id: each for each in self.spans}
        names: list[str] = []
        while (found := by_id.get(span.parent)) is not None:
            names.append(found.name)
            span = found
        return names

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        self.text += body
        for resource in request.resource_spans:
            about = {each.key: _value(each.value) for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [_span(each, str(about.get("service.name"))) for each in scope.spans]


def _span(sent: SpanMessage, service: str) -> Span:
    attributes = {each.key: _value(each.value) for each in sent.attributes}
    kind = SpanMessage.SpanKind.Name(sent.kind).removeprefix("SPAN_KIND_").lower()
    ids = sent.trace_id.hex(), sent.span_id.hex(), sent.parent_span_id.hex()
    return Span(sent.name, *ids, kind, sent.status.code == 2, service, attributes)


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None


@contextmanager
def collector() -> Generator[Collector]:
    """One that listens meanwhile."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
            found.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
