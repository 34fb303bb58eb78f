"""The most memory that a command holds, its children too, however long the stream is."""

import sys
from collections.abc import Sequence
from typing import Final

from tests.bench.figure import Figure, Runs, Side, at_most
from tests.bench.figures.one_call import EVCLI_POLICY, NOTHING, PYTHON
from tests.bench.figures.views import REBUILT_POLICY
from tests.bench.place import STREAM, Bench, evcli
from tests.bench.running import peak

LIMIT: Final = 64_000_000
_ONCE: Final = Runs(full=1, quick=1)


def bare_side(bench: Bench) -> Side:
    return Side(PYTHON, NOTHING, lambda: peak([sys.executable, "-c", "pass"], bench.env)[0])


def append_sides(bench: Bench) -> Sequence[Side]:
    """Making the long store anew is the measurement: what comes after goes on with it."""

    def measure() -> float:
        return bench.store(bench.sizes.long, anew=True).notes()["peak"]

    return [Side("evcli append --from FILE", EVCLI_POLICY, measure), bare_side(bench)]


def atomic_sides(bench: Bench) -> Sequence[Side]:
    count = bench.sizes.bulk
    source = bench.events_file(count)

    def measure() -> float:
        with bench.fresh() as setting:
            return peak([evcli(), "append", STREAM, "--from", str(source), "--atomic", "-q"], setting.env)[0]

    def stored() -> float:
        return float(LIMIT + bench.store(count).stream_file.stat().st_size)

    return [
        Side("evcli append --from FILE --atomic", EVCLI_POLICY, measure),
        Side("64 MB and the commit", NOTHING, stored),
        bare_side(bench),
    ]


def replay_sides(bench: Bench) -> Sequence[Side]:
    setting = bench.store(bench.sizes.long)
    command = [evcli(), "replay", STREAM, "--reducer", str(setting.folder / "ledger.py")]
    return [Side("evcli replay", NOTHING, lambda: peak(command, setting.env)[0]), bare_side(bench)]


def rebuild_sides(bench: Bench) -> Sequence[Side]:
    setting = bench.store(bench.sizes.long)
    command = [evcli(), "view", "rebuild", "balances"]
    return [Side("evcli view rebuild", REBUILT_POLICY, lambda: peak(command, setting.env)[0]), bare_side(bench)]


FIGURES: Final = (
    Figure(
        "memory-append",
        "peak memory of `append` from a file, {long} events",
        "The most memory of any of its processes (getrusage); 64 MB are 64,000,000 bytes. Commits of up to 1,000 events.",
        "bytes",
        (at_most(LIMIT, "evcli append --from FILE"),),
        append_sides,
        _ONCE,
        900.0,
    ),
    Figure(
        "memory-atomic",
        "peak memory of `append --atomic`, {bulk} events in one commit",
        "The commit counts with the bytes that are stored of it.",
        "bytes",
        (at_most(1.0, "evcli append --from FILE --atomic", of="64 MB and the commit"),),
        atomic_sides,
        _ONCE,
    ),
    Figure(
        "memory-replay",
        "peak memory of `replay`, {long} events",
        "A Python reducer whose state is two numbers.",
        "bytes",
        (at_most(LIMIT, "evcli replay"),),
        replay_sides,
        _ONCE,
        900.0,
    ),
    Figure(
        "memory-rebuild",
        "peak memory of `view rebuild`, {long} events",
        "A declarative view, one row an account, 10,000 of them; the rows are in SQLite's file.",
        "bytes",
        (at_most(LIMIT, "evcli view rebuild"),),
        rebuild_sides,
        _ONCE,
        900.0,
    ),
)
