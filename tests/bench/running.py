"""Processes run and measured: their time, their memory, what they print; none outlives its time."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

ROOT: Final = Path(__file__).parent.parent.parent
MOST_SECONDS: Final = 1800.0
# In a small process of its own: a child begins with the memory of the process that it comes from.
_PEAK: Final = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
sys.stderr.write(f"\\npeak {usage.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status))
"""


class SideFailed(Exception):  # noqa: N818 (what happened)
    """Nothing could be measured: the message says why."""


@contextmanager
def bounded(process: "subprocess.Popen[bytes]", seconds: float = MOST_SECONDS) -> Iterator[None]:
    """Kill a process that has not ended by then, and at the end of the block.

    Waiting with a timeout would look at it from time to time, and measure that.
    """
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()


def timed(
    command: Sequence[str], env: Mapping[str, str], *, stdin: BinaryIO | None = None, codes: Sequence[int] = (0,)
) -> float:
    """Run a command with its output thrown away, and return the seconds from its start to its end.

    Raises:
        SideFailed: If it ends with another exit code than these.
    """
    return _run(command, env, stdin=stdin, codes=codes)[0]


def printed(command: Sequence[str], env: Mapping[str, str]) -> str:
    """Run a command and return what it prints.

    Raises:
        SideFailed: If it does not end well.
    """
    with tempfile.TemporaryFile() as output:
        _run(command, env, stdout=output)
        output.seek(0)
        return output.read().decode()


def peak(command: Sequence[str], env: Mapping[str, str]) -> tuple[float, float]:
    """Run a command and return the most bytes of memory that it held, or one of its children did, and its seconds.

    Raises:
        SideFailed: If it does not end well.
    """
    spent, talk = _run([sys.executable, "-S", "-c", _PEAK, *command], env)
    count = int(talk.rpartition("\npeak ")[2])
    return float(count if sys.platform == "darwin" else count * 1024), spent


def _run(
    command: Sequence[str],
    env: Mapping[str, str],
    *,
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
    codes: Sequence[int] = (0,),
) -> tuple[float, str]:
    with tempfile.TemporaryFile() as talk:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=env,
            cwd=ROOT,
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.DEVNULL,
            stderr=talk,
        )
        with bounded(process):
            code = process.wait()
        spent = time.perf_counter() - start
        talk.seek(0)
        said = talk.read().decode(errors="replace")
    if code not in codes:
        raise SideFailed(f"{os.path.basename(command[0])} ended with {code}: {said.strip()[-300:]}")
    return spent, said


def peer_seconds(module: str, *arguments: str, env: Mapping[str, str]) -> float:
    """Run a peer's program in a process of its own, and return the seconds that it says its work took.

    Its start, its imports and making its events ready do not count, which is in the peer's favour.

    Raises:
        SideFailed: If it does not end well.
    """
    return float(printed([sys.executable, "-m", f"tests.bench.peers.{module}", *arguments], env))
