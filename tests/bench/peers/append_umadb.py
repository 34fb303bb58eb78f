"""``python -m tests.bench.peers.append_umadb PORT FILE BATCH``: append a file's events to an UmaDB server; print the seconds."""

import json
import sys
import time
from pathlib import Path

import umadb


def main() -> None:
    port, path, batch = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    client = umadb.Client(f"http://127.0.0.1:{port}")
    with path.open() as file:
        parsed = [(json.loads(line)["type"], line.encode()) for line in file]
    events = [umadb.Event(event_type=kind, data=line, tags=["ledger"]) for kind, line in parsed]
    batches = [events[first : first + batch] for first in range(0, len(events), batch)]
    client.append([umadb.Event(event_type="bench.begun", data=b"{}", tags=["ledger"])])
    start = time.perf_counter()
    for some in batches:
        client.append(some)
    spent = time.perf_counter() - start
    assert client.head() == len(events) + 1
    sys.stdout.write(f"{spent}\n")


if __name__ == "__main__":
    main()
