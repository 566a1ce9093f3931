"""Errors a person may meet. Each says what happened, to what, and what to do next.

AtlasError                    code, message, hint
├── InputError                what was asked is wrong; nothing was changed
│   ├── DocumentError         a plan or task document, with places
│   ├── SettingsError         atlas.toml or ATLAS_*
│   ├── LimitExceeded         a bound of `state.limits`, named
│   ├── NotFound              no such run, TODO, question, artifact
│   ├── Ambiguous             a prefix or name that fits several
│   ├── Conflict              the thing is not in a state that allows this
│   └── NotAvailableYet       a part of the design that is not built
├── LeaseLost                 this worker no longer owns the TODO: stop
├── NewerDocument             what is stored was written by a newer Atlas
├── StoreError                the database
│   ├── StoreBusy             locked by another program for too long
│   ├── StoreFull             no room on its disk
│   ├── StoreUnavailable      unreachable or unreadable
│   └── StoreTooNew           made by a newer Atlas
├── BrokerUnavailable         wake-ups, intake and topics: away, or it confirmed nothing
├── SinkAway                  topics and webhooks: events were not taken
├── SandboxError              a command could not be started at all
│   ├── SandboxUnavailable    no engine, or none that may be used
│   │   └── EngineAway        it does not answer
│   └── ImageMissing          no such image, and it could not be pulled
├── RemoteError               file:// or s3://
│   ├── RemoteMissing         no such object
│   ├── RemoteForbidden       not allowed to
│   └── RemoteUnavailable     did not answer, or broke off
├── ModelError                a model could not answer
│   ├── ModelUnavailable      for the moment
│   ├── ModelRejected         for good: key, name, request
│   └── ModelOverflow         the conversation is too long for it
├── EngineUnavailable         what hears or speaks: its program, package, model or key is not there
└── BudgetExhausted           the run's budget does not allow for the next call
"""

from __future__ import annotations

import errno
from typing import ClassVar, Literal

FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
"""`OSError.errno`: no room on a disk."""
SHORT = frozenset((errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM))
"""No more descriptors, processes or memory, for the moment."""


class AtlasError(Exception):
    """Something a person can read: `message` says what happened and to what, `hint` what to do next."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class InputError(AtlasError):
    """What was asked is wrong; nothing was changed."""

    code = "bad_input"


class DocumentError(InputError):
    """A plan or task document is refused. `message` has one line per problem, each with file, line and key."""

    code = "bad_document"


class SettingsError(InputError):
    """atlas.toml or an ATLAS_* variable is wrong."""

    code = "bad_settings"


class LimitExceeded(InputError):
    """A bound of `state.limits` is exceeded; the message names it."""

    code = "limit_exceeded"


class NotFound(InputError):
    """No such run, TODO, question or artifact."""

    code = "not_found"


class Ambiguous(InputError):
    """A prefix or name that fits several things; the hint lists them."""

    code = "ambiguous"


class Conflict(InputError):
    """The thing exists, but is not in a state that allows this."""

    code = "conflict"


class NotAvailableYet(InputError):
    """The document is valid; this version of Atlas can't carry it out."""

    code = "not_available_yet"


class LeaseLost(AtlasError):
    """This worker no longer owns the TODO: its late writes change nothing, its work must stop."""

    code = "lease_lost"


class NewerDocument(AtlasError):
    """What is stored was written by an Atlas that says more than this one understands."""

    code = "newer_document"


class StoreError(AtlasError):
    """The database could not do what was asked; nothing was half-written."""

    code = "store"


class StoreBusy(StoreError):
    """Another program holds the database's lock."""

    code = "store_busy"


class StoreFull(StoreError):
    """The database's disk is full."""

    code = "store_full"


class StoreUnavailable(StoreError):
    """The database cannot be reached or read."""

    code = "store_unavailable"


class StoreTooNew(StoreError):
    """The database was written by a newer Atlas."""

    code = "store_too_new"


class BrokerUnavailable(AtlasError):
    """The message broker did not take responsibility for what was published: it may have it or not."""

    code = "broker"


class SinkAway(AtlasError):
    """Who is to be told of events did not take them. `after`: seconds to wait, if that was said."""

    code = "sink"

    def __init__(self, message: str, hint: str = "", after: float | None = None) -> None:
        super().__init__(message, hint)
        self.after = after


class SandboxError(AtlasError):
    """A command could not be started at all. `blocks` is the reason of a TODO that is blocked by it."""

    code = "sandbox"
    blocks: ClassVar[Literal["sandbox", "image"]] = "sandbox"


class SandboxUnavailable(SandboxError):
    """No sandbox that may be used answers."""

    code = "sandbox_unavailable"


class EngineAway(SandboxUnavailable):
    """The engine does not answer, or the connection to it broke off."""


class ImageMissing(SandboxError):
    """The image is not on the engine and could not be pulled."""

    code = "image_missing"
    blocks = "image"


class RemoteError(AtlasError):
    """A remote location (file:// or s3://) could not be used."""

    code = "remote"


class RemoteMissing(RemoteError):
    """No object at this location."""

    code = "remote_missing"


class RemoteForbidden(RemoteError):
    """The location refuses these credentials, or lies outside what is allowed."""

    code = "remote_forbidden"


class RemoteUnavailable(RemoteError):
    """The location did not answer, or the transfer broke off."""

    code = "remote_unavailable"


class RemoteDamaged(RemoteError):
    """What is at the location is not what was put there: waiting does not help."""

    code = "remote_damaged"


class ModelError(AtlasError):
    """A model could not answer. `billed`: the call may have cost something all the same."""

    code = "model"
    billed = True


class ModelUnavailable(ModelError):
    """For the moment: overloaded, rate-limited, unreachable, cut off, senseless. `after`: seconds that the maker asked
    to wait."""

    code = "model_unavailable"

    def __init__(self, message: str, hint: str = "", after: float | None = None) -> None:
        super().__init__(message, hint)
        self.after = after


class ModelRejected(ModelError):
    """For good: no key or a wrong one, no such model, a request that it does not take."""

    code = "model_rejected"


class ModelOverflow(ModelError):
    """The conversation is longer than the model can take."""

    code = "model_overflow"


class EngineUnavailable(AtlasError):
    """A speech engine can't be used: its program, package, model or key is not there."""

    code = "engine_unavailable"


class BudgetExhausted(AtlasError):
    """The run's budget does not allow for the next call of a model: of at most so many `tokens` and `nano` (10⁻⁹ USD).
    `busy`: it may once the calls in flight are settled."""

    code = "budget_exhausted"

    def __init__(self, message: str, tokens: int, nano: int, *, busy: bool) -> None:
        super().__init__(message, "Raise it: atlas resume RUN --budget usd=10.")
        self.tokens = tokens
        self.nano = nano
        self.busy = busy
