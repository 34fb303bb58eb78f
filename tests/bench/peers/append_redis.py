"""``python -m tests.bench.peers.append_redis PORT FILE``: add a file's events to a Redis stream one by one; print the seconds."""

import socket
import sys
import time
from pathlib import Path
from typing import BinaryIO


def command(*words: bytes) -> bytes:
    """Write a command as the protocol has it (RESP)."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def reply(answers: BinaryIO) -> bytes:
    """Read a simple answer, or a string."""
    line = answers.readline()
    assert line[:1] in b"$:+", line
    return answers.readline() if line[:1] == b"$" else line


def main() -> None:
    port, path = int(sys.argv[1]), Path(sys.argv[2])
    events = path.read_bytes().splitlines()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = connection.makefile("rb")
        connection.sendall(command(b"XADD", b"ledger", b"*", b"event", b"{}"))
        reply(answers)
        start = time.perf_counter()
        for event in events:
            connection.sendall(command(b"XADD", b"ledger", b"*", b"event", event))
            reply(answers)
        spent = time.perf_counter() - start
        connection.sendall(command(b"XLEN", b"ledger"))
        assert reply(answers) == b":%d\r\n" % (len(events) + 1)
    sys.stdout.write(f"{spent}\n")


if __name__ == "__main__":
    main()
