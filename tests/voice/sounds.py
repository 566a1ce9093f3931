"""Sound for tests: what espeak-ng says, silence, and how loud something is."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence

import numpy as np

from tests.services.speech import RATE, pcm, samples_of


def spoken(text: str, voice: str = "en-us", rate: int = RATE) -> bytes:
    """16-bit mono."""
    return pcm(samples_of(text, voice, rate=rate))


def silence(seconds: float, rate: int = RATE) -> bytes:
    """As of a microphone: a little noise."""
    noise = np.random.default_rng(7).integers(-20, 21, int(seconds * rate))
    return noise.astype("<i2").tobytes()


def script(*parts: str | float, rate: int = RATE) -> bytes:
    """One after the other: what is said, and seconds of silence."""
    return b"".join(spoken(each, rate=rate) if isinstance(each, str) else silence(each, rate) for each in parts)


def wav(sound: bytes, rate: int = RATE) -> bytes:
    """As a file of 16-bit mono."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound)
    return made.getvalue()


def loudness(pieces: Sequence[bytes]) -> float:
    """Root mean square of 16-bit samples, 0 to 1."""
    samples = np.frombuffer(b"".join(pieces), dtype="<i2").astype(np.float64) / 32_768
    return float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
