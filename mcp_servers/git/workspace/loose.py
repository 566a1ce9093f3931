"""Loose objects: one made as git makes it, and those found that are not what their names say, as a power loss or a full
disk leaves them."""

from __future__ import annotations

import hashlib
import os
import uuid
import zlib
from pathlib import Path

from mcp_servers.storage.threads import Stop
from state.failpoints import failpoint

_BLOCK = 1 << 20


def remove_damaged(objects: Path, object_format: str, stop: Stop) -> None:
    """Remove them from an object directory. Blocks, and reads all of it."""
    for path in objects.glob("[0-9a-f][0-9a-f]/*"):
        stop.check()
        if not path.name.startswith("tmp_") and not _sound(path, object_format):
            path.unlink(missing_ok=True)


def put_object(objects: Path, object_format: str, kind: bytes, content: bytes, *, known: str | None = None) -> str:
    """Store a commit, tree or blob, unless it is the one that is `known` to be stored; its id. Blocks; durable and
    whole when it returns, as with git, and nothing if it does not."""
    whole = b"%s %d\0%s" % (kind, len(content), content)
    oid = hashlib.new(object_format, whole).hexdigest()
    if oid == known:
        return oid
    target = objects / oid[:2] / oid[2:]
    if target.exists():
        return oid
    temporary = objects / f"tmp_obj_{uuid.uuid4().hex}"  # git sweeps what has such a name
    try:
        with temporary.open("xb") as file:
            file.write(zlib.compress(whole, 1))
            file.flush()
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
        failpoint("snapshot.object")
        target.parent.mkdir(exist_ok=True)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return oid


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
