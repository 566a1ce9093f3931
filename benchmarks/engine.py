"""Whether there is a container engine, and an image to start in it: the tests' one, or one made of a static busybox."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

IMAGE = "atlas-test/busybox:1"
PLACES = ("/bin/busybox", "/usr/bin/busybox")
_SECONDS = 60.0


def engine_with_image() -> bool:
    """True when containers of `IMAGE` can be started here."""
    if shutil.which("docker") is None or not _docker("version", "--format", "{{.Server.Version}}"):
        return False
    return _docker("image", "inspect", IMAGE) or _imported()


def _imported() -> bool:
    busybox = next((Path(place) for place in PLACES if Path(place).is_file()), None)
    if busybox is None:
        return False
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(busybox, "bin/busybox")
        for name in ("sh", "true"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return _docker("import", "-", IMAGE, given=packed.getvalue())


def _docker(*arguments: str, given: bytes | None = None) -> bool:
    try:
        ended = subprocess.run(["docker", *arguments], input=given, capture_output=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0
