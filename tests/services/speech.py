"""Speech for tests, made by espeak-ng when they run."""

from __future__ import annotations

import shutil
import subprocess
import wave
import zlib
from functools import lru_cache
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tests.services.availability import missing

RATE = 16_000
"""Samples a second of all that is made here."""

VOICES = ("en-us", "en-gb", "en-us+f3", "en-gb-x-rp+m5")

Noise = Literal["white", "pink"]


def spoken(
    text: str,
    *,
    voice: str = "en-us",
    rate: int = 150,
    snr: float | None = None,
    noise: Noise = "white",
    pad: float = 0.3,
) -> bytes:
    """`text` as speech: PCM of 16 bits, mono, at `RATE`, with `pad` seconds before and after.

    `rate` is in words a minute. `snr` adds noise that is so many dB below the speech, the same for the same words.
    """
    clean = samples_of(text, voice, rate)
    quiet = np.zeros(int(pad * RATE), dtype=np.float64)
    samples = np.concatenate([quiet, clean, quiet])
    if snr is not None:
        level = np.sqrt(np.mean(clean**2)) * 10 ** (-snr / 20)
        seed = zlib.crc32(f"{text}|{voice}|{rate}|{snr}|{noise}".encode())
        samples = samples + level * _noise(len(samples), noise, seed)
    return pcm(samples)


def pcm(samples: NDArray[np.float64]) -> bytes:
    """Samples of -32768 to 32767 as 16 bits each, cut off where they are louder."""
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()


def hiss(seconds: float, level: float, noise: Noise = "white", seed: int = 1) -> bytes:
    """Noise alone; `level` is the root mean square in units of a sample."""
    return pcm(level * _noise(int(seconds * RATE), noise, seed))


def _noise(count: int, kind: Noise, seed: int) -> NDArray[np.float64]:
    """Noise of a root mean square of 1."""
    white = np.random.default_rng(seed).standard_normal(count)
    if kind == "white" or count < 2:
        return white
    spectrum = np.fft.rfft(white)
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    pink = np.fft.irfft(spectrum, count)
    return pink / np.sqrt(np.mean(pink**2))


@lru_cache(maxsize=4096)
def samples_of(text: str, voice: str = "en-us", words: int = 150, rate: int = RATE) -> NDArray[np.float64]:
    """`text` as speech of so many words a minute, and samples a second."""
    program = shutil.which("espeak-ng")
    if program is None:
        missing("espeak-ng is not installed (Debian: apt install espeak-ng)")
    made = subprocess.run(
        [program, "-v", voice, "-s", str(words), "--stdout", "--", text], capture_output=True, check=True, timeout=60
    )
    with wave.open(BytesIO(made.stdout)) as file:
        source = file.getframerate()
        raw = file.readframes(file.getnframes())
    return _at_rate(np.frombuffer(raw, dtype="<i2").astype(np.float64), source, rate)


def _at_rate(samples: NDArray[np.float64], source: int, rate: int) -> NDArray[np.float64]:
    """Resampled by the Fourier transform: nothing above half the lower rate is left to fold back."""
    count = round(len(samples) * rate / source)
    spectrum = np.fft.rfft(samples)
    wanted = count // 2 + 1
    spectrum = spectrum[:wanted] if wanted <= len(spectrum) else np.pad(spectrum, (0, wanted - len(spectrum)))
    return np.fft.irfft(spectrum, count) * (count / len(samples))
