"""Pipecat logs by loguru, at length and to standard error: here it goes the way of all our logs."""

from __future__ import annotations

import logging
from typing import Any

from loguru import logger

_LEVELS = {"TRACE": logging.DEBUG, "SUCCESS": logging.INFO}


def to_logging() -> None:
    """From now on, warnings and worse are logged as ``pipecat``. To be called before Pipecat is imported."""
    logger.remove()

    def write(message: object) -> None:
        record: dict[str, Any] = getattr(message, "record", {})
        level = record["level"]
        logging.getLogger("pipecat").log(_LEVELS.get(level.name, int(level.no)), "%s", record["message"])

    logger.add(write, level="WARNING", format="{message}")
    for each in ("aioice", "aiortc"):  # every pair of addresses that is tried, and every packet
        logging.getLogger(each).setLevel(logging.WARNING)
