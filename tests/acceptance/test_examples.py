"""The examples, as their READMEs say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.command_line import Atlas
from tests.services.docker_engine import image_under_name
from tests.services.s3 import S3Service

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.docker
@pytest.mark.s3
def test_containers_and_s3(atlas: Atlas, docker_url: str, busybox_image: str, s3_service: S3Service) -> None:
    example = EXAMPLES / "containers-and-s3"
    image_under_name(docker_url, busybox_image, "busybox:1.36")
    texts = [atlas.work / f"{name}.md" for name in ("long", "short")]
    texts[0].write_text("four words stand here")
    texts[1].write_text("only two".replace("only ", "only\n"))
    atlas.variables |= {
        "DOCKER_HOST": docker_url,
        "ATLAS_S3_ENDPOINT": s3_service.endpoint,
        "AWS_ACCESS_KEY_ID": s3_service.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_service.secret_key,
        "AWS_DEFAULT_REGION": s3_service.region,
    }
    subprocess.run(
        [sys.executable, "-W", "ignore", example / "fill_bucket.py", *texts],
        check=True,
        env={**os.environ, **atlas.variables},
    )
    atlas("run", str(example / "plan.yaml"), code=0)
    client = s3_service.client()
    try:
        found = {
            key: client.get_object(Bucket="atlas-example", Key=key)["Body"].read().decode()
            for key in ("counts.tsv", "total.txt", "longest.tsv")
        }
    finally:
        client.close()
    assert found == {"counts.tsv": "long.txt\t4\nshort.txt\t2\n", "total.txt": "6\n", "longest.tsv": "long.txt\t4\n"}
    evidence = atlas("evidence", "last", "--json").rows
    assert all(row["passed"] for row in evidence if "passed" in row)
    assert [row["remote"] for row in evidence if "remote" in row] == [
        f"s3://atlas-example/{key}" for key in ("counts.tsv", "total.txt", "longest.tsv")
    ]
