"""One call of evcli, the whole process, beside a console script that returns at once."""

import os
import sqlite3
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from tests.bench.events import line
from tests.bench.figure import Figure, Runs, Side, at_most
from tests.bench.peers.appending import SQLITE_POLICY, emptied
from tests.bench.peers.available import program, without_package, without_program
from tests.bench.place import STREAM, Bench, evcli
from tests.bench.running import timed

EVCLI_POLICY: Final = "fdatasync of journal and stream for each commit, before its receipt"
NOTHING: Final = "writes nothing"
SCRIPT: Final = "a console script that returns at once"
PYTHON: Final = "python -c pass"
DATA: Final = line(7).partition('"data":')[2].removesuffix("}\n")
BLOCKS: Final = {"fdatasync of one block": os.O_APPEND, "fdatasync of one block, in place": 0}
"""The physical floor of a durable write: at the end of a file, which makes it longer, and over what was there before."""
_RUNS: Final = Runs(full=25, quick=5)


def append_sides(bench: Bench) -> Sequence[Side]:
    setting = bench.store(10, anew=True)
    database = str(emptied(bench, "sqlite3") / "events.db")
    with sqlite3.connect(database) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table events (position integer primary key, stream text, type text, data text)")
    insert = f"insert into events (stream, type, data) values ('{STREAM}', 'card.used', '{DATA}')"  # noqa: S608 (ours)
    source = bench.events_file(1)

    def insert_line() -> float:
        with source.open("rb") as file:
            tool = program("sqlite-utils") or "sqlite-utils"
            return timed([tool, "insert", f"{database}-utils", "events", "-", "--nl"], bench.env, stdin=file)

    return [
        Side(
            "evcli append",
            EVCLI_POLICY,
            lambda: timed([evcli(), "append", STREAM, "card.used", DATA], setting.env),
        ),
        *floor_sides(bench),
        *(Side(name, "fdatasync", partial(sync_block, bench, flags)) for name, flags in BLOCKS.items()),
        Side(
            "sqlite3, one insert",
            SQLITE_POLICY,
            lambda: timed([program("sqlite3") or "", database, f"pragma synchronous = full; {insert}"], bench.env),
            without_program("sqlite3"),
        ),
        Side(
            "sqlite-utils, one insert",
            "SQLite's defaults: rollback journal, synchronous = FULL",
            insert_line,
            without_package("sqlite-utils"),
        ),
    ]


def floor_sides(bench: Bench) -> list[Side]:
    """The physical floor of a command written in Python."""
    script = bench.script()
    return [
        Side(SCRIPT, NOTHING, lambda: timed([script], bench.env)),
        Side(PYTHON, NOTHING, lambda: timed([sys.executable, "-c", "pass"], bench.env)),
    ]


def sync_block(bench: Bench, flags: int) -> float:
    """Write a block and wait until it is on the disk; return the seconds."""
    fd = os.open(bench.scratch / f"block-{flags}", os.O_WRONLY | os.O_CREAT | flags)
    try:
        start = time.perf_counter()
        os.write(fd, b"x" * 4096)
        getattr(os, "fdatasync", os.fsync)(fd)
        return time.perf_counter() - start
    finally:
        os.close(fd)


def query_state_sides(bench: Bench) -> Sequence[Side]:
    setting = bench.store(10, anew=True)
    command = [evcli(), "query", "state", STREAM]
    timed(command, setting.env)
    return [Side("evcli query state", NOTHING, lambda: timed(command, setting.env)), *floor_sides(bench)]


def query_get_sides(bench: Bench) -> Sequence[Side]:
    setting = bench.view(bench.store(10, anew=True), "balances")
    command = [evcli(), "query", "get", "balances", "acc-01143"]
    database = str(emptied(bench, "sqlite3") / "rows.db")
    with sqlite3.connect(database) as connection:
        connection.execute("create table balances (key text primary key, value text)")
        connection.execute("insert into balances values ('acc-01143', '{}')")
    select = "select value from balances where key = 'acc-01143'"
    return [
        Side("evcli query get", NOTHING, lambda: timed(command, setting.env)),
        *floor_sides(bench),
        Side(
            "sqlite3, one select",
            NOTHING,
            lambda: timed([program("sqlite3") or "", database, select], bench.env),
            without_program("sqlite3"),
        ),
    ]


def help_sides(bench: Bench) -> Sequence[Side]:
    env = bench.setting(emptied(bench, "help") / "setting").env
    return [
        Side("evcli --help", NOTHING, lambda: timed([evcli(), "--help"], env)),
        Side("evcli append --help", NOTHING, lambda: timed([evcli(), "append", "--help"], env)),
        Side("evcli's completion", NOTHING, lambda: 0.0, "evcli has no completion yet"),
        *floor_sides(bench),
    ]


FIGURES: Final = (
    Figure(
        "append",
        "one `evcli append`, whole process, durable",
        "A store with one stream of 10 events or a few more; each call is a process of its own, from its start to its end.",
        "seconds",
        (at_most(2.0, "evcli append", of=SCRIPT),),
        append_sides,
        _RUNS,
    ),
    Figure(
        "query-state",
        "one `evcli query state`, warm cache",
        "A stream of 10 events or a few more, with a snapshot that covers all of them.",
        "seconds",
        (at_most(2.0, "evcli query state", of=SCRIPT),),
        query_state_sides,
        _RUNS,
    ),
    Figure(
        "query-get",
        "one `evcli query get`, warm cache",
        "A view over 10 events or a few more, caught up with all of them.",
        "seconds",
        (at_most(2.0, "evcli query get", of=SCRIPT),),
        query_get_sides,
        _RUNS,
    ),
    Figure(
        "help",
        "`evcli --help`, completion",
        "Whole processes, with a pipe for their output.",
        "seconds",
        (
            at_most(8.0, "evcli --help", of=PYTHON),
            at_most(8.0, "evcli append --help", of=PYTHON),
            at_most(8.0, "evcli's completion", of=PYTHON),
        ),
        help_sides,
        Runs(full=20, quick=3),
    ),
)
