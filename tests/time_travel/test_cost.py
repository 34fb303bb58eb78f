"""Near the end of a long stream with a warm cache, no more than one rung of the ladder is folded, nor read."""

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import evcli.read_side.states
import evcli.storage.snapshots
from evcli.read_side.states import query_state
from evcli.time_travel.bisecting import Tally, search
from evcli.time_travel.blaming import blame, last_cause
from evcli.time_travel.checking import FunctionCheck
from evcli.time_travel.differing import Side, changes_between_states
from tests.read_side.test_bytes_read import bytes_read
from tests.time_travel.histories import Counted, open_store, timeline

COUNTED = Path("/proc/self/io").exists()
BUFFERS = 600_000
"""Bytes that are read however long the stream is, at most: the journal's end, snapshots, the steps of a bisection."""


def test_a_recent_change_costs_one_rung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (evcli.read_side.states, evcli.storage.snapshots):
        monkeypatch.setattr(module, "LEAST_SPACING", 128)
        monkeypatch.setattr(module, "MOST_RUNGS", 32)
    ask_near_the_end(tmp_path, 8_000)


def test_a_recent_change_in_a_million_events_costs_one_rung(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--torture"):
        pytest.skip("a million events are for --torture")
    ask_near_the_end(tmp_path, 1_000_000)


def ask_near_the_end(folder: Path, count: int) -> None:
    """Ask every question about the last events of a stream of ``count``, and count what is folded and read for it."""
    store = open_store(folder)
    rare = count - 9
    for first in range(1, count + 1, 500):
        numbers = range(first, min(count, first + 499) + 1)
        store.append(
            "s", [("t", {"n": n, f"k{n % 7}": n, "rare": int(n >= rare), "note": f"{n:.>300}"}) for n in numbers]
        )
        query_state(store.log, "s", Counted("merge"), str(folder / "cache"), end=store.head().position)
    rungs = timeline(store, folder, Counted("merge")).rungs
    spacing = max(later - earlier for earlier, later in pairwise([0, *rungs, count]))
    assert spacing <= count / 16
    rung = spacing * (folder / "store/streams/s.jsonl").stat().st_size // count
    found: dict[str, Any] = {}

    def ask(name: str, question: Any, *, probes: int = 1) -> None:
        definition = Counted("merge")
        before, started = bytes_read() if COUNTED else 0, time.perf_counter()
        found[name] = question(timeline(store, folder, definition))
        spent, read = time.perf_counter() - started, (bytes_read() if COUNTED else 0) - before
        assert definition.folded <= spacing, name
        assert read <= probes * (4 * rung + BUFFERS), name
        print(f"{name}: {definition.folded} events folded, {read} bytes read, {1000 * spent:.1f} ms")  # noqa: T201 (the figures, with -s)

    ask("why", lambda line: last_cause(line, ("n",), count))
    ask("why, a change before the last", lambda line: last_cause(line, ("rare",), count))
    ask("why, as of then", lambda line: last_cause(line, ("n",), count - 5))
    ask("blame", lambda line: blame(line, (), count))
    ask("diff", lambda line: list(changes_between_states(Side(line, count - 9), Side(line, count))))
    ask(
        "diff, both before the last",
        lambda line: list(changes_between_states(Side(line, rare - 1), Side(line, count - 3))),
    )
    # A search reads the commits of each state and event that it asks for, to verify them.
    passes = FunctionCheck(lambda state: state.get("rare") != 1)
    ask("bisect", lambda line: search(line, passes, good=0, bad=count, tally=Tally()), probes=2 * count.bit_length())
    assert found["why"].version == count
    assert found["why, a change before the last"].version == rare
    assert found["why, as of then"].version == count - 5
    assert {leaf.version for leaf in found["blame"]} == {*range(count - 6, count + 1), rare}
    assert found["bisect"].number == rare
