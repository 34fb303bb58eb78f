"""``python -m tests.bench.peers.append_nats PORT FILE``: publish a file's events one by one, each acknowledged; print the seconds."""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nats


async def publish(port: str, events: Sequence[bytes]) -> float:
    connection = await nats.connect(f"nats://127.0.0.1:{port}")
    stream = connection.jetstream()
    await stream.add_stream(name="ledger", subjects=["ledger"])
    await stream.publish("ledger", b"{}")
    start = time.perf_counter()
    for event in events:
        await stream.publish("ledger", event)
    spent = time.perf_counter() - start
    info = await stream.stream_info("ledger")
    assert info.state.messages == len(events) + 1
    await connection.close()
    return spent


def main() -> None:
    events = Path(sys.argv[2]).read_bytes().splitlines()
    sys.stdout.write(f"{asyncio.run(publish(sys.argv[1], events))}\n")


if __name__ == "__main__":
    main()
