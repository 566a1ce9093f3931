"""A worker's health over HTTP: what it says, and that it holds nobody up."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.brokers.memory import MemoryBroker
from orchestrator.cli.wellness import Address
from orchestrator.dispatch import Dispatch
from orchestrator.health import Health, database_answers, failures, lease_fresh, not_draining, serving
from orchestrator.heartbeat import Heartbeat
from orchestrator.measured_store import MeasuredStore
from orchestrator.metrics import CONTENT_TYPE, ProcessMetrics
from orchestrator.waking import Waking
from orchestrator.worker import Claims, Worker
from state.errors import InputError, StoreUnavailable
from state.liveness import FileLiveness
from state.records import QUEUE
from state.sqlite import SqliteStore

PATIENCE = 30.0
SOON = 10.0


async def get(port: int, path: str) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body)"""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await asyncio.wait_for(reader.read(), PATIENCE)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status.split()[1]), headers, body


async def said(port: int, path: str) -> tuple[int, dict[str, object]]:
    status, _, body = await get(port, path)
    return status, json.loads(body)


async def test_a_lease_that_is_old_is_not_healthy() -> None:
    age = [0.0]
    async with serving(Health(alive={"lease": lease_fresh(lambda: age[0], limit=10.0)}), port=0) as port:
        assert await said(port, "/healthz") == (200, {"status": "ok"})
        age[0] = 12.34
        reasons = {"lease": "not renewed for 12.3 s; the limit is 10 s"}
        assert await said(port, "/healthz") == (503, {"status": "failing", "reasons": reasons})
        assert await said(port, "/readyz") == (200, {"status": "ok"}), "it has other reasons"
        age[0] = 0.1
        assert (await said(port, "/healthz"))[0] == 200


async def test_ready_is_who_hears_from_its_database_and_takes_todos() -> None:
    silent, draining = [0.0], [False]
    ready = {"database": database_answers(lambda: silent[0]), "worker": not_draining(lambda: draining[0])}
    async with serving(Health(ready=ready), port=0) as port:
        assert (await said(port, "/readyz"))[0] == 200
        silent[0], draining[0] = 60.0, True
        status, answer = await said(port, "/readyz")
        assert status == 503
        assert answer["reasons"] == {"database": "no answer for 60.0 s; the limit is 5 s", "worker": "draining"}


async def test_checks_may_wait_and_break_and_say_nothing_private(caplog: pytest.LogCaptureFixture) -> None:
    async def waits() -> str | None:
        await asyncio.sleep(0)
        return None

    async def store() -> str | None:
        raise StoreUnavailable("cannot reach postgresql://me:hunter2@db/atlas")

    def breaks() -> str | None:
        raise ValueError("hunter2")

    found = await failures({"waits": waits, "store": store, "breaks": breaks})
    assert found == {"store": StoreUnavailable.code, "breaks": "ValueError"}
    assert "a check of this worker's health broke" in caplog.text, "that is a defect: its traceback is in the log"


async def test_a_check_that_hangs_has_failed() -> None:
    found = await failures({"hangs": lambda: asyncio.sleep(3600, None)}, within=0.05)
    assert found == {"hangs": "no answer within 0.05 s"}


async def test_metrics_are_text_for_prometheus() -> None:
    metrics = ProcessMetrics(slots=2)
    async with serving(Health(metrics=lambda: asyncio.sleep(0, metrics.text())), port=0) as port:
        status, headers, body = await get(port, "/metrics")
        assert (status, headers["content-type"]) == (200, CONTENT_TYPE)
        names = {family.name for family in text_string_to_metric_families(body.decode())}
        assert {"atlas_worker_slots", "atlas_todos_in_progress", "atlas_wake_ups"} <= names
        assert (await get(port, "/"))[0] == 404
    async with serving(Health(), port=0) as port:
        assert (await get(port, "/metrics"))[0] == 404


