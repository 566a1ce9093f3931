"""Which files of a working tree the tools may have changed, for whoever keeps snapshots of it: to look at those is
quicker than to look at all."""

from __future__ import annotations

from collections.abc import Collection, Sequence


class Changes:
    """Since `take` was asked last. Nothing is known of a tree at first."""

    def __init__(self) -> None:
        self._paths: set[bytes] | None = None

    def of(self, *files: Sequence[str]) -> None:
        """These may be made, changed or taken away, each by a name that is no directory's; said before it is done."""
        if self._paths is not None:
            self._paths |= {"/".join(parts).encode() for parts in files}

    def anywhere(self) -> None:
        """So may whatever there is."""
        self._paths = None

    def take(self) -> Collection[bytes] | None:
        """The paths; None: it may be any."""
        taken, self._paths = self._paths, set[bytes]()
        return taken
