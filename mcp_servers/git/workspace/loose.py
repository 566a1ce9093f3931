"""Loose objects that are not what their names say, as a power loss or a full disk leaves them."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

from mcp_servers.storage.threads import Stop

_BLOCK = 1 << 20


def remove_damaged(objects: Path, object_format: str, stop: Stop) -> None:
    """Remove them from an object directory. Blocks, and reads all of it."""
    for path in objects.glob("[0-9a-f][0-9a-f]/*"):
        stop.check()
        if not path.name.startswith("tmp_") and not _sound(path, object_format):
            path.unlink(missing_ok=True)


def _sound(path: Path, object_format: str) -> bool:
    digest = hashlib.new(object_format)
    inflating = zlib.decompressobj()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                while block:
                    digest.update(inflating.decompress(block, _BLOCK))
                    block = inflating.unconsumed_tail
        return inflating.eof and digest.hexdigest() == path.parent.name + path.name
    except FileNotFoundError:
        return True  # another removed it
    except (OSError, zlib.error):
        return False
