"""Queries: the same answer as replay, from the nearest snapshot and what came since."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from evcli.domain.reducers import Reducer, ReducerDefinition
from evcli.errors import CodeFailed, NotFound
from evcli.light_typing import Any, NamedTuple
from evcli.replay import StreamState
from evcli.storage.codec import freeze, loader, loads
from evcli.storage.contract import Bookmark, BookmarkLost, Chunk, EventStore
from evcli.storage.lines import lines_of_types
from evcli.storage.snapshots import LEAST_SPACING, MOST_RUNGS, Snapshot, Snapshots


class Start(NamedTuple):
    """Where folding begins: a snapshot (None: from nothing), and the chunks after it."""

    snapshot: Snapshot | None
    chunks: Iterator[Chunk]

    @property
    def version(self) -> int:
        """The version that the snapshot covers; 0 without one."""
        return self.snapshot.bookmark.version if self.snapshot else 0

    def make_state(self, load_reducer: Callable[[], Reducer]) -> Any:  # noqa: ANN401 (a reducer's state)
        """Return the snapshot's state, the reducer's initial one without it; the caller's own each time."""
        return loads(self.snapshot.text) if self.snapshot else load_reducer().initial()


class _Reached(NamedTuple):
    """How far a fold has got: a version and its state, and the bookmark there, if it ends a commit."""

    version: int
    state: Any
    bookmark: Bookmark | None


def query_state(
    store: EventStore, stream: str, definition: ReducerDefinition, cache: str | None, *, end: int, to: int | None = None
) -> StreamState:
    """Return a stream's state up to and including version ``to``, folding only what no snapshot covers.

    Args:
        store: The store.
        stream: The stream's name.
        definition: What the state is made by.
        cache: The root of the caches; None to do without.
        end: The position up to which events count.
        to: The last version that counts; None for the newest.

    Raises:
        CodeFailed: If the reducer fails; the message names the event, and nothing is cached.
        Damaged: As soon as something does not verify.
    """
    snapshots = snapshots_of(store, stream, definition, cache)
    start = _find_start(store, stream, snapshots, end=end, to=to)
    first = next(start.chunks, None)
    if first is None:
        return StreamState(stream, start.version, start.make_state(definition.load))
    info = store.info(stream, end=end)
    assert info is not None
    ladder = _Ladder(snapshots, start.version, info.version, info.size)
    reached = _Reached(0, None, None)
    try:
        for reached in _fold_on(start._replace(chunks=_with_first(first, start.chunks)), definition):
            ladder.step(reached.bookmark, reached.state)
    except CodeFailed:
        ladder.take_back()
        raise
    if reached.bookmark is not None and reached.version == info.version:
        text = freeze(reached.state)
        if text is not None:
            snapshots.save_newest(Snapshot(reached.bookmark, text))
    return StreamState(stream, reached.version, reached.state)


def read_state(stream: str, start: Start, definition: ReducerDefinition) -> StreamState:
    """Return a stream's state after all chunks of ``start``; nothing is cached.

    Raises:
        CodeFailed: If the reducer fails; the message names the event.
        Damaged: As soon as something does not verify.
    """
    for reached in deque(_fold_on(start, definition), maxlen=1):
        return StreamState(stream, reached.version, reached.state)
    return StreamState(stream, start.version, start.make_state(definition.load))


def cached_state(store: EventStore, stream: str, definition: ReducerDefinition, cache: str | None) -> StreamState:
    """Return the newest state that is cached, without a look at the stream.

    Raises:
        NotFound: If none is.
    """
    newest = snapshots_of(store, stream, definition, cache).newest()
    if newest is None:
        raise NotFound(f"no state of {stream} is cached", "ask once without --cached", stream=stream)
    return StreamState(stream, newest.bookmark.version, loads(newest.text))


def snapshots_of(
    store: EventStore, stream: str, definition: ReducerDefinition, cache: str | None, *, notes: bool = True
) -> Snapshots:
    """Return the snapshots of a stream's states by one definition; without ``notes``, nothing at all is written to find them."""
    if cache is None:
        return Snapshots(None)
    digest = definition.fingerprint(cache if notes else None)
    return Snapshots(os.path.join(cache, store.id, "states", stream, "@" + digest[:32]))


def sound_snapshots(
    store: EventStore, stream: str, definition: ReducerDefinition, cache: str | None, *, end: int
) -> Iterator[Snapshot]:
    """Yield the snapshots of a stream's states that a query may answer from, the latest first."""
    for snapshot in snapshots_of(store, stream, definition, cache).up_to(None):
        with suppress(BookmarkLost):
            next(store.read_stream(stream, end=end, bookmark=snapshot.bookmark), None)
            yield snapshot


def _find_start(store: EventStore, stream: str, snapshots: Snapshots, *, end: int, to: int | None) -> Start:
    """Return where to begin folding up to version ``to`` (None: the newest): at the latest snapshot that the stream bears out."""
    for snapshot in snapshots.up_to(to):
        if start := resume_at(store, stream, snapshot, end=end, to=to):
            return start
    return Start(None, store.read_stream(stream, end=end, to=to) if to != 0 else iter(()))


def resume_at(store: EventStore, stream: str, snapshot: Snapshot, *, end: int, to: int | None) -> Start | None:
    """Return a start at a snapshot; None if the stream does not bear it out: it is of another history."""
    chunks = store.read_stream(stream, end=end, to=to, bookmark=snapshot.bookmark)
    with suppress(BookmarkLost):
        first = next(chunks, None)
        return Start(snapshot, _with_first(first, chunks) if first else iter(()))
    return None


def _fold_on(start: Start, definition: ReducerDefinition) -> Iterator[_Reached]:
    """Yield what each chunk leads to; the reducer is loaded only where there is one."""
    state, version = None, start.version
    reducer: Reducer | None = None
    for chunk in start.chunks:
        if reducer is None:
            reducer = definition.load()
            state = start.make_state(definition.load)
        load = loader(chunk.version - version)
        state = reducer.fold(state, map(load, lines_of_types(chunk.text, reducer.types)))
        version = chunk.version
        yield _Reached(version, state, chunk.bookmark)


def _with_first(first: Chunk, rest: Iterator[Chunk]) -> Iterator[Chunk]:
    yield first
    yield from rest


class _Ladder:
    """Saves older states on the way, evenly spaced, all of them together no larger than the stream."""

    def __init__(self, snapshots: Snapshots, version: int, last_version: int, size: int) -> None:
        self._snapshots = snapshots
        # From the last rung, not from where this fold begins: who asks after every few events gets a ladder too.
        self._last = max((rung for rung in snapshots.versions() if rung <= version), default=0)
        self._spacing = LEAST_SPACING
        while last_version // self._spacing >= MOST_RUNGS:
            self._spacing *= 2
        self._bytes_per_event = size / last_version
        self._expected = 0
        self._saved: list[int] = []

    def step(self, bookmark: Bookmark | None, state: Any) -> None:  # noqa: ANN401 (a reducer's state)
        """Save the state if a rung is due here."""
        if bookmark is None or bookmark.version - self._last < self._spacing:
            return
        self._last = bookmark.version
        room = int(self._bytes_per_event * bookmark.version)
        if self._expected > room:
            return
        text = freeze(state)
        if text is None:
            return
        self._expected = len(text) + (self._expected if self._saved else 0)
        if self._snapshots.save_rung(Snapshot(bookmark, text), room=room):
            self._saved.append(bookmark.version)

    def take_back(self) -> None:
        """Remove what this fold has saved: it failed later on."""
        self._snapshots.drop(self._saved)
