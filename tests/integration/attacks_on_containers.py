"""Attacks on a container server, by arguments, images and copies. What is mounted is a directory of the test."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tests.integration.attack_ground import SECRET, Ground
from tests.services.docker_engine import BUSYBOX_IMAGE
from tests.services.naive_servers import VOLUMES_LABEL, engine_at

_SYS_ADMIN = 1 << 21
_TAKE = ["sh", "-c", "cat /host/secret; touch /host/mark"]


async def a_mount_that_is_asked_for(ground: Ground) -> bool:
    volumes = [f"{ground.outside}:/host"]
    answer = await ground.call("container_run", image=BUSYBOX_IMAGE, argv=_TAKE, volumes=volumes)
    return SECRET in answer or ground.marked()


async def a_mount_that_an_image_asks_for(ground: Ground) -> bool:
    label = json.dumps(json.dumps([f"{ground.outside}:/host"]))
    recipe = io.BytesIO(f"FROM {BUSYBOX_IMAGE}\nLABEL {VOLUMES_LABEL}={label}\n".encode())
    with engine_at(ground.engine) as engine:
        image, _ = engine.images.build(fileobj=recipe, tag="atlas-test/labelled:1", rm=True)
    assert VOLUMES_LABEL in image.labels
    answer = await ground.call("container_run", image="atlas-test/labelled:1", argv=_TAKE)
    return SECRET in answer or ground.marked()


async def capabilities_that_are_asked_for(ground: Ground) -> bool:
    look = ["grep", "CapEff", "/proc/self/status"]
    answer = await ground.call("container_run", image=BUSYBOX_IMAGE, argv=look, cap_add=["SYS_ADMIN"])
    found = re.search(r"CapEff:.*?([0-9a-f]{16})", answer)
    return found is not None and bool(int(found[1], 16) & _SYS_ADMIN)


async def a_link_that_is_copied_in(ground: Ground) -> bool:
    (ground.root / "link").symlink_to(ground.outside / "secret")
    async with _container(ground) as box:
        await ground.call("container_copy_in", container=box, local=f"{ground.root}/link", path="/tmp/x")
        return SECRET in await ground.call("container_exec", container=box, argv=["cat", "/tmp/x"])


async def a_link_that_is_copied_out(ground: Ground) -> bool:
    script = f"mkdir /tmp/t; echo inside > /tmp/t/f; ln -s {ground.outside} /tmp/t/d; echo evil > /tmp/evil"
    async with _container(ground) as box:
        await ground.call("container_exec", container=box, argv=["sh", "-c", script])
        await ground.call("container_copy_out", container=box, path="/tmp/t", local=f"{ground.root}/got")
        assert (ground.root / "got" / "f").exists()
        await ground.call("container_copy_out", container=box, path="/tmp/evil", local=f"{ground.root}/got/d/mark")
    return ground.marked()


@asynccontextmanager
async def _container(ground: Ground) -> AsyncGenerator[str]:
    found = re.search(r"[0-9a-f]{12,64}", await ground.call("container_create", image=BUSYBOX_IMAGE))
    assert found is not None
    try:
        yield found[0]
    finally:
        await ground.call("container_remove", container=found[0])
