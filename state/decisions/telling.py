"""Who tells a sink what happens, and how far it has been told. One at a time: what it hears of a run is in order."""

from __future__ import annotations

from state.commands import AdvanceSink, Done, Refused, TakeSink
from state.limits import SINK_SECONDS
from state.work import SinkState, Work


def take(work: Work, command: TakeSink) -> Done | Refused:
    """Take it, or keep it for longer."""
    sink = work.sinks.get(command.sink)
    if sink is None:
        sink = work.sinks[command.sink] = SinkState(command.sink, command.worker, 0.0, work.now)
    elif sink.owner != command.worker and sink.until > work.now:
        return Refused("lease_lost", f"{command.sink} is told by {sink.owner}")
    sink.owner, sink.until = command.worker, work.now + command.seconds
    _put(work, sink)
    return Done()


def advance(work: Work, command: AdvanceSink) -> Done | Refused:
    """It has been told. Nothing is told twice on purpose, and nothing is left out: a cursor only goes forward."""
    sink = work.sinks.get(command.sink)
    if sink is None or sink.owner != command.worker:
        return Refused("lease_lost", f"{command.sink} is told by {sink.owner if sink else 'nobody'}")
    for run, seq in command.told:
        said = work.puts.get("cursor", {}).get((command.sink, run))  # by this very transaction
        work.put("cursor", (command.sink, run), (command.sink, run, max(seq, said[2]) if said else seq))
    if command.caught_up and work.now - SINK_SECONDS > sink.since:
        sink.since = work.now - SINK_SECONDS
        _put(work, sink)
    return Done()


def _put(work: Work, sink: SinkState) -> None:
    work.put("sink", (sink.name,), (sink.name, sink.owner, sink.until, sink.since))
