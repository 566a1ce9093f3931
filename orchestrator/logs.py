"""Logging for people (lines) and machines (JSON lines), with run and TODO ids, and without secrets.

Everything that leaves through `configure`'s handler is redacted last of all: messages, arguments, tracebacks.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal, TextIO

from state import tracing
from state.limits import SECRET_MINIMUM

_HIDDEN = "[hidden]"
_TRACE: ContextVar[dict[str, str] | None] = ContextVar("atlas_log_ids", default=None)

# What looks like a credential wherever it stands. Each alternative begins with a fixed text and is bounded, so a long
# line can't make the search slow.
_LOOKS_SECRET = re.compile(
    r"""
    (?P<keep>
        \b(?:bearer|basic)\s+(?=[A-Za-z0-9._~+/=-]{8})
      | ://[^\s/:@?\#]{0,128}:(?=[^\s/@?\#]{1,256}@)
      | \b(?:x-amz-signature|x-amz-security-token|x-api-key|api[_-]?key|access[_-]?token|password)
        ["']?\s{0,3}[=:]\s{0,3}["']?(?=[^\s&"',;]{4})
    )
    (?P<value>[^\s@&"',;]{1,4096})
  | \b(?:sk-|gsk_|hf_|gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|AIza)[A-Za-z0-9_-]{16,512}
  | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
  | \beyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{4,2048}
  | -----BEGIN[ A-Z]{0,40}PRIVATE\ KEY-----[^-]{0,20000}-----END[ A-Z]{0,40}PRIVATE\ KEY-----
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class KnownSecrets:
    """The secret values that are in use in this process. Thread-safe; a value counts as often as it is hidden."""

    def __init__(self) -> None:
        self._values: Counter[str] = Counter()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    @contextmanager
    def hiding(self, values: Iterable[str]) -> Generator[None]:
        """While this lasts, these values appear in no log record."""
        kept = [value for value in values if len(value) >= SECRET_MINIMUM]
        self._change(kept, +1)
        try:
            yield
        finally:
            self._change(kept, -1)

    def redact(self, text: str) -> str:
        """The text without known secrets and without what looks like one."""
        pattern = self._pattern
        return redacted(pattern.sub(_HIDDEN, text) if pattern else text)

    def _change(self, values: Iterable[str], by: int) -> None:
        with self._lock:
            for value in values:
                self._values[value] += by
            self._values = +self._values
            # A traceback shows a value as Python writes it, JSON as JSON does: those forms are hidden too.
            forms = {form for value in self._values for form in (value, repr(value)[1:-1], json.dumps(value)[1:-1])}
            ordered = sorted(forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None


def redacted(text: str) -> str:
    """The text without what looks like a provider key, a bearer token, or a password in a URL."""
    return _LOOKS_SECRET.sub(lambda match: (match["keep"] or "") + _HIDDEN, text)


@contextmanager
def log_ids(*, run: str | None = None, todo: str | None = None) -> Generator[None]:
    """Put these ids on every record that is logged inside, in this task and those it starts."""
    ids = {name: value for name, value in (("run", run), ("todo", todo)) if value is not None}
    token = _TRACE.set({**(_TRACE.get() or {}), **ids})
    try:
        yield
    finally:
        _TRACE.reset(token)


def configure(
    level: str, form: Literal["human", "json"], secrets: KnownSecrets, stream: TextIO | None = None
) -> logging.Handler:
    """Send all logging to `stream` (standard error by default). Called once, by the composition root.

    Replaces what an earlier call set up. Returns the handler.
    """
    handler = logging.StreamHandler(stream) if stream else _StandardError()
    handler.setFormatter(JsonFormatter(secrets) if form == "json" else HumanFormatter(secrets))
    handler.addFilter(_add_ids)
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, (JsonFormatter, HumanFormatter))]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for chatty in (
        "alembic",
        "botocore",
        "boto3",
        "urllib3",
        "docker",
        "s3transfer",
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
    ):
        logging.getLogger(chatty).setLevel("WARNING")
    for told_by_us in ("aio_pika", "aiormq"):  # they call every try to reconnect an error
        logging.getLogger(told_by_us).setLevel("CRITICAL")
    return handler


class _StandardError(logging.StreamHandler[TextIO]):
    """Wherever `sys.stderr` leads at the moment: the live tree on a terminal takes it over for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream is not sys.stderr:
            self.setStream(sys.stderr)
        super().emit(record)


def _add_ids(record: logging.LogRecord) -> bool:
    for name, value in (_TRACE.get() or {}).items():
        if not hasattr(record, name):
            setattr(record, name, value)
    if found := tracing.ids():
        record.trace_id, record.span_id = found
    return True


class HumanFormatter(logging.Formatter):
    """``12:30:05 INFO worker: message (todo=…)``. Lines after the first are indented: no message can forge a record."""

    def __init__(self, secrets: KnownSecrets) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        at = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        ids = " ".join(f"{name}={value}" for name, value in _ids(record).items())
        text = f"{at} {record.levelname} {record.name}: {record.getMessage()}{f' ({ids})' if ids else ''}"
        if details := _details(self, record):
            text += "\n" + details
        shown = _CONTROL.sub(lambda match: ascii(match.group())[1:-1], self._secrets.redact(text))
        return shown.replace("\n", "\n    ")


class JsonFormatter(logging.Formatter):
    """One JSON object on one line: at, level, logger, message, run, todo, trace_id, span_id, error."""

    def __init__(self, secrets: KnownSecrets) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        fields = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_ids(record, ("run", "todo", "trace_id", "span_id")),
        }
        if details := _details(self, record):
            fields["error"] = details
        # Redacted field by field: a replacement must not eat the quotes that make this JSON.
        return json.dumps({name: self._secrets.redact(value) for name, value in fields.items()}, ensure_ascii=True)


def _ids(record: logging.LogRecord, names: tuple[str, ...] = ("run", "todo")) -> dict[str, str]:
    found = {name: getattr(record, name, None) for name in names}
    return {name: str(value) for name, value in found.items() if value is not None}


def _details(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)
