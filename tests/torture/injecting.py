"""Failing the operating system's calls from outside: in process, each ``os`` function wrapped; or by strace, for real."""

import ctypes
import fcntl
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from types import ModuleType, TracebackType
from typing import Any, Final, NamedTuple, Self

# read(2) is left out: the store's files are read with pread; and what strace interrupts when it attaches is a read.
TRACED: Final = "%file,pread64,pwrite64,fsync,fdatasync,ftruncate,fstat,flock,close,getdents64,fcntl"
_LINE: Final = re.compile(r"(?:\d+ +)?(\w+)\((.*)\) += ")
_WRAPPED: Final[tuple[tuple[ModuleType, str], ...]] = (
    *((os, name) for name in ("open", "close", "pread", "pwrite", "fsync", "fdatasync", "ftruncate", "fstat", "stat")),
    *((os, name) for name in ("lstat", "mkdir", "replace", "unlink", "scandir", "listdir")),
    (fcntl, "flock"),
)
SELF_RETRYING: Final = frozenset(
    ["open", "pread", "pwrite", "fsync", "fdatasync", "ftruncate", "fstat", "flock", "close"]
)
"""What Python itself calls again after EINTR (PEP 475; close is not called again, and does not fail)."""


class Call(NamedTuple):
    """A call that a process made: its name, the file it was about, and how it ended."""

    name: str
    file: str
    failed: bool = False


class Injection:
    """Wraps the ``os`` functions that storage uses; fails some of their calls. A context manager.

    Args:
        failures: The errno to fail the Nth call with, by N, from 0 over all calls.
    """

    def __init__(self, failures: Mapping[int, int]) -> None:
        self.calls: list[Call] = []
        self._failures = failures
        self._files: dict[int, str] = {}
        self._real: list[tuple[ModuleType, str, Callable[..., Any]]] = []

    def __enter__(self) -> Self:
        for module, name in _WRAPPED:
            real = getattr(module, name)
            self._real.append((module, name, real))
            setattr(module, name, self._wrap(name, real))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for module, name, real in self._real:
            setattr(module, name, real)

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: Any, *rest: Any, **named: Any) -> Any:
            file = self._files.get(first, "") if isinstance(first, int) else os.fspath(first)
            error = self._failures.get(len(self.calls))
            self.calls.append(Call(name, file, error is not None))
            if name == "close":
                self._files.pop(first, None)
                real(first)  # Linux closes the descriptor whatever it answers
            if error is not None:
                raise OSError(error, os.strerror(error), file)
            if name == "close":
                return None
            found = real(first, *rest, **named)
            if name == "open":
                self._files[found] = file
            return found

        return call


class Place(NamedTuple):
    """A system call of a command: its name, and which of the calls of that name it is, from 1."""

    name: str
    occurrence: int


def places_in(log: str, root: str) -> list[Place]:
    """Return the places of a strace log (with ``-y``) at which something below ``root`` is touched."""
    counts: dict[str, int] = {}
    found = []
    for line in log.splitlines():
        match = _LINE.match(line)
        if match:
            name = match[1]
            counts[name] = counts.get(name, 0) + 1
            if root in match[2]:
                found.append(Place(name, counts[name]))
    return found


class Ended(NamedTuple):
    """How a traced command ended: its exit code or minus its signal, what it printed, what it said, and the trace."""

    code: int
    out: str
    said: str
    log: str


def run_traced(folder: str, command: Callable[[], int], *inject: str) -> Ended:
    """Run ``command`` in a forked child of this process with strace attached: no start of Python to wait for.

    Args:
        folder: Where to put what strace and the command write.
        command: What the child does; it returns its exit code.
        inject: What strace shall do, as its option ``-e inject=`` has it; without, it records.
    """
    out, said, log = (os.path.join(folder, name) for name in ("out", "said", "log"))
    for path in (out, said, log):
        with open(path, "wb"):
            pass
    waits, go = os.pipe()
    is_ready, ready = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        _run_child(ready, waits, command, out, said)
    os.close(waits)
    os.close(ready)
    options = [f"-einject={each}" for each in inject]
    options += [f"-etrace={','.join(each.split(':')[0] for each in inject) or TRACED}", *([] if inject else ["-y"])]
    try:
        os.read(is_ready, 1)
        tracer = subprocess.Popen(["strace", "-p", str(child), "-s0", "-o", log, *options], stderr=subprocess.PIPE)
        assert tracer.stderr is not None
        with tracer:
            first = tracer.stderr.readline()
            if b"attached" not in first:
                raise RuntimeError(f"strace: {first!r}")
            os.write(go, b"x")
            status = os.waitpid(child, 0)[1]
            child = 0
    finally:
        os.close(go)
        os.close(is_ready)
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    texts = []
    for path in (out, said, log):
        with open(path, encoding="utf-8", errors="replace") as file:
            texts.append(file.read())
    return Ended(os.waitstatus_to_exitcode(status), *texts)


def _run_child(ready: int, waits: int, command: Callable[[], int], out: str, said: str) -> None:
    code = 99
    try:
        _let_be_traced()
        for path, fd in ((out, 1), (said, 2)):
            opened = os.open(path, os.O_WRONLY | os.O_APPEND)
            os.dup2(opened, fd)
            os.close(opened)
        os.write(ready, b"x")
        if os.read(waits, 1):
            code = command()
    finally:
        os._exit(code)


def _let_be_traced() -> None:
    """Allow a process that is not our parent to trace us where Yama asks (PR_SET_PTRACER)."""
    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1 & (1 << 64) - 1), 0, 0, 0)


def tracing_hindrance() -> str | None:
    """Say why strace cannot be used here, if it cannot."""
    if shutil.which("strace") is None:
        return "there is no strace"
    from tests.torture.judging import work_folder

    with work_folder() as folder:
        try:
            ended = run_traced(folder, lambda: 7)
        except (RuntimeError, OSError) as error:
            return f"strace cannot attach: {error}"
    return None if ended.code == 7 else f"strace does not work: {ended}"
