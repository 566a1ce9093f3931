"""Commands on this host, each under a `warden` that dies with the worker and takes every descendant along.

It keeps accidents from spreading, not attackers: a command reads what the worker's user may read. It has no
capabilities, gains no privileges, sees only its own processes (form ``namespace``), and of the worker's environment
nothing but PATH. HOME and TMPDIR are scratch directories that are removed with it.

Mounts are copies, made before the start: files read-only, the source untouched. A writable mount would need the
source itself, so it is refused: let the command write inside its working directory. Of the resources, ``memory`` bounds
the data of each process (RLIMIT_DATA, which leaves reserved address space alone), ``pids`` bounds processes where they
can be counted by themselves (RLIMIT_NPROC in a namespace, without root), ``network=False`` needs the namespace form,
and ``cpus`` has no meaning here. The kernel's out-of-memory killer cannot be told apart from another SIGKILL.
"""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Literal

from mcp_servers.container.admission import Availability, refusal, require_workdir
from mcp_servers.container.completion import in_thread
from mcp_servers.container.lifelines import Lifeline, Lifelines
from mcp_servers.container.mountpoints import copy_in
from mcp_servers.container.supervision import Warden, unshare
from mcp_servers.container.warden import remove_tree
from state.errors import SandboxUnavailable
from state.ports import Exit, Resources, SandboxCommand, WriteOutput

Form = Literal["namespace", "tree"]
PROBE_SECONDS = 10.0


class HostSandbox:
    """The `Sandbox` port on this host. Linux only.

    `scratch` is where HOME directories are made (default: the system's temporary directory), `path` the PATH of the
    commands (default: the worker's), `form` how they are held (default: the better one that works). `files` is how many
    they may have open, unless they raise it (default: as many as the worker).
    """

    def __init__(
        self, *, scratch: Path | None = None, path: str | None = None, form: Form | None = None,
        files: int | None = None,
    ) -> None:  # fmt: skip
        self._scratch = scratch
        self._own_limits = [f"RLIMIT_NOFILE={files}"] if files else []
        self._path = path if path is not None else os.environ.get("PATH", os.defpath)
        self._form: Form | None = form
        self._network: bool | None = None
        self._lifelines = Lifelines()

    @property
    def kind(self) -> Literal["host"]:
        return "host"

    async def probe(self) -> Availability:
        """How commands are held on this host, or why they can't be."""
        try:
            form = await self._chosen_form()
        except SandboxUnavailable as error:
            return Availability(False, str(error))
        if form == "namespace":
            return Availability(True, "in user and PID namespaces")
        return Availability(True, "as process trees: this system does not allow user namespaces")

    async def ready(self, image: str | None, resources: Resources) -> None:
        """See `Sandbox.ready`; an image has no meaning here."""
        form = await self._chosen_form()
        if resources.network is False:
            await self._require_isolation(form)

    async def run(self, command: SandboxCommand, write: WriteOutput) -> Exit:
        """See `Sandbox.run`. `SandboxUnavailable` also for mounts and networks this host can't give."""
        if (why := refusal(command)) is not None:
            await write("stderr", f"atlas: {why}\n".encode())
            return Exit(126, "exit", 0.0)
        require_workdir(command)
        form = await self._chosen_form()
        if command.resources.network is False:
            await self._require_isolation(form)
        for mount in command.mounts:
            if mount.writable:
                raise SandboxUnavailable(
                    f"The host sandbox can't mount {mount.source} writable.",
                    "Write inside the working directory, or use `sandbox: docker`.",
                )
        with self._lifelines.hold() as line:
            return await self._run(command, form, line, write)

    async def _run(self, command: SandboxCommand, form: Form, line: Lifeline, write: WriteOutput) -> Exit:
        for mount in command.mounts:
            await in_thread(functools.partial(copy_in, command.workdir, mount))
        if self._scratch:
            self._scratch.mkdir(mode=0o700, exist_ok=True)  # somebody tidied up while nothing ran
        scratch = Path(tempfile.mkdtemp(prefix="atlas-", dir=self._scratch))
        try:
            environment = {"PATH": self._path, "LANG": "C.UTF-8"}
            for name, directory in (("HOME", scratch / "home"), ("TMPDIR", scratch / "tmp")):
                directory.mkdir(mode=0o700)
                environment[name] = str(directory)
            environment |= command.environment
            if line.cut:
                return Exit(137, "lease", 0.0)
            warden = Warden(command, environment, scratch, line, form, self._own_limits + _limits(command, form))
            return await warden.follow(write)
        finally:
            remove_tree(str(scratch))  # gone already, unless the warden never ran or was killed

    def pulse(self) -> None:
        """See `Sandbox.pulse`."""
        self._lifelines.pulse()

    def kill_all(self) -> None:
        """See `Sandbox.kill_all`."""
        self._lifelines.cut()

    async def close(self) -> None:
        """Kill everything, and return when it is gone."""
        self._lifelines.cut()
        await self._lifelines.idle()

    async def _chosen_form(self) -> Form:
        if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
            raise SandboxUnavailable("The host sandbox needs Linux 5.3 or newer.", "Use `sandbox: docker`.")
        if self._form is None:
            answered = await _answers(unshare(network=True))
            form: Form = "namespace" if answered else "tree"
            if answered is None:  # a machine that is too busy may do it later
                return form
            self._form = form
        return self._form

    async def _require_isolation(self, form: Form) -> None:
        if self._network is None:
            if form == "namespace":
                self._network = await _answers(unshare(network=False))
            elif self._form == form:  # and not for now only
                self._network = False
        if not self._network:
            raise SandboxUnavailable(
                "This host can't run a command without network: it allows no network namespaces to this user.",
                "Leave `network` out of the resources, or use `sandbox: docker`.",
            )


def _limits(command: SandboxCommand, form: Form) -> list[str]:
    limits = ["RLIMIT_CORE=0"]
    if command.resources.memory is not None:
        limits.append(f"RLIMIT_DATA={command.resources.memory}")
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2] if part.isdigit())
    if command.resources.pids is not None and form == "namespace" and release >= (5, 14):
        limits.append(f"RLIMIT_NPROC={command.resources.pids}")  # counted per user namespace since 5.14
    return limits


async def _answers(prefix: list[str]) -> bool | None:
    """None: not in time."""
    if shutil.which(prefix[0]) is None:
        return False
    process = await asyncio.create_subprocess_exec(
        *prefix,
        "true",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await process.wait() == 0
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
