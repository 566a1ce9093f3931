"""Attacks on an S3 server, by keys and by local paths."""

from __future__ import annotations

import re
import urllib.request

from tests.integration.attack_ground import SECRET, Ground


async def a_presigned_url_for_anything(ground: Ground) -> bool:
    found = re.search(r"http[^\"\s]+", await ground.call("s3_presign", url=f"{ground.bucket}secret"))
    return found is not None and SECRET in _got(found[0])


async def a_prefix_that_begins_alike(ground: Ground) -> bool:
    return SECRET in await ground.call("s3_get_object", url=f"{ground.bucket}teammate/secret")


async def a_key_that_leads_up(ground: Ground) -> bool:
    return SECRET in await ground.call("s3_get_object", url=f"{ground.bucket}team/../secret")


async def a_local_path_that_leads_up(ground: Ground) -> bool:
    path = f"{ground.root}/../{ground.outside.name}/mark"
    await ground.call("s3_download_file", url=f"{ground.bucket}team/mine", path=path)
    return ground.marked()


async def a_link_that_is_sent(ground: Ground) -> bool:
    (ground.root / "link").symlink_to(ground.outside / "secret")
    await ground.call("s3_upload_file", path=f"{ground.root}/link", url=f"{ground.bucket}team/sent")
    return SECRET in await ground.call("s3_get_object", url=f"{ground.bucket}team/sent")


async def a_link_that_is_written_through(ground: Ground) -> bool:
    (ground.root / "way").symlink_to(ground.outside)
    await ground.call("s3_download_file", url=f"{ground.bucket}team/mine", path=f"{ground.root}/way/mark")
    return ground.marked()


def _got(url: str) -> str:
    with urllib.request.urlopen(url) as answer:  # noqa: S310  the endpoint of the test
        return answer.read().decode()
