"""How words are spoken, by espeak-ng: models of voices that were made with its phonemes are given them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import unicodedata

from voice.engines.espeak import PROGRAM

_SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")
_LANGUAGE = re.compile(r"\([a-z-]+\)")
"""espeak-ng tells where it changes to another language's rules."""
_ENDS = ".!?"


def sentences(text: str) -> list[str]:
    """Of a text, each with its mark at the end."""
    return [each.strip() for each in _SENTENCE.split(text) if each.strip()]


async def phonemes(sentence: str, voice: str) -> str:
    """In the International Phonetic Alphabet, accents and letters apart, as voices of Piper, Kokoro and Matcha were
    trained with: a comma where a clause ends, and the sentence's own mark at its end. Empty when nothing of it is
    spoken. `voice`: one of espeak-ng's. 10 ms."""
    program = await asyncio.create_subprocess_exec(
        PROGRAM, "-q", "--ipa", "-v", voice, "--stdin",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        said, _ = await program.communicate(sentence.encode())
    finally:
        if program.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(program.pid, signal.SIGKILL)
            await program.wait()
    clauses = [clause for line in said.decode(errors="replace").splitlines() if (clause := line.strip())]
    if not clauses:
        return ""
    mark = sentence[-1] if sentence[-1] in _ENDS else "."
    return unicodedata.normalize("NFD", _LANGUAGE.sub("", ", ".join(clauses))) + mark
