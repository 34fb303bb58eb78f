"""The same calls on a short and on a very long stream."""

from collections.abc import Callable, Sequence
from typing import Final

from tests.bench.events import line
from tests.bench.figure import Figure, Runs, Side, at_most
from tests.bench.figures.one_call import DATA, EVCLI_POLICY, NOTHING
from tests.bench.place import STREAM, Bench, Setting, evcli
from tests.bench.running import timed

LONG: Final = "on the long stream"
SHORT: Final = "on the short stream"
SHORT_EVENTS: Final = 10
_RUNS: Final = Runs(full=25, quick=5)
_KEY: Final = line(7).partition('"account":"')[2].partition('"')[0]


def two_sides(long: Setting, short: Setting, policy: str, *command: str) -> Sequence[Side]:
    """The same command on both; each is warmed up first."""

    def call(setting: Setting) -> Callable[[], float]:
        timed([evcli(), *command], setting.env)
        return lambda: timed([evcli(), *command], setting.env)

    return [Side(LONG, policy, call(long)), Side(SHORT, policy, call(short))]


def append_sides(bench: Bench) -> Sequence[Side]:
    long, short = bench.store(bench.sizes.long), bench.store(SHORT_EVENTS, anew=True)
    return two_sides(long, short, EVCLI_POLICY, "append", STREAM, "card.used", DATA)


def query_state_sides(bench: Bench) -> Sequence[Side]:
    long, short = bench.store(bench.sizes.long), bench.store(SHORT_EVENTS, anew=True)
    return two_sides(long, short, NOTHING, "query", "state", STREAM)


def query_get_sides(bench: Bench) -> Sequence[Side]:
    long, short = bench.store(bench.sizes.long), bench.store(SHORT_EVENTS, anew=True)
    bench.view(long, "balances"), bench.view(short, "balances")
    return two_sides(long, short, NOTHING, "query", "get", "balances", _KEY)


FIGURES: Final = tuple(
    Figure(
        f"flat-{name}",
        f"one `{title}` on a stream of {{long}} events, against one of 10",
        how,
        "seconds",
        (at_most(1.1, LONG, of=SHORT),),
        sides,
        _RUNS,
        600.0,
    )
    for name, title, how, sides in (
        ("append", "evcli append", "Both streams grow by what is appended here.", append_sides),
        ("query-state", "evcli query state", "Both have a snapshot that covers all events.", query_state_sides),
        (
            "query-get",
            "evcli query get",
            "The view is caught up with all events; it has one row an account.",
            query_get_sides,
        ),
    )
)
