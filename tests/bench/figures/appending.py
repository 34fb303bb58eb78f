"""Many events: one durable receipt each, and in bulk from a file."""

import subprocess
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from tests.bench.figure import Figure, Runs, Side, at_least
from tests.bench.figures.one_call import BLOCKS, EVCLI_POLICY, sync_block
from tests.bench.peers.appending import eventsourcing, nats, redis, sqlite, sqlite_utils, umadb
from tests.bench.place import STREAM, Bench, evcli
from tests.bench.running import ROOT, SideFailed, bounded, timed

BATCH: Final = 1_000
SAID_OF_UMADB: Final = 255_000


def as_coprocess(bench: Bench, count: int) -> float:
    """Send events one by one to a running ``evcli append --from -``, each after the receipt of the one before; events/s."""
    events = bench.events_file(count).read_bytes().splitlines(keepends=True)
    with bench.fresh() as setting:
        command = [evcli(), "append", STREAM, "--from", "-"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, env=setting.env, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
        )
        with bounded(process):
            assert process.stdin is not None
            assert process.stdout is not None
            start = time.perf_counter()
            for number, event in enumerate([events[0], *events]):
                if number == 1:  # the first one waited for the start, and made the store
                    start = time.perf_counter()
                process.stdin.write(event)
                process.stdin.flush()
                if not process.stdout.readline():
                    raise SideFailed(f"no receipt for event {number}")
            spent = time.perf_counter() - start
            process.stdin.close()
            if process.wait():
                raise SideFailed(f"evcli append ended with {process.returncode}")
    return count / spent


def from_file(bench: Bench, count: int) -> float:
    """Append a file to a new store, the whole process; events/s."""
    source = str(bench.events_file(count))
    with bench.fresh() as setting:
        return count / timed([evcli(), "append", STREAM, "--from", source, "-q"], setting.env)


def synced_blocks(bench: Bench, count: int, flags: int) -> float:
    """Write as many blocks, each synced before the next one; blocks/s."""
    return count / sum(sync_block(bench, flags) for _ in range(count))


def coprocess_sides(bench: Bench) -> Sequence[Side]:
    count = bench.sizes.single
    return [
        Side("evcli append --from -, one receipt per line", EVCLI_POLICY, lambda: as_coprocess(bench, count)),
        umadb(bench, count, 1),
        nats(bench, count),
        redis(bench, count),
        sqlite(bench, count, 1),
        eventsourcing(bench, count, 1),
        *(Side(name, "fdatasync", partial(synced_blocks, bench, count, flags)) for name, flags in BLOCKS.items()),
    ]


def bulk_sides(bench: Bench) -> Sequence[Side]:
    count = bench.sizes.bulk
    return [
        Side("evcli append --from FILE", EVCLI_POLICY, lambda: from_file(bench, count)),
        umadb(bench, count, BATCH),
        eventsourcing(bench, count // 4, BATCH),
        sqlite(bench, count, BATCH),
        sqlite_utils(bench, count // 4),
    ]


FIGURES: Final = (
    Figure(
        "coprocess",
        "`append --from -` as a coprocess, one durable receipt per line",
        "{single} events; the next one is sent when the one before is acknowledged. Of everybody the start does not count.",
        "events/s",
        (at_least(1.5, "evcli append --from -, one receipt per line", of="UmaDB, one event at a time"),),
        coprocess_sides,
        Runs(full=5, quick=2),
    ),
    Figure(
        "bulk",
        "bulk append from a file, durable, sealed, validated",
        "{bulk} events (a quarter of them for eventsourcing and sqlite-utils) into an empty store, 1,000 a commit. Of evcli and"
        " sqlite-utils the whole process counts, start and parsing included; the others have parsed the events before. 1.37 is 350,000 where UmaDB does 255,000.",
        "events/s",
        (
            at_least(1.3, "evcli append --from FILE", of="UmaDB, 1,000 events at a time"),
            at_least(3.0, "evcli append --from FILE", of="eventsourcing/SQLite, 1,000 events at a time"),
            at_least(round(350_000 / SAID_OF_UMADB, 2), "evcli append --from FILE", of="UmaDB, 1,000 events at a time"),
        ),
        bulk_sides,
        Runs(full=5, quick=2),
    ),
)
