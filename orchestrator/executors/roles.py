"""Executors of kinds that need roles, made when the first such TODO comes: LangGraph takes half a second to load, which
a worker of plain tasks never pays."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from state.commands import Claimed
from state.ports import Executor, Reporter, Result
from state.records import TodoKind

if TYPE_CHECKING:
    from orchestrator.agents.models import Models
    from orchestrator.dispatch import Dispatch
    from orchestrator.executors.agent import Thinking
    from orchestrator.executors.task import Surroundings


@dataclass(slots=True)
class WithRoles:
    """What they are made of."""

    around: Surroundings
    dispatch: Dispatch
    models: Models
    repositories: Path
    home: Path
    _made: Mapping[TodoKind, Executor] | None = None

    def executors(self) -> Mapping[TodoKind, Executor]:
        """One for each kind."""
        return {kind: _Late(self, kind) for kind in ("agent", "plan", "push", "report")}

    async def load(self) -> None:
        """The imports, on a thread: views are drawn meanwhile, Ctrl-C is heard, and the heartbeat beats."""
        if self._made is None:
            await asyncio.to_thread(_import_everything)
            gc.freeze()  # 200,000 objects that stay: looking at them again and again took a quarter of each step

    def made(self) -> Mapping[TodoKind, Executor]:
        """Blocks for a moment, once."""
        if self._made is None:
            from orchestrator.executors.agent import AgentExecutor
            from orchestrator.executors.plan import PlanExecutor
            from orchestrator.executors.push import PushExecutor
            from orchestrator.executors.report import ReportExecutor

            thinking = self._thinking()
            self._made = {
                "agent": AgentExecutor(self.around, thinking),
                "plan": PlanExecutor(self.around, thinking),
                "push": PushExecutor(self.around, thinking),
                "report": ReportExecutor(self.around, thinking),
            }
        return self._made

    def _thinking(self) -> Thinking:
        from orchestrator.dispatch import Persistent
        from orchestrator.executors.agent import Thinking
        from orchestrator.graph import atlas_graph
        from roles.checkpoints import StoreSaver
        from roles.models.prices import load_prices

        saver = StoreSaver(Persistent(self.dispatch), results=False)
        return Thinking(
            dispatch=self.dispatch, graph=atlas_graph(saver), saver=saver, models=self.models, prices=load_prices(),
            repositories=self.repositories, home=self.home,
        )  # fmt: skip


def _import_everything() -> None:
    names = ("agent", "plan", "push", "report")
    for name in (*(f"orchestrator.executors.{each}" for each in names), "langgraph.graph", "langgraph.runtime"):
        import_module(name)


@dataclass(slots=True)
class _Late:
    house: WithRoles
    kind: TodoKind

    async def execute(self, claim: Claimed, report: Reporter) -> Result:
        """By the real one."""
        await self.house.load()
        return await self.house.made()[self.kind].execute(claim, report)
