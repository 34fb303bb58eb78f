"""``python -m tests.bench.peers.fold_sqlite_rows DATABASE FILE...``: fold rows by key in a dict, store them; print the seconds.

What a script written for this one purpose would do instead of a view: no checks, no checkpoint, all rows in memory.
"""

import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from orjson import loads


def main() -> None:
    start = time.perf_counter()
    rows: dict[str, dict[str, Any]] = {}
    for name in sys.argv[2:]:
        with Path(name).open("rb") as file:
            for line in file:
                event = loads(line)
                data = event["data"]
                row = rows.setdefault(data["account"], {})
                row["count"] = row.get("count", 0) + 1
                row["last"] = data["ref"]
                if event["type"] == "money.deposited":
                    row["balance"] = row.get("balance", 0) + data["amount"]
    with sqlite3.connect(sys.argv[1]) as connection:
        connection.execute("create table balances (key text primary key, value text)")
        connection.executemany(
            "insert into balances values (?, ?)", ((key, json.dumps(row)) for key, row in rows.items())
        )
    sys.stdout.write(f"{time.perf_counter() - start}\n")


if __name__ == "__main__":
    main()
