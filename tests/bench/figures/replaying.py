"""Cold replay: a whole stream folded and verified, start-up subtracted."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tests.bench.events import LEDGER_IN_JQ
from tests.bench.figure import Figure, Runs, Side, at_least
from tests.bench.figures.one_call import NOTHING
from tests.bench.peers.appending import emptied
from tests.bench.peers.available import program, without_package, without_program
from tests.bench.place import STREAM, Bench, Setting, evcli
from tests.bench.running import SideFailed, peer_seconds, printed, timed

EVCLI: Final = "evcli replay"
DECLARED: Final = "evcli replay, the reducer declares its type"
NOT_DECLARED: Final = "evcli replay, it does not"
_RUNS: Final = Runs(full=5, quick=2)


def rate(count: int, command: Sequence[str], start_up: Sequence[str], env: Mapping[str, str]) -> Callable[[], float]:
    """Return what measures a command's events/s; what the same program takes to start is measured with it, and subtracted."""

    def measure() -> float:
        spent = timed(command, env) - timed(start_up, env)
        if spent <= 0:
            raise SideFailed("too few events: the start takes longer")
        return count / spent

    return measure


def evcli_rate(bench: Bench, setting: Setting, count: int, reducer: str) -> Callable[[], float]:
    """Return what measures evcli's events/s on the one stream of a store; its start is a replay of a stream of 10."""

    def command(of: Setting) -> list[str]:
        return [evcli(), "--store", str(of.folder / "store"), "replay", STREAM, "--reducer", str(of.folder / reducer)]

    return rate(count - 10, command(setting), command(bench.store(10)), setting.env)


def check_equal(setting: Setting, jq: Sequence[str]) -> None:
    """Compare evcli's answer with jq's: who folds something else is not measured.

    Raises:
        SideFailed: If they differ.
    """
    ours: Any = json.loads(
        printed([evcli(), "replay", STREAM, "--reducer", str(setting.folder / "ledger.py")], setting.env)
    )
    if json.loads(printed(jq, setting.env)) != ours:
        raise SideFailed("evcli and jq come to different states")


def replay_sides(bench: Bench) -> Sequence[Side]:
    count = bench.sizes.fold
    setting = bench.store(count)
    events = str(setting.stream_file)
    jq = [program("jq") or "jq", "-n", LEDGER_IN_JQ, events]
    no_jq = without_program("jq")
    if no_jq is None:
        check_equal(setting, jq)
    return [
        Side(EVCLI, NOTHING, evcli_rate(bench, setting, count, "ledger.py")),
        Side("jq reduce", NOTHING, rate(count, jq, [jq[0], "-n", "1"], bench.env), no_jq),
        eventsourcing_side(bench, bench.sizes.bulk // 4),
        Side(
            "orjson.loads of each line, nothing else",
            NOTHING,
            lambda: count / peer_seconds("load_orjson", events, env=bench.env),
        ),
        Side(
            "DuckDB, a sum over the file (any order, all cores)",
            NOTHING,
            lambda: count / peer_seconds("fold_duckdb", events, env=bench.env),
            without_package("duckdb"),
        ),
    ]


def eventsourcing_side(bench: Bench, count: int) -> Side:
    missing = without_package("eventsourcing")
    database = str(emptied(bench, "eventsourcing-replay") / "events.db")
    arguments = (database, str(bench.events_file(count)), "1000")
    if missing is None:
        peer_seconds("ledger_eventsourcing", "append", *arguments, env=bench.env)

    def measure() -> float:
        return count / peer_seconds("ledger_eventsourcing", "replay", *arguments, env=bench.env)

    return Side("eventsourcing/SQLite", NOTHING, measure, missing)


def types_sides(bench: Bench) -> Sequence[Side]:
    count = bench.sizes.fold
    setting = bench.store(count)
    return [
        Side(DECLARED, NOTHING, evcli_rate(bench, setting, count, "deposits_declared.py")),
        Side(NOT_DECLARED, NOTHING, evcli_rate(bench, setting, count, "deposits.py")),
    ]


def cores_sides(bench: Bench) -> Sequence[Side]:
    sizes = bench.sizes
    setting = bench.store(sizes.streams * sizes.each, sizes.streams)
    cores = sorted(bench.cores)

    def measure(of: Sequence[int]) -> Callable[[], float]:
        # The same start for both: a process that keeps itself, and so evcli, to these cores.
        code = f"import os, sys; os.sched_setaffinity(0, {set(of)}); os.execv(sys.argv[1], sys.argv[1:])"
        pinned = [sys.executable, "-S", "-c", code, evcli(), "replay"]
        command = [*pinned, "**", "--reducer", str(setting.folder / "ledger.py")]
        return lambda: sizes.streams * sizes.each / timed(command, setting.env)

    missing = None if len(cores) > 1 else "there is no second core, or processes cannot be kept to one"
    return [
        Side("with 2 cores", NOTHING, measure(cores[:2]), missing),
        Side("with 1 core", NOTHING, measure(cores[:1]), missing),
    ]


FIGURES: Final = (
    Figure(
        "replay",
        "cold `replay`, Python reducer, verified",
        "One stream of {fold} events ({quarter} for eventsourcing); of everybody the start is subtracted, or does not count."
        " evcli's and jq's states are compared first. 'Cold' means without any snapshot; the files are in the page cache.",
        "events/s",
        (
            at_least(4.0, EVCLI, of="jq reduce"),
            at_least(3.0, EVCLI, of="eventsourcing/SQLite"),
            at_least(0.6, EVCLI, of="orjson.loads of each line, nothing else"),
        ),
        replay_sides,
        _RUNS,
        120.0,
    ),
    Figure(
        "replay-types",
        "cold `replay` of a reducer that declares 1 of 5 types",
        "The same {fold} events and the same `evolve`, which does nothing with the other four types; start subtracted.",
        "events/s",
        (at_least(2.0, DECLARED, of=NOT_DECLARED),),
        types_sides,
        _RUNS,
    ),
    Figure(
        "replay-cores",
        "`replay '**'` over {streams} streams",
        "{each} events in each stream, Python reducer; whole processes, kept to one core or to two.",
        "events/s",
        (at_least(1.7, "with 2 cores", of="with 1 core"),),
        cores_sides,
        _RUNS,
    ),
)
