"""``python -m tests.bench.peers.append_sqlite DATABASE FILE BATCH``: insert a file's events into a plain table; print the seconds."""

import json
import sqlite3
import sys
import time
from pathlib import Path


def main() -> None:
    database, path, batch = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("create table events (position integer primary key, stream text, type text, data text)")
    with path.open() as file:
        rows = [("ledger", json.loads(line)["type"], line) for line in file]
    batches = [rows[first : first + batch] for first in range(0, len(rows), batch)]
    start = time.perf_counter()
    for some in batches:
        connection.execute("begin immediate")
        connection.executemany("insert into events (stream, type, data) values (?, ?, ?)", some)
        connection.execute("commit")
    spent = time.perf_counter() - start
    assert connection.execute("select count(*) from events").fetchone() == (len(rows),)
    connection.close()
    sys.stdout.write(f"{spent}\n")


if __name__ == "__main__":
    main()
