"""What docker/ holds: the compose files parse and give no secret away, the image is built and confined."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from mcp_servers.container.engine import Engine
from tests.services.compose_stack import program

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
FILES = (
    [DOCKER / "compose.yaml", DOCKER / "compose.ports.yaml"],
    [DOCKER / "compose.yaml", DOCKER / "compose.host.yaml"],
)
HARDENED = ["--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
OWN = {"bucket", "migrate", "worker", "server", "atlas", "guard"}
BUILD_SECONDS = 900
OURS_MEGABYTES = 400
"""Atlas and its libraries, without the base: about half of that today."""


def composed(files: Sequence[Path], **environ: str) -> dict[str, Any]:
    """The files as compose understands them."""
    arguments = [*program(), *(part for file in files for part in ("-f", str(file))), "--profile", "tools", "config"]
    done = subprocess.run(
        arguments, capture_output=True, text=True, check=False, env={**os.environ, **environ}, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return cast("dict[str, Any]", yaml.safe_load(done.stdout))


@pytest.fixture(params=FILES, ids=["bridge", "host"])
def rendered(request: pytest.FixtureRequest) -> dict[str, Any]:
    return composed(request.param)


def test_secrets_are_files_and_nothing_else(rendered: dict[str, Any]) -> None:
    for name, service in services(rendered).items():
        environment = cast("Mapping[str, object]", service.get("environment") or {})
        for variable in environment:
            secret = any(word in variable.upper() for word in ("PASS", "SECRET", "TOKEN", "KEY", "_URL", "CREDENTIAL"))
            assert not secret or variable.endswith("_FILE") or variable == "ATLAS_STORE_URL", f"{name}: {variable}"
        said = json.dumps([service.get(part) for part in ("environment", "command", "entrypoint", "healthcheck")])
        assert "@" not in said.replace("atlas@localhost", ""), f"{name}: a URL with a password?"
    for secret in rendered["secrets"].values():
        assert set(secret) <= {"file", "name"}


def test_nothing_of_ours_is_more_than_it_must_be(rendered: dict[str, Any]) -> None:
    found = services(rendered)
    for name in OWN & found.keys():
        service = found[name]
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name
        if name == "bucket":
            assert service["user"] == "10001:10001"
        elif name != "guard":
            assert "user" not in service, f"{name}: the image's own user"
            assert not service.get("cap_add"), name


def test_nothing_has_more_rights_or_takes_more_than_is_said(rendered: dict[str, Any]) -> None:
    for name, service in services(rendered).items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert service["logging"]["options"]["max-size"], name
        once = name in ("bucket", "migrate", "atlas")
        assert once or (service["restart"], bool(service["healthcheck"]["test"])) == ("unless-stopped", True), name


def test_the_root_user_of_s3_is_for_nobody_but_who_makes_the_others(rendered: dict[str, Any]) -> None:
    for name, service in services(rendered).items():
        has = "minio_password" in json.dumps(service.get("secrets") or [])
        assert has == (name in ("minio", "bucket")), name


def test_only_the_guard_reaches_the_engine(rendered: dict[str, Any]) -> None:
    for name, service in services(rendered).items():
        assert ("docker.sock" in json.dumps(service)) == (name == "guard"), name
    worker, guard = services(rendered)["worker"], services(rendered)["guard"]
    assert guard["network_mode"] == "none"
    assert not guard.get("secrets"), "it needs none"
    assert worker["environment"]["ATLAS_CONTAINERS_ONLY"] == "true"
    socket = worker["environment"]["DOCKER_HOST"]
    assert f"--listen={socket}" in guard["command"]
    assert f"--binds={worker['environment']['ATLAS_HOME']}" in guard["command"]


def test_the_server_is_for_this_host_only(rendered: dict[str, Any]) -> None:
    server = services(rendered)["server"]
    published = json.dumps(server.get("ports") or [])
    if server.get("network_mode") == "host":
        assert "--host" not in server["command"], "at 127.0.0.1"
        assert not server.get("ports")
    else:
        assert "127.0.0.1" in published
    assert "--no-worker" in server["command"]
    others = {name: service for name, service in services(rendered).items() if name != "server"}
    assert not any(service.get("ports") for service in others.values())
    has_token = {name for name, service in services(rendered).items() if "token" in json.dumps(service.get("secrets"))}
    assert has_token == {"server"}


def test_the_image_gets_every_package() -> None:
    """A package that is not copied would be missed when something needs it, not when the image is built."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    lines, sent = (DOCKER / "Dockerfile").read_text().splitlines(), (ROOT / ".dockerignore").read_text().splitlines()
    for package in packages:
        assert f"COPY {package} ./{package}" in lines, package
        assert f"!{package}" in sent, package


