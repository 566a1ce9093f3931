"""What the S3 server says when something does not work: what it was, and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import boto3
import pytest

from mcp_servers.storage.s3_calls import S3Calls, S3Settings
from state.errors import RemoteUnavailable
from tests.services.ports import free_port
from tests.services.s3 import Bucket, S3Service, moto_process
from tests.services.s3_tools import talking

pytestmark = pytest.mark.s3


async def test_buckets_are_not_told_to_those_without_credentials(tmp_path: Path) -> None:
    """The first five requests of this server need none: they make a user who may look at nothing."""
    port = free_port()
    process = moto_process(port, INITIAL_NO_AUTH_ACTION_COUNT="5")
    endpoint = f"http://127.0.0.1:{port}"
    try:
        iam = cast("Any", boto3).client(
            "iam", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
        )
        iam.create_user(UserName="u")
        key = iam.create_access_key(UserName="u")["AccessKey"]
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}
        for number in range(3):
            iam.put_user_policy(UserName="u", PolicyName=f"p{number}", PolicyDocument=json.dumps(policy))
        iam.close()
        wrong = S3Service(endpoint, "AKIDWRONG", "wrong")
        async with talking(wrong, "s3://bucket") as s3:
            said = await s3.refused("s3_list_buckets")
            assert "refused (InvalidAccessKeyId)" in said
            assert "AWS_ACCESS_KEY_ID" in said
        async with talking(S3Service(endpoint, key["AccessKeyId"], key["SecretAccessKey"]), "s3://bucket") as s3:
            (bucket,) = (await s3.ask("s3_list_buckets"))["buckets"]
            assert bucket["readable"] is False
        async with talking(S3Service(endpoint, key["AccessKeyId"], "wrong"), "s3://bucket") as s3:
            assert "refused (SignatureDoesNotMatch)" in await s3.refused("s3_list_buckets")
    finally:
        process.terminate()
        process.wait()


async def test_local_files_are_spoken_of_as_such(tmp_path: Path, s3_bucket: Bucket) -> None:
    root = tmp_path / "root"
    (root / "directory").mkdir(parents=True)
    (root / "h.txt").write_text("h")
    url = f"s3://{s3_bucket.name}/x"
    async with talking(s3_bucket.service, f"s3://{s3_bucket.name}", roots=[root]) as s3:
        assert "relative to that" in (s3.client.instructions or "")
        await s3.ask("s3_upload_file", path="h.txt", url=url)
        for path in ("directory", "directory/"):
            said = await s3.refused("s3_upload_file", path=path, url=url)
            assert said == f"{root}/directory is a directory. Name one file; there is a call for each."
        said = await s3.refused("s3_upload_file", path="none", url=url)
        assert said == f"{root}/none does not exist. Check its name."
        for directory in (f"{root}/no", f"{root}/h.txt"):
            said = await s3.refused("s3_download_file", url=url, path=f"{directory}/dl.bin")
            assert said == f"the directory {directory} does not exist. Make it first."
    async with talking(s3_bucket.service, f"s3://{s3_bucket.name}", roots=[root, tmp_path]) as s3:
        assert "relative to that" not in (s3.client.instructions or "")


@pytest.mark.parametrize(("given", "named"), [(True, "ATLAS_S3_ENDPOINT"), (False, "AWS_ENDPOINT_URL_S3")])
async def test_the_endpoint_is_named_as_it_was_set(monkeypatch: pytest.MonkeyPatch, given: bool, named: str) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    calls = S3Calls(S3Settings(endpoint if given else None, "us-east-1", "key", "secret", attempts=1))
    try:
        with pytest.raises(RemoteUnavailable) as caught:
            await calls.call("s3://b/x", "reading", lambda client: client.head_bucket(Bucket="b"))
    finally:
        calls.close()
    assert f"Check the endpoint ({named})," in caught.value.hint
