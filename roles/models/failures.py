"""What the failures of makers mean, as one family of errors: for the moment, for good, too long.

Messages say which model and what happened. What the maker says is quoted, in short, but neither keys nor requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import cast

from roles.models.port import Request, Text, ToolResult
from state.errors import ModelError, ModelOverflow, ModelRejected, ModelUnavailable


@dataclass(frozen=True, slots=True)
class Source:
    """A model, as messages name it. `server`: whom we ask, without password; `key_variable`: where the key is from;
    `secret`: never repeated."""

    provider: str
    model: str
    server: str = ""
    key_variable: str = ""
    secret: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """``provider/model``."""
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a maker says is wrong: its words, its codes, and an HTTP status within them."""

    text: str = ""
    codes: frozenset[str] = frozenset()
    status: int | None = None

    @classmethod
    def of(cls, body: object) -> Complaint:
        """From the body of an answer or event, of whatever shape."""
        found: object = body
        for key in ("response", "error", "detail"):
            if isinstance(found, dict) and (inner := cast(dict[str, object], found).get(key)):
                found = inner
        if isinstance(found, str):
            return cls("" if "<" in found[:100] else found)
        if not isinstance(found, dict):
            return cls()
        fields = cast(dict[str, object], found)
        text, code = fields.get("message"), fields.get("code")
        codes = frozenset(each for each in (fields.get("type"), code) if isinstance(each, str))
        return cls(text if isinstance(text, str) else "", codes, code if isinstance(code, int) else None)


def refusal(
    source: Source, request: Request, complaint: Complaint, status: int | None = None, after: float | None = None
) -> ModelError:
    """The error for an answer of this HTTP status; None: for an error within an answer that had begun."""
    status = status or complaint.status
    said = _quoted(source, request, complaint)
    if _too_long(status, complaint):
        return ModelOverflow(f"{source.name}: the conversation is too long for it{said}", _SHORTEN)
    if complaint.codes & _SPENT or status == _PAYMENT:
        return ModelRejected(f"{source.name}: the account's credit or quota is used up{said}", _PAY)
    if status in _KEY or complaint.codes & _KEY_CODES:
        hint = f"Check {source.key_variable} and what it may use." if source.key_variable else "It may need a key."
        return ModelRejected(
            f"{source.name}: {source.server} refuses the key{said if status == _FORBIDDEN else ''}", hint
        )
    if status == _MISSING or "not_found_error" in complaint.codes:
        return ModelRejected(f"{source.name}: {source.server} has no such model{said}", _NAME)
    if (status is not None and 400 <= status < 500 and status not in _PASSING) or complaint.codes & _GOOD:
        hint = _CHANGED if "different conversation" in complaint.text else _REQUEST
        return ModelRejected(f"{source.name}: the request was refused{_number(status)}{said}", hint)
    busy = status in _BUSY or complaint.codes & _BUSY_CODES
    what = "is overloaded or limits its rate" if busy else "failed"
    return ModelUnavailable(f"{source.name}: {source.server} {what}{_number(status)}{said}", _LATER, after)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the maker asks to wait."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(headers.get("retry-after-ms", "")) / 1000
    except ValueError:
        try:
            seconds = float(text)
        except ValueError:
            try:
                at = parsedate_to_datetime(text)
            except ValueError:
                return None
            seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if isfinite(seconds) else None


def unavailable(source: Source, happened: str, hint: str = "") -> ModelUnavailable:
    """For the moment, with what happened."""
    return ModelUnavailable(f"{source.name}: {happened}", hint or _LATER)


_PAYMENT, _FORBIDDEN, _MISSING = 402, 403, 404
_KEY = frozenset((401, _FORBIDDEN))
_PASSING = frozenset((408, 409, 425, 429, 499))
_BUSY = frozenset((429, 503, 529))
_BUSY_CODES = frozenset(("overloaded_error", "rate_limit_error", "rate_limit_exceeded"))
_SPENT = frozenset(("insufficient_quota", "billing_error", "billing_hard_limit_reached"))
_KEY_CODES = frozenset(("authentication_error", "permission_error", "invalid_api_key"))
_GOOD = frozenset(("invalid_request_error", "invalid_prompt", "bio_policy", "misalignment_policy_violation"))
_LONG_CODES = frozenset(("context_length_exceeded", "exceed_context_size_error", "request_too_large"))
_LONG_STATUS = frozenset((None, 200, 400, 422, 500))
_TOO_LARGE = 413
_LONG = re.compile(
    r"prompt (?:is )?too long|exceeds? (?:the )?(?:model's |available |maximum |max )?context|maximum context length"
    r"|maximum model length|context[ _](?:length|window|size) (?:is |was )?exceeded|input is too long"
    r"|reduce the length of (?:the )?(?:messages|prompt|input)|longer than the (?:model|context|maximum)",
    re.IGNORECASE,
)
"""How Anthropic, OpenAI, vLLM, llama.cpp, Ollama, Groq and Mistral word it."""

_SHORTEN = "Shorten the conversation, or use a model with a longer context."
_PAY = "See the account at its maker, or use another model."
_NAME = "Correct the model's name; a local server must have loaded it."
_REQUEST = "This model does not take such requests: use another one, or report this."
_CHANGED = "Its reasoning only fits the conversation that it was made in: leave it out where that was changed."
_LATER = "It is tried again by itself; if it stays, use another model."
_LONGEST_QUOTE = 200
_ECHO = 24
"""So many characters of a request in a maker's words are no coincidence."""


def _too_long(status: int | None, complaint: Complaint) -> bool:
    if status == _TOO_LARGE or complaint.codes & _LONG_CODES:
        return True
    return status in _LONG_STATUS and bool(_LONG.search(complaint.text))


def _number(status: int | None) -> str:
    return f" ({status})" if status else ""


def _quoted(source: Source, request: Request, complaint: Complaint) -> str:
    text = complaint.text.replace(source.secret, "[hidden]") if source.secret else complaint.text
    line = " ".join("".join(each if each.isprintable() else " " for each in text[: 4 * _LONGEST_QUOTE]).split())
    quote = line[:_LONGEST_QUOTE]
    return f": {quote}" if quote and not _echoes(quote, request) else ""


def _echoes(quote: str, request: Request) -> bool:
    """Whether it repeats some of the request."""
    parts = [quote[at : at + _ECHO] for at in range(max(1, len(quote) - _ECHO + 1))]
    texts = (" ".join(text.split()) for text in _texts(request))
    return any(part in text for text in texts for part in parts if len(part) == _ECHO)


def _texts(request: Request) -> Iterator[str]:
    yield request.system
    for message in request.messages:
        for block in message.blocks:
            if isinstance(block, (Text, ToolResult)):
                yield block.text
