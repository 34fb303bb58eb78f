"""Replay: a stream's events, and the state they fold into, from the log itself and nothing else."""

from collections.abc import Iterator

from evcli.domain.events import Event
from evcli.domain.reducers import Reducer
from evcli.errors import CodeFailed
from evcli.light_typing import Any, NamedTuple
from evcli.storage.codec import dump, loader
from evcli.storage.contract import EventStore
from evcli.storage.lines import lines_of_types


class StreamState(NamedTuple):
    """A stream's state as of a version; version 0 and the initial state where it has no event."""

    stream: str
    version: int
    state: Any


def to_json(found: StreamState) -> bytes:
    """Encode a state that a reducer made as the JSON text that it is printed and kept as.

    Raises:
        CodeFailed: If it is not JSON.
    """
    try:
        return dump(found.state)
    except (TypeError, RecursionError) as error:
        raise CodeFailed(
            f"the state of {found.stream}@{found.version} is not JSON: {error}",
            "let the reducer make it of objects, arrays, strings, numbers, true, false and null",
        ) from error


def read_events(store: EventStore, stream: str, *, end: int, after: int = 0, to: int | None = None) -> Iterator[Event]:
    """Yield a stream's events with versions above ``after``, up to and including ``to``.

    Raises:
        Damaged: As soon as something does not verify.
    """
    load = loader()
    for chunk in store.read_stream(stream, end=end, after=after, to=to):
        yield from map(load, chunk.lines)


def read_lines(store: EventStore, stream: str, to: int, *, end: int) -> Iterator[list[bytes]]:
    """Yield a stream's stored lines up to and including version ``to``, in parts.

    Raises:
        Damaged: As soon as something does not verify.
    """
    return (chunk.lines for chunk in store.read_stream(stream, end=end, to=to))


def replay_stream(store: EventStore, stream: str, reducer: Reducer, *, end: int, to: int | None = None) -> StreamState:
    """Fold a stream from its first event up to and including version ``to``.

    Raises:
        CodeFailed: If the reducer fails; the message names the event.
        Damaged: As soon as something does not verify.
    """
    load = loader()
    state, version = reducer.initial(), 0
    if to != 0:
        for chunk in store.read_stream(stream, end=end, to=to):
            state = reducer.fold(state, map(load, lines_of_types(chunk.text, reducer.types)))
            version = chunk.version
    return StreamState(stream, version, state)
