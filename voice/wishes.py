"""How a client asks for a conversation, and may be refused. Without an import of Pipecat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from state.errors import AtlasError
from state.records import new_id
from voice.intents import Language

SDP_CHARACTERS = 60_000
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{8,64}$")]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Conversations at a time: of one token, and of all."""

    of_one: int = 4
    of_all: int = 12


@dataclass(frozen=True, slots=True)
class Network:
    """How WebRTC finds its way. `ice_servers`: STUN servers, none by default. `here`: only this machine is
    served, so that nothing is offered to others, and it works without any network."""

    ice_servers: Sequence[str] = ()
    here: bool = False


class Full(AtlasError):
    """There are as many conversations as there may be."""

    code = "too_many_conversations"


class Wish(BaseModel):
    """`conversation`: a client's own name for it, under which it comes back. Others' are theirs, whatever the name."""

    model_config = ConfigDict(extra="forbid")
    conversation: Id = Field(default_factory=new_id)
    language: Language = "en"


class Offer(BaseModel):
    """As Pipecat's clients for SmallWebRTC send it; `request_data` is a `Wish`."""

    sdp: Annotated[str, StringConstraints(min_length=1, max_length=SDP_CHARACTERS)]
    type: Literal["offer"]
    pc_id: str | None = None
    restart_pc: bool | None = None
    request_data: Wish | None = None


class Candidate(BaseModel):
    """Where a client may be reached."""

    candidate: Annotated[str, StringConstraints(max_length=1_000)]
    sdp_mid: Annotated[str, StringConstraints(max_length=100)] | None = None
    sdp_mline_index: Annotated[int, Field(ge=0, le=100)] | None = None


class Candidates(BaseModel):
    """More of them, for the connection `pc_id`."""

    pc_id: Annotated[str, StringConstraints(max_length=200)]
    candidates: Annotated[list[Candidate], Field(max_length=50)]


class Answer(BaseModel):
    """To an `Offer`."""

    sdp: str
    type: str
    pc_id: str


def wish_of(query: Any) -> Wish:  # noqa: ANN401  a mapping of texts
    """The one in a URL. `ValidationError`: it is none."""
    return Wish.model_validate(dict(query))
