"""Replaying many streams, on all cores where there is much to fold."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from evcli.domain.reducers import Reducer, ReducerDefinition
from evcli.processes import Work, cores, share_out
from evcli.replay import StreamState, replay_stream, to_json
from evcli.storage.codec import loads
from evcli.storage.contract import EventStore

_STREAM_COST: Final = 100
_WORTH_IT: Final = 20_000
_PARTS_PER_PROCESS: Final = 32


class Opened(NamedTuple):
    """A store, and what gives a stream's reducer."""

    store: EventStore
    reducer: Callable[[str], Reducer]


Opener = Callable[[], Opened]
"""Opens a store; it can be pickled, since each process opens the store for itself."""


def opened(
    store: EventStore, definition: Callable[[str, str | None], ReducerDefinition], reducer: str | None
) -> Opened:
    """Return a store with what gives a stream's reducer: ``reducer``, looked up once, or None for what is configured.

    ``definition`` looks one up, as `evcli.reading.StoreReader.definition` does.
    """
    given = None if reducer is None else definition("", reducer)
    return Opened(store, lambda stream: (given or definition(stream, None)).load())


def replay_streams(opener: Opener, streams: Sequence[str], *, end: int, until: str | None) -> Iterator[StreamState]:
    """Yield the states of streams as of an instant (None: now), in their order, without those that had no event by then.

    Streams that are many are shared out; how much there is in a few shows in folding: so is what is left when it has been much.

    Args:
        opener: Opens the store, here and in each process.
        streams: Their names.
        end: The position up to which events count.
        until: The instant, canonical.

    Raises:
        EvcliError: As `replay_stream` does, for the first stream in their order.
        CodeFailed: If a state is not JSON.
    """
    rest = iter(streams)
    alone = replay_each(opener(), rest, end=end, until=until)
    cost = len(streams) * _STREAM_COST
    while cost <= _WORTH_IT and (found := next(alone, None)):
        yield found
        cost += found.version
    left = list(rest)
    processes = min(cores(), len(left))
    if processes < 2:  # noqa: PLR2004 (one is this one)
        yield from replay_each(opener(), left, end=end, until=until)
        return
    size = -(-len(left) // (processes * _PARTS_PER_PROCESS))
    parts = [left[start : start + size] for start in range(0, len(left), size)]
    for stream, version, text in share_out(partial(_begin, opener, end, until), parts, processes=processes):
        yield StreamState(stream, version, loads(text))


def _begin(opener: Opener, end: int, until: str | None) -> Work[Sequence[str], tuple[str, int, bytes]]:
    return partial(_texts, opener(), end, until)


def _texts(opened: Opened, end: int, until: str | None, streams: Sequence[str]) -> Iterator[tuple[str, int, bytes]]:
    """Yield states as JSON: as such a reducer may have made them of what only its own process knows."""
    for found in replay_each(opened, streams, end=end, until=until):
        yield found.stream, found.version, to_json(found)


def replay_each(opened: Opened, streams: Iterable[str], *, end: int, until: str | None) -> Iterator[StreamState]:
    """Yield what `replay_streams` does, one stream after another."""
    store = opened.store
    for stream in streams:
        to = None if until is None else store.version_at(stream, until, end=end)
        found = replay_stream(store, stream, opened.reducer(stream), end=end, to=to)
        if found.version:
            yield found
