"""Views: rebuilding one, and catching one up, whatever its size."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from tests.bench.events import stream_name
from tests.bench.figure import Figure, Runs, Side, at_least, at_most
from tests.bench.figures.one_call import DATA, NOTHING
from tests.bench.peers.appending import emptied
from tests.bench.peers.available import without_package
from tests.bench.place import Bench, Setting, evcli
from tests.bench.running import peer_seconds, timed

REBUILD: Final = "evcli view rebuild"
STREAMS: Final = 100
FEW: Final = 1_000
MANY_ROWS: Final = "a view of many rows"
FEW_ROWS: Final = "a view of 1,000 rows"
REBUILT_POLICY: Final = "no syncs while it is built: a cache, which is made anew if it is lost"
CAUGHT_UP_POLICY: Final = "WAL, synchronous = NORMAL: a cache, which is made anew if it is lost"


def rebuild_sides(bench: Bench) -> Sequence[Side]:
    count = bench.sizes.view
    setting = bench.store(count, STREAMS)
    files = [str(setting.folder / f"store/streams/{stream_name(number)}.jsonl") for number in range(STREAMS)]

    def script() -> float:
        database = str(emptied(bench, "rows") / "rows.db")
        return count / peer_seconds("fold_sqlite_rows", database, *files, env=bench.env)

    return [
        Side(
            REBUILD,
            REBUILT_POLICY,
            lambda: count / timed([evcli(), "view", "rebuild", "balances"], setting.env),
        ),
        Side(
            "a script for just this: orjson, a dict, one insert into SQLite",
            "rollback journal, synchronous = FULL, one transaction",
            script,
        ),
        Side(
            "DuckDB, a sum over the same files (any order, all cores)",
            NOTHING,
            lambda: count / peer_seconds("fold_duckdb", *files, env=bench.env),
            without_package("duckdb"),
        ),
    ]


def catch_up_sides(bench: Bench) -> Sequence[Side]:
    def catching_up(setting: Setting) -> Callable[[], float]:
        def measure() -> float:
            key = f"new-{time.time_ns()}"
            data = DATA.replace("ref-0000000007", key)
            timed([evcli(), "append", stream_name(0), "card.used", data, "-q"], setting.env)
            return timed([evcli(), "query", "get", "refs", key], setting.env)

        return measure

    many = bench.view(bench.store(bench.sizes.view, STREAMS), "refs")
    few = bench.view(bench.store(FEW, STREAMS, anew=True), "refs")
    return [Side(MANY_ROWS, CAUGHT_UP_POLICY, catching_up(many)), Side(FEW_ROWS, CAUGHT_UP_POLICY, catching_up(few))]


FIGURES: Final = (
    Figure(
        "rebuild",
        "rebuild of a declarative view over {view} events in 100 streams",
        "Streams come in turn, 100 events each. One row an account, 10,000 of them; the whole process. The script checks nothing and keeps all rows in memory.",
        "events/s",
        (at_least(200_000, REBUILD),),
        rebuild_sides,
        Runs(full=3, quick=1),
        120.0,
    ),
    Figure(
        "catch-up",
        "catching a view up by 1 event at {view} rows, against 1,000",
        "`evcli query get` of the row that the event, appended right before, has made.",
        "seconds",
        (at_most(1.2, MANY_ROWS, of=FEW_ROWS),),
        catch_up_sides,
        Runs(full=20, quick=3),
        180.0,
    ),
)
