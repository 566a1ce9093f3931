"""The Atlas graph (design §5), flat: a role's node is one call of a model, `tools` is one of a tool, so that each is a
checkpoint of its own. It holds no logic: nodes say where they want to go, and only what is drawn here is possible.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from roles.position import Position, Step, after

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

    Graph = CompiledStateGraph["Place", "Calls", "Place", "Place"]

EXITS: dict[str, tuple[str, ...]] = {
    "prometheus": ("prometheus", "end"),
    "metis": ("metis", "end"),
    "hephaestus": ("hephaestus", "enforce", "end"),
    "oracle": ("oracle", "end"),
    "librarian": ("librarian", "end"),
}
"""Where a role goes by itself, besides `tools`: on, when it is reminded or its conversation was shortened."""
AFTER_TOOLS = ("tools", "enforce", *EXITS, "end")
AFTER_ENFORCE = ("hephaestus", "oracle", "end")


Node = Callable[[Position], Awaitable[Step]]


class Place(TypedDict):
    """The graph's state: one channel, because each costs time and a row of its own at every step."""

    at: Position


Way = Callable[[Place], str]


@dataclass(frozen=True, slots=True)
class Calls:
    """What the nodes do: each is one intent, one effect, one outcome, under the attempt's fence."""

    think: Node
    act: Node
    enforce: Node


def atlas_graph(saver: BaseCheckpointSaver[int] | None = None) -> Graph:
    """Compiled, over this checkpointer. (LangGraph takes half a second to load.)"""
    return _builder().compile(checkpointer=saver)


def mermaid() -> str:
    """The graph as Mermaid draws it."""
    return atlas_graph().get_graph().draw_mermaid()


def _builder() -> Any:  # noqa: ANN401  LangGraph's builder types say less than they should
    from langgraph.graph import END, START, StateGraph
    from langgraph.runtime import Runtime
    from langgraph.types import Command

    def going(place: Place, way: Way) -> Any:  # noqa: ANN401  a `Command`, which Python can't name here
        """A node says itself where it goes: an edge that looks at the state again costs 40 % of a step."""
        name = way(place)
        return Command(update=place, goto=END if name == "end" else name)

    async def think(state: Place, runtime: Runtime[Calls]) -> Any:  # noqa: ANN401
        return going(moved(state, await runtime.context.think(state["at"])), after_role)

    async def act(state: Place, runtime: Runtime[Calls]) -> Any:  # noqa: ANN401
        return going(moved(state, await runtime.context.act(state["at"])), after_tool)

    async def enforce(state: Place, runtime: Runtime[Calls]) -> Any:  # noqa: ANN401
        return going(moved(state, await runtime.context.enforce(state["at"])), after_enforce)

    def ways(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(END if name == "end" else name for name in names)

    # Annotations are text here; LangGraph evaluates them where it can't see local names.
    for node in (think, act, enforce):
        node.__annotations__ |= {"state": Place, "runtime": Runtime[Calls], "return": Any}
    graph: Any = StateGraph(Place, context_schema=Calls)
    for role, exits in EXITS.items():
        graph.add_node(role, think, destinations=ways(("tools", *exits)))
    graph.add_node("tools", act, destinations=ways(AFTER_TOOLS))
    graph.add_node("enforce", enforce, destinations=ways(AFTER_ENFORCE))
    graph.add_conditional_edges(START, whose_turn, {name: name for name in ("tools", *EXITS)})
    return graph


def moved(place: Place, step: Step) -> Place:
    """After a node's step."""
    return {"at": after(place["at"], step)}


def whose_turn(state: Place) -> str:
    """At the start, and when a worker goes on with what had stopped."""
    return "tools" if state["at"]["calls"] else state["at"]["role"]


def after_role(state: Place) -> str:
    """To its tools, on by itself, or away."""
    at = state["at"]
    if at["calls"] or at["exit"] == "tools":
        return "tools"
    return at["role"] if at["exit"] == "again" else at["exit"]


def after_tool(state: Place) -> str:
    """To where the call leads, to the next call, or back to who called."""
    at = state["at"]
    if at["exit"]:
        return at["exit"]
    return "tools" if at["calls"] else at["role"]


def after_enforce(state: Place) -> str:
    """Where the enforcer said."""
    return state["at"]["exit"]
