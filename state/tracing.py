"""Spans (OpenTelemetry), where somebody asked for them: see `orchestrator.cli.traces`, which switches them on.

Off, `span` is one test and gives the same object every time, and OpenTelemetry is not even loaded. Attributes say what
was done and how it ended: ids, names, numbers; never what a prompt, an argument, an output or a secret says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

Value = str | int | float | bool | list[str]
Attributes = Mapping[str, Value | None]
"""What is None is left out."""
Kind = Literal["internal", "client", "producer", "consumer"]
Parent = str | Literal["current", "none"]
"""A traceparent, whatever this task is at, or nothing."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
LONGEST_TRACEPARENT = 512


class Here(Protocol):
    """A span while it lasts."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def say(self, attributes: Attributes) -> None:
        """More that is known of it by now."""
        ...

    def failed(self, why: str) -> None:
        """It did not do what it was for; `why` is a word for it, such as an exit's cause."""
        ...


class _Nothing:
    """The span of who is not traced."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def say(self, attributes: Attributes) -> None:
        return

    def failed(self, why: str) -> None:
        return


class _Live:
    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> Self:
        from opentelemetry import context, trace

        self._token: Token[Context] = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from opentelemetry import context

        if kind is not None:  # its words may quote what is nobody's business
            self.failed(kind.__name__)
        context.detach(self._token)
        self._span.end()

    def say(self, attributes: Attributes) -> None:
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(name, value)

    def failed(self, why: str) -> None:
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("error.type", why)
        self._span.set_status(StatusCode.ERROR)


class _Tracing:
    """Of this process."""

    __slots__ = ("tracer",)

    def __init__(self) -> None:
        self.tracer: Tracer | None = None


_NOTHING = _Nothing()
_TRACING = _Tracing()


def switch(tracer: Tracer | None) -> None:
    """On, or off. By the composition root alone."""
    _TRACING.tracer = tracer


def on() -> bool:
    """Whether spans are made."""
    return _TRACING.tracer is not None


def span(name: str, attributes: Attributes | None = None, kind: Kind = "internal", parent: Parent = "current") -> Here:
    """A span for a ``with``. What is raised in it is told by its class alone."""
    if (tracer := _TRACING.tracer) is None:
        return _NOTHING
    return _begun(tracer, name, attributes or {}, kind, parent)


def _begun(tracer: Tracer, name: str, attributes: Attributes, kind: Kind, parent: Parent) -> Here:
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    around: Context | None = None
    if parent != "current":
        carrier = {} if parent == "none" else {"traceparent": parent}
        around = TraceContextTextMapPropagator().extract(carrier, Context())
    given = {name: value for name, value in attributes.items() if value is not None}
    return _Live(tracer.start_span(name, around, SpanKind[kind.upper()], given))


def say(attributes: Attributes) -> None:
    """More about what this task is at."""
    if _TRACING.tracer is not None:
        from opentelemetry.trace import get_current_span

        _Live(get_current_span()).say(attributes)


def ids() -> tuple[str, str] | None:
    """(trace, span) of what this task is at, in hex."""
    if _TRACING.tracer is None:
        return None
    from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

    found = get_current_span().get_span_context()
    return (format_trace_id(found.trace_id), format_span_id(found.span_id)) if found.is_valid else None


def traceparent() -> str | None:
    """What this task is at, for others to go on from."""
    if _TRACING.tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def valid(text: object) -> str | None:
    """A traceparent that W3C's Trace Context would have us go on from; else None: a new trace begins."""
    if not isinstance(text, str) or len(text) > LONGEST_TRACEPARENT or not (match := _TRACEPARENT.fullmatch(text)):
        return None
    version, trace, parent, more = match.groups()
    unusable = version == "ff" or trace == _NO_TRACE or parent == _NO_SPAN or (version == "00" and more)
    return None if unusable else text
