"""Processes of a rig's own: forked, watched, stopped at a system call, and always ended."""

import contextlib
import ctypes
import gc
import os
import pickle
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Final, NoReturn

import orjson
import typer

from evcli.cli import append, log, output, replay
from evcli.cli.main import run as run_evcli
from tests.torture.rig import Figures

PRELOADED: Final = (append, log, orjson, output, replay, typer)
"""Loaded once here rather than by each process that is forked."""

CHANGING: Final = ("pwrite", "fdatasync", "fsync", "ftruncate", "replace", "mkdir")
"""The calls of `os` by which evcli changes a store."""

_DIE_WITH_PARENT: Final = 1  # prctl(2), PR_SET_PDEATHSIG
MEMORY: Final = "/dev/shm"  # noqa: S108 (a directory of its own is made there)


@contextlib.contextmanager
def folder(*, in_memory: bool = False) -> Iterator[Path]:
    """Make a directory and remove it at the end; ``in_memory`` where syncs cost nothing, if there is such a place."""
    parent = MEMORY if in_memory and os.path.isdir(MEMORY) else None
    path = Path(tempfile.mkdtemp(prefix="evcli-torture-", dir=parent))
    try:
        path.chmod(0o755)  # also for a process that gave up its rights
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def fork(run: Callable[[], object]) -> int:
    """Fork a process that runs ``run``, and return its id; it ends with 1, and says why, if that raises."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _end_with(run)
    return pid


def _end_with(run: Callable[[], object]) -> NoReturn:
    status = 1
    gc.freeze()  # what the parent has is not the child's to collect: looking it over copies every page of it
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)  # a rig that is killed leaves nobody behind
    try:
        result = run()
        status = result if isinstance(result, int) else 0
    except BaseException:  # noqa: BLE001 (a forked child must never return into its parent's code)
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def put(module: ModuleType, name: str, value: object) -> None:
    """Put something else in the place of a module's ``name``, in this process, which is the rig's own."""
    setattr(module, name, value)


def without_syncs() -> None:
    """Let syncs do nothing in this process: no disk has a part in what it does."""
    for name in ("fsync", "fdatasync"):
        put(os, name, lambda _fd: None)


def wait(pid: int) -> int:
    """Wait for a process; return its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def side_by_side(figures: Figures, parts: Iterable[Callable[[Path, Figures], None]], *, in_memory: bool) -> None:
    """Run the parts of a rig each in a process and a directory of its own, and add what they found to ``figures``."""
    with folder() as reports:
        pids = {fork(partial(_run_part, reports, number, part, in_memory)) for number, part in enumerate(parts)}
        failed = [pid for pid in pids if wait(pid)]
        for path in sorted(reports.iterdir()):
            add(figures, pickle.loads(path.read_bytes()))  # noqa: S301 (our own)
    for _ in failed:
        figures.find("exceptions", "a part of the rig failed; see above")


def _run_part(reports: Path, number: int, part: Callable[[Path, Figures], None], in_memory: bool) -> None:  # noqa: FBT001
    figures = Figures()
    with folder(in_memory=in_memory) as root:
        part(root, figures)
    (reports / f"{number:03d}").write_bytes(pickle.dumps(figures))


def wait_stopped(pid: int) -> bool:
    """Wait until a process stops; say whether it did, and did not end instead."""
    return os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])


def add(figures: Figures, found: Figures) -> None:
    """Add what was found elsewhere to ``figures``."""
    for kind in ("states", "lost", "partial", "duplicates", "exceptions"):
        setattr(figures, kind, getattr(figures, kind) + getattr(found, kind))
    figures.problems += found.problems[: 100 - len(figures.problems)]
    for what, count in found.more.items():
        figures.more[what] = figures.more.get(what, 0) + count


def end(pid: int) -> None:
    """Kill a process that may have gone already, and reap it."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def at_call(number: int, act: Callable[[], object], *, half: bool = False) -> None:
    """Make this process ``act`` before its ``number``-th call that changes a file; after ``half`` of it, if it writes."""
    made = 0

    def watched(name: str, original: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **more: object) -> object:
            nonlocal made
            made += 1
            if made == number:
                if half and name == "pwrite":
                    fd, text, offset = given
                    original(fd, bytes(text)[: len(bytes(text)) // 2], offset)  # type: ignore[call-overload]  # a buffer
                act()
            return original(*given, **more)

        return call

    for name in CHANGING:
        setattr(os, name, watched(name, getattr(os, name)))


def command(arguments: list[str]) -> int:
    """Run evcli in a forked process, without a word; return its exit code."""
    return wait(fork(partial(silently, arguments)))


def silently(arguments: list[str], said: str = os.devnull) -> int:
    """Run evcli in this process, which is the rig's own, and return its exit code; its words go to the file ``said``."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(2):
        os.dup2(nothing, stream)
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    return run_evcli(arguments)
