"""Whether somebody is being listened to: from the wake word on, while a conversation goes on, and no longer.

Pure: times are handed in, in seconds of any clock that only goes forward.
"""

from __future__ import annotations

from dataclasses import dataclass, field

AWAKE_SECONDS = 8.0
"""How long one may think before the next sentence, or after what was said, without waking it again."""


@dataclass(slots=True)
class Attention:
    """Of one conversation. `always`: no wake word is asked for (a talk button that stays pressed, or a setting)."""

    seconds: float = AWAKE_SECONDS
    always: bool = False
    _until: float = field(default=float("-inf"), init=False)
    _held: bool = field(default=False, init=False)

    def wake(self, now: float) -> None:
        """The wake word was said."""
        self._until = now + self.seconds

    def hold(self, held: bool, now: float) -> None:
        """The talk button is pressed, or let go."""
        if self._held and not held:
            self._until = now + self.seconds
        self._held = held

    @property
    def held(self) -> bool:
        """Whether the talk button is pressed."""
        return self._held

    def go_on(self, now: float) -> None:
        """Something was said, by either side: the conversation goes on, if there is one."""
        if self.awake(now):
            self._until = now + self.seconds

    def sleep(self) -> None:
        """The conversation is over."""
        self._until = float("-inf")

    def awake(self, now: float) -> bool:
        """Whether what is said now is meant for us."""
        return self.always or self._held or now < self._until
