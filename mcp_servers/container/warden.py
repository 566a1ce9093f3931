"""The supervisor of one host command: when it has ended, nothing that the command started is alive.

A script of its own, run by an isolated interpreter (see `host`), in one of two forms:

- ``namespace``: PID 1 of a new user and PID namespace. Its end, however it comes, is the end of everything inside.
- ``tree``: where that is not allowed, a subreaper. Orphans come to it, and it kills until it has no child. Only a
  SIGKILL from the command to the warden itself can leave something behind.

Arguments: form, three descriptors (control, status, a pidfd of the worker), timeout and lease in seconds, the scratch
directory, the number of strings in argv, then limits as ``NAME=value``. Standard input holds argv and the environment,
each string ended by NUL. Standard output and error belong to the command.

Control: end of file kills, ``K`` cancels, any other byte renews the lease. Status: ``up``, and at the end a line
``<exit|timeout|lease|cancel> <code> <seconds>``.

It starts for every command, so it imports only what is cheap: `signal` alone would cost 5 ms.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import sys
import time

SIGKILL, SIGCHLD = 9, 17
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38
SIG_DFL, SIG_IGN = ctypes.c_void_p(0), ctypes.c_void_p(1)
LAST_SIGNAL = 31
NOT_FOUND, NOT_EXECUTABLE = 127, 126

libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> None:
    """Run one command to its end; see the module."""
    form, control, status, worker, timeout, lease, scratch, count, *limits = arguments
    if form == "namespace" and os.getpid() != 1:
        raise SystemExit("atlas warden: not PID 1 of its namespace")
    for descriptor in (control, status, worker):
        os.set_inheritable(int(descriptor), False)
    for number in range(1, LAST_SIGNAL + 1):  # a stray `kill $PPID` must not end the supervision
        libc.signal(number, SIG_DFL if number == SIGCHLD else SIG_IGN)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # the command has our uid: it must not trace us or open our descriptors
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    argv, environment = read_command(int(count))
    os.write(int(status), b"up\n")
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        become(argv, environment, limits)
    ended: list[int] = []
    cause = watch(child, ended, int(control), int(worker), started + float(timeout), float(lease))
    seconds = time.monotonic() - started
    if form == "namespace":
        kill_namespace(child, ended)
    else:
        kill_tree(child, ended)
    remove_tree(scratch)
    code = os.waitstatus_to_exitcode(ended[0] if ended else SIGKILL)
    os.write(int(status), f"{cause} {code if code >= 0 else 128 - code} {seconds:.6f}\n".encode())
    os._exit(0)


def read_command(count: int) -> tuple[list[bytes], dict[bytes, bytes]]:
    """argv and the environment from standard input, which becomes /dev/null."""
    size = os.fstat(0).st_size
    text = b""
    while len(text) < size:
        text += os.read(0, size - len(text))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    strings = text.split(b"\0")[:-1]
    pairs = (string.partition(b"=") for string in strings[count:])
    return strings[:count], {name: value for name, _, value in pairs}


def become(argv: list[bytes], environment: dict[bytes, bytes], limits: list[str]) -> None:
    """In the child: give up what could be used against the warden, then be the command. Does not return."""
    import resource

    os.setsid()
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    for number in range(1, LAST_SIGNAL + 1):
        libc.signal(number, SIG_DFL)
    for limit in limits:
        name, _, value = limit.partition("=")
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        bound = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
        resource.setrlimit(kind, (bound, hard if name == "RLIMIT_NOFILE" else bound))  # the one a worker has raised
    capability = 0
    while libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    error = execute(argv, environment)
    why = b"not found" if error is None else os.strerror(error).encode()
    os.write(2, b"atlas: " + argv[0] + b": " + why + b"\n")
    os._exit(NOT_FOUND if error is None else NOT_EXECUTABLE)


def execute(argv: list[bytes], environment: dict[bytes, bytes]) -> int | None:
    """Become the program, looked up in PATH as a shell does. Returns only why not: an error number, None if there is
    no such program. A directory of PATH that may not be searched holds none."""
    name = argv[0]
    refused = None
    places = [b""] if b"/" in name else environment.get(b"PATH", b"").split(b":")
    for place in places if name else ():
        file = name if b"/" in name else (place or b".") + b"/" + name
        try:
            os.execve(file, argv, environment)  # noqa: S606
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR) or not os.access(file, os.F_OK):
                continue
            refused = error.errno
            if refused != errno.EACCES:
                break
    return refused


def watch(child: int, ended: list[int], control: int, worker: int, deadline: float, lease: float) -> str:
    """Wait for the end of the command, or for a reason to end it."""
    poll = select.poll()
    for descriptor in (os.pidfd_open(child), control, worker):
        poll.register(descriptor, select.POLLIN)
    renewed = time.monotonic()
    while True:
        left = min(deadline, renewed + lease) - time.monotonic()
        ready = {descriptor for descriptor, _ in poll.poll(max(0.0, left) * 1000 + 1)}
        reap(child, ended)
        if ended:
            return "exit"
        if worker in ready:
            return "lease"
        if control in ready:
            said = os.read(control, 4096)
            if not said or b"K" in said:
                return "cancel" if said else "lease"
            renewed = time.monotonic()
        now = time.monotonic()
        if now >= deadline:
            return "timeout"
        if now >= renewed + lease:
            return "lease"


def reap(child: int, ended: list[int], options: int = os.WNOHANG) -> bool:
    """Collect children that have ended; False when there are none left at all. `ended` receives the status of `child`:
    once, because its number may come again, for an orphan."""
    while True:
        try:
            pid, status = os.waitpid(-1, options)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        if pid == child and not ended:
            ended.append(status)


def kill_namespace(child: int, ended: list[int]) -> None:
    """As PID 1: one signal reaches every process of the namespace at once, and every orphan becomes our child."""
    try:
        os.kill(-1, SIGKILL)
    except ProcessLookupError:
        return
    reap(child, ended, 0)


def kill_tree(child: int, ended: list[int]) -> None:
    """Kill our children until there are none: the death of each makes its own children ours, so none is out of reach.

    Only children are signalled, because only their numbers are certain: nobody else gets one before we have reaped it.
    Those further down could be reused between looking and killing: whatever forks without end uses all up in seconds.
    """
    while reap(child, ended):
        for pid in children():
            os.kill(pid, SIGKILL)


def children() -> list[int]:
    """Our children, zombies included."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:  # noqa: PTH123 - pathlib is slow to import
            return [int(pid) for pid in file.read().split()]
    except OSError:  # a kernel without this file
        pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208
        return [pid for pid in pids if parent(pid) == os.getpid()]


def parent(pid: int) -> int:
    """The parent of a process, 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def remove_tree(path: str) -> None:
    """Remove a directory that hostile code has written to, if it is there. Symlinks stay unfollowed."""
    try:
        for entry in os.listdir(path):  # noqa: PTH208
            os.rmdir(f"{path}/{entry}")  # noqa: PTH106
        os.rmdir(path)  # noqa: PTH106
    except FileNotFoundError:
        return
    except OSError:
        root = os.path.abspath(f"{__file__}/../../..")  # noqa: PTH100 - the warden's own interpreter knows it not
        if root not in sys.path:
            sys.path.append(root)
        from mcp_servers.storage.clearing import discard

        discard(path)


if __name__ == "__main__":
    main(sys.argv[1:])