async def test_what_is_not_asked_with_get_is_refused() -> None:
    async with serving(Health(), port=0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        assert b" 405 " in await asyncio.wait_for(reader.readline(), PATIENCE)
        writer.close()


async def test_an_address_that_is_taken_is_told() -> None:
    async with serving(Health(), port=0) as port:
        with pytest.raises(InputError, match=str(port)):
            async with serving(Health(), port=port):
                pass
    with pytest.raises(InputError):
        async with serving(Health(), port=99_999):
            pass


async def _hanging() -> bytes:
    await asyncio.sleep(3600)
    return b""


@pytest.mark.parametrize("sent", [b"", b"GET /hea", b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"])
async def test_nobody_who_asks_holds_up_the_end(sent: bytes) -> None:
    """Neither one who is silent, nor one in the middle of a request, nor one whose answer does not come."""
    async with serving(Health(metrics=_hanging), port=0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        await writer.drain()
        assert (await get(port, "/healthz"))[0] == 200  # so the other has been seen
        begun = time.monotonic()
    assert time.monotonic() - begun < SOON
    with suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    with pytest.raises(OSError, match=r"refused|failed"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_it_ends_when_its_worker_is_cancelled() -> None:
    begun = asyncio.Event()

    async def works() -> None:
        async with serving(Health(), port=0):
            begun.set()
            await asyncio.sleep(3600)

    task = asyncio.create_task(works())
    await begun.wait()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=SOON)
    assert done
    assert task.cancelled()
    assert {each.get_name() for each in asyncio.all_tasks()} & {"health"} == set()


async def test_signals_are_the_workers_own() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with serving(Health(), port=0) as port:
        await get(port, "/healthz")
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_a_unix_socket_for_whom_ports_are_scarce(tmp_path: Path) -> None:
    path = tmp_path / "health"
    for _ in range(2):  # what the first leaves is no hindrance
        async with serving(Health(), port=0, host=str(path)):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert b" 200 " in await asyncio.wait_for(reader.readline(), PATIENCE)
            writer.close()
            with pytest.raises(InputError, match="somebody listens there"):
                async with serving(Health(), port=0, host=str(path)):
                    pass
            assert path.is_socket()
    path.unlink()
    path.write_text("mine")
    with pytest.raises(InputError, match=f"cannot listen on {path}: .*in use"):
        async with serving(Health(), port=0, host=str(path)):
            pass
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "address", "told"),
    [
        ("9464", Address("127.0.0.1", 9464), "http://127.0.0.1:7"),
        ("[::1]:0", Address("::1", 0), "http://[::1]:7"),
        ("unix:///run/atlas", Address("/run/atlas"), "unix:///run/atlas"),
    ],
)
def test_addresses(text: str, address: Address, told: str) -> None:
    assert (Address.read(text), address.told(7)) == (address, told)
    with pytest.raises(InputError, match="is no address"):
        Address.read(f"unix:{text}:")


async def test_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        async with serving(Health(), host="::1", port=0) as port:
            assert port
    except InputError:
        pytest.skip("no IPv6 here")


class Idle:
    """Nothing that a lease could hold."""

    def pulse(self) -> None:
        return

    def kill_all(self) -> None:
        return


async def test_a_real_worker_is_well_until_it_drains(tmp_path: Path) -> None:
    metrics = ProcessMetrics(slots=2)
    store = MeasuredStore(SqliteStore(tmp_path / "a.db"), metrics)
    broker, liveness = MemoryBroker(), FileLiveness(tmp_path / "workers")
    claims = Claims(boot=liveness.boot, placement=QUEUE, slots=2)
    worker = Worker(Dispatch(store, broker), Waking(broker), {}, claims, meter=metrics)
    heartbeat = Heartbeat(liveness, Idle(), worker.lease_lost)
    metrics.lease_age(lambda: heartbeat.age)
    running = asyncio.create_task(worker.run())
    health = Health(
        alive={"lease": lease_fresh(lambda: heartbeat.age)},
        ready={"database": database_answers(lambda: store.silent), "worker": not_draining(lambda: worker.draining)},
        metrics=lambda: asyncio.sleep(0, metrics.text()),
    )
    async with serving(health, port=0) as port:
        assert await said(port, "/healthz") == (200, {"status": "ok"})
        assert await said(port, "/readyz") == (200, {"status": "ok"})
        assert b"atlas_lease_age_seconds 0." in (await get(port, "/metrics"))[2]
        await worker.drain(0.0)
        assert await said(port, "/readyz") == (503, {"status": "failing", "reasons": {"worker": "draining"}})
        assert (await said(port, "/healthz"))[0] == 200, "that is no reason to kill it"
        await asyncio.wait_for(running, PATIENCE)
    await heartbeat.close()
    liveness.close()
    await store.close()
