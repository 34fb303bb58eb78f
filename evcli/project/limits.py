"""Limits in time: programs that are ended when theirs is over, and Python code that is interrupted."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from evcli.errors import CodeFailed, OverTime


class _Interrupt(BaseException):
    """Ends the user's code, whatever exceptions it catches."""


def run_limited(
    command: str, given: bytes, *, directory: str, timeout: float | None
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command line by ``sh -c`` with ``given`` on standard input; kill it, and what it started, after ``timeout`` s.

    Raises:
        CodeFailed: If it takes longer, or cannot be started.
    """
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command], stdin=pipe, stdout=pipe, stderr=pipe, cwd=directory, start_new_session=True
        )
    except OSError as error:
        raise CodeFailed(str(error), "check that there is such a program, and the memory") from error
    try:
        out, said = process.communicate(given, timeout)
    except BaseException as error:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # somebody it started may have left the session with the pipe
            process.communicate(timeout=1)
        if isinstance(error, subprocess.TimeoutExpired):
            raise _too_long(timeout) from error
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, said)


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Interrupt what runs in the main thread after so many seconds; another thread cannot be interrupted.

    Raises:
        CodeFailed: Within it, once they are over.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal: int, _frame: object) -> None:
        raise _Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _Interrupt:
        raise _too_long(seconds) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _too_long(seconds: float | None) -> OverTime:
    return OverTime(f"it took longer than {seconds:g} s", "see why, or give it longer: --timeout 2m")
