"""Servers on the loopback interface, each on a port of its own; bounded in time, and always ended."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.bench.running import SideFailed

_MOST_SECONDS: Final = 300
_PATIENCE: Final = 20.0


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(command: Sequence[str], port: int, log: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Run a server for a block, which begins when it listens; timeout(1) ends it even if this process is killed.

    Raises:
        SideFailed: If it does not listen in time.
    """
    bound = ["timeout", "--kill-after=5", str(_MOST_SECONDS)]
    with log.open("wb") as said:
        server = subprocess.Popen(
            [*bound, *command], stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=env, cwd=log.parent
        )
    try:
        _await_listening(server, command[0], port, log)
        yield
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _await_listening(server: "subprocess.Popen[bytes]", name: str, port: int, log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    said = log.read_text(errors="replace").strip()[-200:]
    raise SideFailed(f"{os.path.basename(name)} does not listen: {said}")
