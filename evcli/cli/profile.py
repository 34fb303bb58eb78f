"""``replay --profile``: the states, and on standard error where the time went."""

from collections.abc import Iterator

from evcli.cli.extents import Extents
from evcli.cli.options import Context
from evcli.cli.states import print_state, state_record
from evcli.replay import StreamState
from evcli.time_travel.profiling import Profile


def print_profiled(context: Context, extents: Extents, reducer: str | None, *, with_version: bool) -> None:
    """Print states as replay does, and what they took."""
    profile, log = Profile(), context.store.log
    definition = context.store.definition("", reducer) if reducer is not None else None

    def replay() -> Iterator[StreamState]:
        for stream, version in extents.streams:
            fold = (definition or context.store.definition(stream)).load()
            yield profile.replay(log, stream, fold, end=extents.end, to=version)

    if extents.is_one:
        print_state(context, next(replay()), with_version=with_version)
    else:
        context.out.rows(("stream", "version", "state"), map(state_record, replay()), empty="no streams")
    _explain(context, profile)


def _explain(context: Context, profile: Profile) -> None:
    """Say what was counted: three tables, or a JSON line for each of their rows."""
    parts = [{"part": cost.part, "us": _us(cost.seconds), "percent": _percent(cost.share)} for cost in profile.parts()]
    types = [
        {"type": cost.type, "events": cost.events, "bytes": cost.bytes, "us": _us(cost.seconds)}
        | {"percent": _percent(cost.share), "ns_each": round(cost.seconds * 1e9 / cost.events)}
        for cost in profile.types()
    ]
    slowest = [
        {"slowest": f"{cost.stream}@{cost.version}", "type": cost.type, "bytes": cost.bytes, "us": _us(cost.seconds)}
        for cost in profile.slowest()
    ]
    for rows in (parts, types, slowest):
        context.out.explain(list(rows[0]) if rows else [], rows, name="profile")


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def _percent(share: float) -> int:
    return round(share * 100)
