"""Who thinks, and what for. Roles are data: a prompt file each, and for every duty the tools that there are.

Nothing here can be widened by what a model says: a tool that a duty does not name does not exist for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from roles.models.port import Effort
from roles.untrusted import RULE

RoleName = Literal["prometheus", "metis", "hephaestus", "oracle", "librarian"]

LOOKING = ("workspace_list", "workspace_read", "workspace_search")
"""The tools of a workspace that only look."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Something that a role does in one conversation. `tools`: of MCP servers, by name or as ``prefix_*``. `exits`: the
    house's own tools (`roles.house_tools`); one that ends the conversation must be among them, unless `answers`: then
    its last words are the answer. `output_tokens` bounds one reply."""

    name: str
    role: RoleName
    tools: tuple[str, ...] = ()
    exits: tuple[str, ...] = ()
    answers: bool = False
    output_tokens: int = 8_192
    effort: Effort | None = None

    @property
    def writes(self) -> bool:
        """Whether it may change the workspace."""
        return "workspace_*" in self.tools


DUTIES: Mapping[str, Duty] = {
    duty.name: duty
    for duty in (
        Duty("plan", "prometheus", LOOKING, ("submit_plan", "ask_person"), output_tokens=16_384),
        Duty("review_plan", "metis", LOOKING, ("verdict",)),
        Duty(
            "work",
            "hephaestus",
            ("workspace_*",),
            ("checklist", "check", "consult", "ask_person", "take_note", "done", "blocked"),
        ),
        Duty("diagnose", "oracle", LOOKING, ("diagnosis",)),
        Duty("review", "oracle", LOOKING, ("verdict",)),
        Duty("consult_oracle", "oracle", LOOKING, answers=True),
        Duty("consult_librarian", "librarian", LOOKING, answers=True),
        Duty("distil", "librarian", exits=("notes",)),
        Duty("report", "librarian", exits=("report",)),
    )
}
"""By name. Only ``work`` changes anything, and that in its sandbox only."""


@cache
def system_prompt(duty: Duty) -> str:
    """What a conversation begins with: the same bytes for every TODO, so that makers can reuse what they computed."""
    prompts = files("roles") / "prompts"
    house, role = ((prompts / f"{name}.md").read_text("utf-8").strip() for name in ("house", duty.role))
    return f"{house}\n- {RULE}\n\n{role}"
