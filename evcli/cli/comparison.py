"""``replay --against``: the streams whose states another reducer would change, and where each begins to differ."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

from evcli.api import Store
from evcli.cli.extents import Extents
from evcli.cli.options import Context
from evcli.cli.parameters import Option
from evcli.domain.reducers import Reducer
from evcli.project.definitions import begin_alike
from evcli.time_travel.comparing import Difference, Opened, compare_streams

Against = Annotated[
    str | None,
    Option("--against", metavar="NAME|FILE.py|'exec:PROGRAM'", help="Where would this reducer's states differ?"),
]

_COLUMNS = ("stream", "version", "type", "path", "old", "new", "at_end")


def print_comparison(context: Context, extents: Extents, reducer: str | None, against: str) -> int:
    """Print a line for each stream whose folds differ; return 1 if there is any, else 0."""
    opener = partial(_open, context.store_option, context.config_option, reducer, against)
    opener()  # a name that is wrong is told of even where there is nothing to fold
    differing = at_end = 0

    def records(found: Iterator[Difference]) -> Iterator[dict[str, Any]]:
        nonlocal differing, at_end
        for difference in found:
            differing += 1
            at_end += difference.at_end
            yield _record(difference)

    count = f"{len(extents.streams):,} {'stream' if len(extents.streams) == 1 else 'streams'}"
    with context.out.progress("comparing") as progress:
        found = compare_streams(opener, extents.streams, end=extents.end, progress=progress)
        context.out.rows(_COLUMNS, records(found), empty=f"no difference in {count}")
    if differing:
        healed = f"; only on the way: {differing - at_end:,}" if differing > at_end else ""
        context.out.note(f"different in the end: {at_end:,} of {count}{healed}")
    return 1 if differing else 0


def _open(store: str | None, config: str | None, reducer: str | None, against: str) -> Opened:
    opened = Store.open(store, config=config)
    old = opened.definition("", reducer) if reducer is not None else None
    new = opened.definition("", against)

    def reducers(stream: str) -> tuple[Reducer, Reducer]:
        one = old or opened.definition(stream)
        return one.load(), begin_alike(new, one).load()

    return Opened(opened.log, reducers)


def _record(difference: Difference) -> dict[str, Any]:
    found: dict[str, Any] = difference._asdict()
    values, at_end = found.pop("values"), found.pop("at_end")
    return {**found, **values, "at_end": at_end}
