"""Limits: programs that are ended when their time is over or they say too much, and Python code that is interrupted."""

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import Final

from evcli.errors import CodeFailed, OverTime

MOST_OUTPUT: Final = 64 << 20
"""Bytes that a program may print: a commit holds no more."""

AGAIN: Final = 1.0
"""Seconds after which code that has caught its interruption is interrupted again."""


class _Interrupt(BaseException):
    """Ends the user's code, whatever exceptions it catches."""


def run_limited(
    command: str, given: bytes, *, directory: str, timeout: float | None
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command line by ``sh -c`` with ``given`` on standard input; kill it, and what it started, after ``timeout`` s.

    Raises:
        CodeFailed: If it takes longer, prints too much, or cannot be started.
    """
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            bufsize=0,
            cwd=directory,
            start_new_session=True,
        )
    except OSError as error:
        raise CodeFailed(str(error), "check that there is such a program, and the memory") from error
    try:
        out, said = _exchange(process, given, timeout)
    except BaseException:
        with suppress(OSError):  # it has not been waited for, so the group's number is still its own
            os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        for end in (process.stdin, process.stdout, process.stderr):
            if end is not None:
                end.close()
        process.wait()
    return subprocess.CompletedProcess(command, process.returncode, out, said)


def _exchange(process: "subprocess.Popen[bytes]", given: bytes, timeout: float | None) -> tuple[bytes, bytes]:
    """Write to a process and read what it prints, until it and whoever has its outputs have ended."""
    deadline = None if timeout is None else time.monotonic() + timeout
    assert process.stdin and process.stdout and process.stderr  # noqa: PT018 (all three are pipes)
    stdin, left = process.stdin, memoryview(given)
    said = {process.stdout: bytearray(), process.stderr: bytearray()}
    os.set_blocking(stdin.fileno(), False)
    with DefaultSelector() as selector:
        selector.register(stdin, EVENT_WRITE)
        for end in said:
            selector.register(end, EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(_left_until(deadline, timeout)):
                if key.fileobj is stdin:
                    try:
                        left = left[os.write(stdin.fileno(), left[: select.PIPE_BUF]) :]
                    except BrokenPipeError:  # it does not want the rest
                        left = left[:0]
                    is_over = not left
                else:
                    is_over = not _read_more(key.fd, said[key.fileobj])  # type: ignore[index]  # one of the two
                if is_over:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]  # all of them are files
    try:
        process.wait(_left_until(deadline, timeout))
    except subprocess.TimeoutExpired:
        raise _too_long(timeout) from None
    return bytes(said[process.stdout]), bytes(said[process.stderr])


def _read_more(fd: int, said: bytearray) -> bool:
    chunk = os.read(fd, 1 << 16)
    said += chunk
    if len(said) > MOST_OUTPUT:
        raise CodeFailed(f"it printed more than {MOST_OUTPUT >> 20} MiB", "see why: a commit holds no more")
    return bool(chunk)


def _left_until(deadline: float | None, timeout: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise _too_long(timeout)
    return left


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Interrupt what runs in the main thread after so many seconds; another thread cannot be interrupted.

    Code that catches the interruption is interrupted again, a second later.

    Raises:
        CodeFailed: Within it, once they are over.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    is_running = True

    def interrupt(_signal: int, _frame: object) -> None:
        if is_running:
            raise _Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        try:
            yield
        finally:
            is_running = False
    except _Interrupt:
        raise _too_long(seconds) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _too_long(seconds: float | None) -> OverTime:
    return OverTime(f"it took longer than {seconds:g} s", "see why, or give it longer: --timeout 2m")
