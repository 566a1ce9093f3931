"""The compose file, started as docs/deploy.md says: a plan on two workers, one of which is killed.

What is checked without starting anything is in `test_deploy_files.py`. Images come from the engine, or are made here
(`tests/services/stand_ins`): then S3 is moto's, which keeps what it has in memory and judges by the policy that it was
given.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.services.compose_stack import UP_SECONDS, Stack, stack, until

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedMultipartUploadTypeDef

pytestmark = [pytest.mark.docker, pytest.mark.long, pytest.mark.timeout(2 * UP_SECONDS)]

PATIENCE = 300.0
WORK_SECONDS = 30
"""How long a command takes: a worker has to be found at it, and killed."""
PLAN: dict[str, Any] = {
    "atlas": 1,
    "name": "stack",
    "todos": [
        *(
            {
                "id": side,
                "run": f"sleep {WORK_SECONDS}; echo {side} > out; id -u",
                "outputs": {"out": f"s3://atlas/stack/{side}"},
                "verify": [{"run": "test -s out"}],
            }
            for side in ("left", "right")
        ),
        {
            "id": "both",
            "needs": ["left", "right"],
            "inputs": {f"s3://atlas/stack/{side}": side for side in ("left", "right")},
            "run": "cat left right > both",
            "outputs": {"both": "s3://atlas/stack/both"},
        },
    ],
}


@pytest.fixture(scope="module")
def up(docker_url: str, service_images: dict[str, str], python_image: str, busybox_image: str) -> Iterator[Stack]:
    """Two workers, well. Afterwards nothing is left of it."""
    with stack(docker_url, service_images, python_image, busybox_image) as made:
        made.compose("config", "--quiet")
        made.up("--build")
        well(made, 2)
        yield made
        made.remove()
        assert made.ids(all=True) == []
        assert made.volumes() == []
        assert made.sandboxes() == []
        pins = made.data / "guard" / "pins"
        assert not [*pins.iterdir()], "the guard's mounts are gone"


def well(up: Stack, workers: int) -> None:
    """So many workers say that they are, and so do the server and the services that they need."""

    def states() -> list[str]:
        found = [
            each
            for name in ("postgres", "rabbitmq", "minio", "guard", "server", "worker")
            for each in up.inspected(name)
        ]
        return [each["State"]["Health"]["Status"] for each in found if each["State"]["Running"]]

    until(lambda: states() == ["healthy"] * (5 + workers), f"{workers} workers and 5 services well", PATIENCE)


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_who_is_killed_is_replaced(up: Stack) -> None:
    (up.plans / "plan.json").write_text(json.dumps(PLAN))
    assert "submitted" in up.atlas("run", "--detach", "plan.json")
    until(lambda: len(up.sandboxes()) == 2, "each worker has a sandbox", PATIENCE)
    at_work = {*up.sandboxes()}
    victim = up.ids("worker")[0]
    up.docker("kill", "--signal=KILL", victim)
    until(lambda: not at_work <= {*up.sandboxes()}, "its sandbox has ended with it", PATIENCE)

    seen = up.atlas("watch", "last")  # exits with 0 once the run is completed
    assert "completed, 3/3 settled" in seen
    assert {each["key"]: each["state"] for each in rows(up.atlas("todos", "last", "--json"))} == {
        "left": "completed", "right": "completed", "both": "completed",
    }  # fmt: skip
    found = rows(up.atlas("evidence", "last", "--json"))
    evidence = [row for row in found if "passed" in row]
    assert len(evidence) == 5
    assert all(row["passed"] for row in evidence)
    assert sorted({(row["todo"], row["fence"]) for row in evidence}, key=lambda each: each[1])[-1][1] == 2, "taken over"
    assert "10001" in up.atlas("logs", "last", "left"), "nobody is root in a sandbox"

    s3 = up.s3().client()
    bodies = {
        key: s3.get_object(Bucket="atlas", Key=f"stack/{key}")["Body"].read() for key in ("left", "right", "both")
    }
    assert bodies == {"left": b"left\n", "right": b"right\n", "both": b"left\nright\n"}
    [dead] = [each for each in up.inspected("worker") if each["Id"] == victim]
    assert (dead["State"]["Status"], dead["State"]["ExitCode"]) == ("exited", 137)


def test_the_server_shows_it_to_who_has_the_token(up: Stack) -> None:
    token = (up.secrets / "token").read_text()
    with httpx.Client(base_url=up.server, trust_env=False, timeout=30) as client:
        assert client.get("/api/runs").status_code == 401
        client.headers["Authorization"] = f"Bearer {token}"
        [run] = client.get("/api/runs").raise_for_status().json()["runs"]
        assert (run["name"], run["state"], run["progress"]) == ("stack", "completed", {"settled": 3, "total": 3})
        assert "<title>" in client.get("/").raise_for_status().text
    assert token not in up.compose("logs", "server")


def test_a_worker_has_nothing_of_the_hosts(up: Stack) -> None:
    for worker in up.inspected("worker"):
        config, host = worker["Config"], worker["HostConfig"]
        assert config["User"] == "10001:10001"
        assert host["ReadonlyRootfs"]
        assert not host["Privileged"]
        assert host["CapDrop"] == ["ALL"]
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
        assert host["Memory"] > 0
        assert host["PidsLimit"] > 0
        assert not [mount for mount in worker["Mounts"] if "docker" in mount["Source"]], "the engine's socket"
        read = {mount["Destination"] for mount in worker["Mounts"] if mount["Destination"].startswith("/run/secrets/")}
        assert read == {f"/run/secrets/{name}" for name in ("database_url", "broker_url", "aws_credentials")}
        assert not [each for each in config["Env"] if "PASSWORD" in each or "SECRET" in each]


def test_workers_are_not_the_root_user_of_s3(up: Stack) -> None:
    root, worker = up.root_s3().client(), up.s3().client()
    assert [bucket.get("Name") for bucket in root.list_buckets()["Buckets"]] == ["atlas"]
    root.create_bucket(Bucket="others")
    for attempt in (
        worker.list_buckets,
        lambda: worker.create_bucket(Bucket="mine"),
        lambda: worker.list_objects_v2(Bucket="others"),
        lambda: worker.put_object(Bucket="others", Key="key", Body=b""),
        lambda: worker.delete_bucket(Bucket="atlas"),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|403"):
            attempt()


def test_parts_and_copies_are_allowed_to_workers(up: Stack) -> None:
    worker = up.s3().client()
    begun = worker.create_multipart_upload(Bucket="atlas", Key="parts/one")["UploadId"]
    tag = worker.upload_part(Bucket="atlas", Key="parts/one", UploadId=begun, PartNumber=1, Body=b"part")["ETag"]
    assert len(worker.list_parts(Bucket="atlas", Key="parts/one", UploadId=begun)["Parts"]) == 1
    assert worker.list_multipart_uploads(Bucket="atlas")["Uploads"][0].get("Key") == "parts/one"
    done: CompletedMultipartUploadTypeDef = {"Parts": [{"ETag": tag, "PartNumber": 1}]}
    worker.complete_multipart_upload(Bucket="atlas", Key="parts/one", UploadId=begun, MultipartUpload=done)
    worker.copy_object(Bucket="atlas", Key="parts/two", CopySource={"Bucket": "atlas", "Key": "parts/one"})
    left = worker.create_multipart_upload(Bucket="atlas", Key="parts/three")["UploadId"]
    worker.abort_multipart_upload(Bucket="atlas", Key="parts/three", UploadId=left)
    assert worker.list_objects_v2(Bucket="atlas", Prefix="parts/")["KeyCount"] == 2
    for key in ("parts/one", "parts/two"):
        assert worker.head_object(Bucket="atlas", Key=key)["ContentLength"] == 4
        worker.delete_object(Bucket="atlas", Key=key)


def test_what_died_by_itself_comes_back(up: Stack) -> None:
    def started(worker: str) -> tuple[bool, int]:
        [found] = [each for each in up.inspected("worker") if each["Id"] == worker]
        return found["State"]["Running"], found["RestartCount"]

    worker = up.ids("worker")[0]
    [process] = [each["State"]["Pid"] for each in up.inspected("worker") if each["Id"] == worker]
    os.kill(process, signal.SIGKILL)
    until(lambda: started(worker) == (True, 1), "the worker runs again", PATIENCE)


def test_nothing_listens_but_at_the_loopback(up: Stack) -> None:
    found = {name: up.listens(name) for name in ("postgres", "rabbitmq", "minio", "guard", "server", "worker")}
    assert all(found[name] for name in ("postgres", "rabbitmq", "minio", "server")), found
    assert {address for addresses in found.values() for address in addresses} <= {"127.0.0.1", "::1"}, found


def test_eight_workers(up: Stack) -> None:
    up.up("--scale", "worker=8")
    well(up, 8)
    listed = up.compose("ps", "--quiet", "worker").split()
    assert len(listed) == 8
