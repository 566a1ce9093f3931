"""Put files into s3://atlas-example/raw/ as texts to count: ``fill_bucket.py FILE...``"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import boto3


def main() -> None:
    client = boto3.client("s3", endpoint_url=os.environ.get("ATLAS_S3_ENDPOINT"))
    client.create_bucket(Bucket="atlas-example")
    for name in sys.argv[1:]:
        client.upload_file(name, "atlas-example", f"raw/{Path(name).stem}.txt")
        print(f"{name} -> s3://atlas-example/raw/{Path(name).stem}.txt")


if __name__ == "__main__":
    main()
