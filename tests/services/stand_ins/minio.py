"""`minio server …` where there is none: moto's S3, which checks signatures and policies, in memory.

`mc.py` is its client. Both run in an image that has moto and nothing of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto import settings
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

ADMIN = "/stand-in/admin"
ACCOUNT = "123456789012"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["*"]}]}
Start = Callable[[str, list[tuple[str, str]]], object]


def secret(variable: str) -> str:
    """As MinIO reads it: a path, relative to /run/secrets."""
    return (Path("/run/secrets") / os.environ[variable]).read_text().strip()


class Server:
    """What moto does not have: health, a root user, and the administration that `mc.py` asks for."""

    def __init__(self, user: str, password: str) -> None:
        self._root = (user, password)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._iam = iam_backends[ACCOUNT]["aws"]
        self._policies: dict[str, str] = {}
        self._user(user, password)
        self._iam.put_user_policy(user, "root", json.dumps(EVERYTHING))
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/minio/health/live":
            return self._answer(start, "200 OK")
        if path != ADMIN:
            return self._moto(environ, start)
        asked = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        if tuple(asked["root"]) != self._root:
            return self._answer(start, "403 Forbidden", "The Access Key Id you provided does not exist in our records.")
        problem = self._administer(*asked["command"])
        return self._answer(start, "400 Bad Request" if problem else "200 OK", problem)

    def _administer(self, what: str, name: str, value: str) -> str:
        if what == "policy":
            self._policies[name] = value
        elif what == "user":
            if name == self._root[0]:
                return "The specified access key is the root user's."
            self._user(name, value)
        elif what == "attach":
            if name not in self._policies or value not in self._iam.users:
                return "The specified policy or user does not exist."
            self._iam.put_user_policy(value, name, self._policies[name])
        return ""

    def _user(self, name: str, password: str) -> None:
        if name not in self._iam.users:
            self._iam.create_user("us-east-1", name)
            self._iam.create_access_key(name)
        self._iam.users[name].access_keys[0].access_key_id = name
        self._iam.users[name].access_keys[0].secret_access_key = password

    @staticmethod
    def _answer(start: Start, status: str, text: str = "") -> Iterable[bytes]:
        start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
        return [text.encode()]


def _end(number: int, frame: object) -> None:
    """As process 1 it would not end by itself."""
    os._exit(0)


def main() -> None:
    """Until it is killed."""
    parser = argparse.ArgumentParser(prog="minio")
    parser.add_argument("verb", choices=["server"])
    parser.add_argument("directory")
    parser.add_argument("--address", default="0.0.0.0:9000")
    given = parser.parse_args()
    host, _, port = given.address.rpartition(":")
    signal.signal(signal.SIGTERM, _end)
    server = Server(secret("MINIO_ROOT_USER_FILE"), secret("MINIO_ROOT_PASSWORD_FILE"))
    run_simple(host, int(port), server, threaded=True)


if __name__ == "__main__":
    main()
