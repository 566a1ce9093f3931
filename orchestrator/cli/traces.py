"""Switching traces on, as the standard OTEL_* variables say, and handing over what is left of them at the end.

Without one that names a collector nothing is loaded. A collector that is away costs the work nothing: spans wait in a
bounded queue on a thread of their own, and are dropped when it is full or when the process ends.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from state import tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_LAST_SECONDS = 1.0
"""For what has not been handed over when the process ends; none when nobody took what came before."""
_MISSING = "traces are wanted (OTEL_…), but nothing here makes them: pip install 'atlas-orchestrator[otel]'"


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the variables name somewhere for traces to go."""

    def value(name: str) -> str:
        return environ.get(name, "").strip()

    if value("OTEL_SDK_DISABLED").lower() == "true":
        return False
    exporter = value("OTEL_TRACES_EXPORTER")
    return exporter in ("", "otlp") and any(value(name) for name in _ENDPOINTS)


@contextmanager
def traced(environ: Mapping[str, str]) -> Generator[None]:
    """Spans are made meanwhile, if they are wanted."""
    if tracing.on() or not wanted(environ):
        yield
        return
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _PROTOCOL)
    if protocol != _PROTOCOL:
        log.warning("traces are handed over by %s alone, not by %s: there are none", _PROTOCOL, protocol)
        yield
        return
    try:
        provider = _Provider(environ)
    except ImportError:
        log.warning(_MISSING)
        yield
        return
    except Exception as error:  # what the variables say is not for us to judge, and no reason not to work
        log.warning("there are no traces: %s", error)
        yield
        return
    tracing.switch(provider.tracer)
    try:
        yield
    finally:
        tracing.switch(None)
        provider.close()


class _Provider:
    def __init__(self, environ: Mapping[str, str]) -> None:
        from importlib.metadata import version

        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        logging.getLogger("opentelemetry").setLevel("CRITICAL")  # what there is to say is said once, by us
        release = version("atlas-orchestrator")
        named = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        about = {"service.version": release} | ({} if named else {"service.name": "atlas"})
        self._exporter = _ToldOnce(OTLPSpanExporter())
        self._processor = BatchSpanProcessor(cast("SpanExporter", self._exporter))
        # Not the process's own (`set_tracer_provider`): what libraries would tell of themselves is not ours to send.
        provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        self.tracer = provider.get_tracer("atlas", release)

    def close(self) -> None:
        """Which nobody waits for longer than that, whatever the collector does: its threads end with the process."""
        ending = threading.Thread(target=self._processor.shutdown, name="last traces", daemon=True)
        ending.start()
        ending.join(0.0 if self._exporter.away else _LAST_SECONDS)


class _ToldOnce:
    """An exporter that says once that nobody takes its spans, and then no more until somebody does."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        from opentelemetry.sdk.trace.export import SpanExportResult

        result = self._exporter.export(spans)
        away = result is not SpanExportResult.SUCCESS
        if away and not self.away:
            log.warning("the collector of OTEL_… takes no traces; they are dropped until it does")
        self.away = away
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