def test_workers_scale(rendered: dict[str, Any]) -> None:
    worker = services(rendered)["worker"]
    assert "container_name" not in worker
    assert not worker.get("ports")
    assert int(worker["scale"]) == 2
    assert worker["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_what_workers_share_with_the_engines_host_has_one_path() -> None:
    volumes = services(composed(FILES[0], ATLAS_DATA="/srv/atlas"))["worker"]["volumes"]
    for volume in cast("list[dict[str, str] | str]", volumes):  # the plugin says it in full
        if isinstance(volume, str):
            source, target = volume.split(":")[:2]
        else:
            source, target = volume["source"], volume["target"]
        assert source == target
        assert source.startswith("/srv/atlas/")


def test_prepare_makes_secrets_once(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("it gives directories to another user")
    environ = {**os.environ, "ATLAS_DATA": str(tmp_path / "data"), "ATLAS_SECRETS": str(tmp_path / "secrets")}

    def prepare(*arguments: str) -> dict[str, str]:
        subprocess.run(
            ["sh", str(DOCKER / "prepare.sh"), *arguments], check=True, env=environ, timeout=30, capture_output=True
        )
        return {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}

    made = prepare()
    assert set(made) == {Path(each["file"]).name for each in compose_file()["secrets"].values()}
    assert prepare("--host") == made, "what is there stays"
    assert made["postgres_password"] in made["database_url"]
    assert made["minio_password"] not in made["aws_credentials"], "workers are not the root user"
    assert "@rabbitmq:5672/" in made["broker_url"]
    for secret in (tmp_path / "secrets").iterdir():
        secret.unlink()
    environ["ATLAS_RABBITMQ_PORT"] = "5673"
    assert "@127.0.0.1:5673/" in prepare("--host")["broker_url"]
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "home").stat().st_uid == 10001
    assert (tmp_path / "data").stat().st_uid == 0

    (tmp_path / "secrets").chmod(0o755)
    with pytest.raises(subprocess.CalledProcessError):
        prepare()
    (tmp_path / "secrets").chmod(0o700)

    (others := tmp_path / "others" / "home").mkdir(parents=True)
    for each in (others, others.parent):
        each.chmod(0o711)
    environ["ATLAS_DATA"] = str(others.parent)
    with pytest.raises(subprocess.CalledProcessError):
        prepare()
    assert {each.stat().st_mode & 0o777 for each in (others, others.parent)} == {0o711}, "what is there stays"
    assert others.stat().st_uid == 0


def compose_file() -> dict[str, Any]:
    return cast("dict[str, Any]", yaml.safe_load((DOCKER / "compose.yaml").read_text()))


def services(rendered: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return cast("dict[str, dict[str, Any]]", rendered["services"])


@pytest.fixture(scope="module")
def image(docker_url: str, python_image: str) -> str:
    """Ours, built on a base that is here."""
    name = "atlas-test/atlas:1"
    built = subprocess.run(
        ["docker", "-H", docker_url, "build", "--network=host", f"--build-arg=BASE={python_image}", "-q", "-t", name,
         "-f", str(DOCKER / "Dockerfile"), str(ROOT)],
        capture_output=True, text=True, check=False, timeout=BUILD_SECONDS,
        env={**os.environ, "DOCKER_BUILDKIT": os.environ.get("DOCKER_BUILDKIT", "0")},
    )  # fmt: skip
    assert built.returncode == 0, built.stderr[-3000:]
    return name


def inside(url: str, image: str, *command: str, entrypoint: str | None = None) -> subprocess.CompletedProcess[str]:
    chosen = [f"--entrypoint={entrypoint}"] if entrypoint else []
    return subprocess.run(
        ["docker", "-H", url, "run", "--rm", *HARDENED, *chosen, image, *command],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.docker
@pytest.mark.long
@pytest.mark.timeout(BUILD_SECONDS + 60)
async def test_the_image(docker_url: str, image: str) -> None:
    told = inside(docker_url, image, "--help")
    assert (told.returncode, "Takes a plan and keeps at it" in told.stdout) == (0, True), told.stderr
    script = (
        "id -u; git --version; for p in gcc cc make uv; do command -v $p; done; touch /x 2>/dev/null || echo sealed"
    )
    said = inside(docker_url, image, "-c", script, entrypoint="sh").stdout.splitlines()
    assert [said[0], said[1].split()[0], *said[2:]] == ["10001", "git", "sealed"]
    privileged = inside(docker_url, image, "/", "-xdev", "-type", "f", "-perm", "/6000", entrypoint="find")
    assert privileged.stdout == ""
    told = inside(docker_url, image, "-m", "mcp_servers.container.guard", "--help", entrypoint="python")
    assert told.returncode == 0, told.stderr
    needs = "import orchestrator.cli.service_desk, opentelemetry.sdk.trace, opentelemetry.exporter.otlp.proto.http"
    told = inside(docker_url, image, "-c", needs, entrypoint="python")
    assert told.returncode == 0, told.stderr
    told = inside(docker_url, image, "-sxm", "/opt/atlas", entrypoint="du")
    assert int(told.stdout.split()[0]) < OURS_MEGABYTES, "what is added to the base: " + told.stdout
    config = cast(
        "dict[str, Any]", (await Engine(docker_url).request("GET", f"/images/{image}/json")).fields()["Config"]
    )
    assert config["User"] == "10001:10001"
    assert config["Labels"]["org.opencontainers.image.title"] == "Atlas"
