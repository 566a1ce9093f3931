"""Model calls whose worker died: what they used can't be known, so that all they had reserved is withheld for good."""

from __future__ import annotations

from sqlmodel import select

from orchestrator.dispatch import Dispatch
from state.agent_commands import SettleCall
from state.agent_tables import ModelCall
from state.commands import Claimed, Command


async def settle_lost_calls(dispatch: Dispatch, claim: Claimed) -> None:
    """Those of earlier owners of this TODO."""
    query = select(ModelCall.id).where(
        ModelCall.todo_id == claim.todo, ModelCall.state == "reserved", ModelCall.fence < claim.fence
    )
    lost = await dispatch.store.read(lambda session: list(session.exec(query)))
    commands: list[Command] = [SettleCall(id, "lost", estimated=True) for id in lost]
    if commands:
        await dispatch.surely(commands)
