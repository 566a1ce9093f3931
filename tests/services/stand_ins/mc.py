"""`mc` for the stand-in of MinIO: the commands of docker/bucket.sh, in the form that mc has them, and no others."""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import boto3


def main() -> int:
    """0, or 1 and what is wrong."""
    given = _parser().parse_args()
    kept = Path(os.environ["MC_CONFIG_DIR"]) / f"{given.target.partition('/')[0]}.json"
    try:
        if given.command == "alias":
            user, password = _keys()
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(json.dumps([given.url, user, password]))
        url, user, password = json.loads(kept.read_text())
        if given.command in ("alias", "mb"):
            _bucket(url, user, password, given.target.partition("/")[2])
            return 0
        command = {
            "policy create": lambda: ("policy", given.policy, Path(given.file).read_text()),
            "policy attach": lambda: ("attach", given.policy, given.user),
            "user add": lambda: ("user", *_keys()),
        }[f"{given.area} {given.verb}"]()
        body = json.dumps({"root": [user, password], "command": command}).encode()
        request = urllib.request.Request(f"{url}/stand-in/admin", data=body)  # noqa: S310 - http, as bucket.sh says
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        sys.stderr.write(f"mc: <ERROR> {error.read().decode()}\n")
        return 1
    return 0


def _keys() -> tuple[str, str]:
    user, password = sys.stdin.read().splitlines()
    return user, password


def _bucket(url: str, user: str, password: str, name: str) -> None:
    keys = {"aws_access_key_id": user, "aws_secret_access_key": password}
    connect = cast("Callable[..., Any]", boto3.client)  # pyright: ignore[reportUnknownMemberType]
    s3 = connect("s3", endpoint_url=url, region_name="us-east-1", **keys)
    there = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    if name and name not in there:
        s3.create_bucket(Bucket=name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mc")
    commands = parser.add_subparsers(dest="command", required=True)
    alias = commands.add_parser("alias").add_subparsers(dest="verb", required=True).add_parser("set")
    alias.add_argument("target")
    alias.add_argument("url")
    bucket = commands.add_parser("mb")
    bucket.add_argument("--ignore-existing", action="store_true", required=True)
    bucket.add_argument("target")
    areas = commands.add_parser("admin").add_subparsers(dest="area", required=True)
    policy = areas.add_parser("policy").add_subparsers(dest="verb", required=True)
    create = policy.add_parser("create")
    attach = policy.add_parser("attach")
    for each in (create, attach):
        each.add_argument("target")
        each.add_argument("policy")
    create.add_argument("file")
    attach.add_argument("--user", required=True)
    areas.add_parser("user").add_subparsers(dest="verb", required=True).add_parser("add").add_argument("target")
    return parser


if __name__ == "__main__":
    sys.exit(main())
