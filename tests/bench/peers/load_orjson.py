"""``python -m tests.bench.peers.load_orjson FILE``: parse every line and do nothing with it; print the seconds."""

import sys
import time
from pathlib import Path

from orjson import loads


def main() -> None:
    start = time.perf_counter()
    with Path(sys.argv[1]).open("rb") as file:
        for line in file:
            loads(line)
    sys.stdout.write(f"{time.perf_counter() - start}\n")


if __name__ == "__main__":
    main()
