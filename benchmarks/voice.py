"""How soon Atlas falls silent when somebody speaks, and speaks when somebody has asked, beside stock Pipecat (its
default voice detection and turns) with the same engines. Speech by espeak-ng, in real time, without a network."""

from __future__ import annotations

from benchmarks.machine import until_quiet, yardstick
from benchmarks.measuring import Round, best, middle, one_round
from benchmarks.reporting import Figure, Goal

TRIALS = 30
SUBJECTS = ("atlas", "atlas, besides speech", "stock pipecat")
DETECTED = "detected to last chunk"
METRICS = {
    f"{DETECTED}, p50": "silence_p50",
    f"{DETECTED}, p99": "silence_p99",
    "onset to quieter, p50": "duck_p50",
    "onset to quieter, p95": "duck_p95",
    "onset to interrupted, p50": "confirmed_p50",
    "onset to interrupted, p95": "confirmed_p95",
    "wake word's end to silence, p50": "wake_p50",
    "wake word's end to silence, p95": "wake_p95",
    "stop detected to the model's connection closed, p50": "let_go_p50",
    "stop detected to the model's connection closed, p99": "let_go_p99",
    "event committed to its message at a client, p50": "shown_p50",
    "event committed to its message at a client, p99": "shown_p99",
    "end of speech to first audio, p50": "receipt_p50",
    "end of speech to first audio, p95": "receipt_p95",
}
"""As they are shown, and as a round has them; ms."""
COUNTS = {"interruptions that stopped it": "stopped", "trials": "trials", "wake words heard": "woken"}

GOALS = [
    Goal("atlas", f"{DETECTED}, p99", at_most=50.0),
    Goal("atlas, busy loop", f"{DETECTED}, p99", at_most=50.0),
    Goal("atlas, besides speech", "stop detected to the model's connection closed, p99", at_most=100.0),
    Goal("atlas", "onset to quieter, p95", at_most=160.0),
    Goal("atlas", "end of speech to first audio, p95", at_most=500.0),
]


def measure(rounds: int) -> list[Figure]:
    """Each subject in turn, and once with an event loop that something else holds for 50 ms at a time."""
    found: dict[str, list[Round]] = {}
    for _ in range(rounds):
        for subject in SUBJECTS:
            for busy in (0, 1):
                until_quiet()
                name = f"{subject}, busy loop" if busy else subject
                found.setdefault(name, []).append(one_round("voice_round", subject=subject, busy=busy, trials=TRIALS))
    figures: list[Figure] = []
    for name, rounds_ in found.items():
        for metric, key in METRICS.items():
            if any(key in each for each in rounds_):
                value = best(rounds_, key, "lower") if key.endswith("p50") else middle(rounds_, key)
                figures.append(Figure(name, metric, value, "ms"))
        figures += [Figure(name, shown, middle(rounds_, key), "") for shown, key in COUNTS.items() if key in rounds_[0]]
    return [*figures, *yardstick()]
