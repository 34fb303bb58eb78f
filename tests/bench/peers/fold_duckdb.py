"""``python -m tests.bench.peers.fold_duckdb FILE...``: aggregate the events of files, which needs no order; print the seconds."""

import sys
import time

import duckdb

QUERY = """
select sum(case when type = 'money.deposited' then data.amount else -data.amount end), count(*)
from read_json(?, format = 'newline_delimited', columns = {type: 'varchar', data: 'struct(amount bigint)'})
"""


def main() -> None:
    connection = duckdb.connect()
    start = time.perf_counter()
    connection.execute(QUERY, [sys.argv[1:]]).fetchall()
    sys.stdout.write(f"{time.perf_counter() - start}\n")


if __name__ == "__main__":
    main()
