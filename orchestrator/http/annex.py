"""What a room above this one adds to the server: the composition root hands it in."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fastapi import APIRouter


class Annex(Protocol):
    """`router`: its routes, behind the same access as all others. `websockets`: whether some of them are."""

    @property
    def router(self) -> APIRouter: ...

    @property
    def websockets(self) -> bool: ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """Its routes are used while this lasts; at its end, what clients have begun here is over."""
        ...

    def close(self) -> None:
        """End what goes on for long: the server is told to stop."""
        ...
