"""A stream's states by one reducer, at any version, forwards and backwards; nothing is ever saved."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Final, NamedTuple

from evcli.domain.events import Event
from evcli.domain.instants import just_before
from evcli.domain.reducers import Reducer, ReducerDefinition
from evcli.domain.values import Json
from evcli.read_side.states import read_state, resume_at, snapshots_of
from evcli.replay import StreamState, to_json
from evcli.storage.codec import loader, loads
from evcli.storage.contract import Chunk, EventStore

Progress = Callable[[int, int], None]
"""Is told how many of how many events have been gone through."""

_TOLD_EVERY: Final = 64
_LATEST: Final = 16
_WIDER: Final = 4


class Step(NamedTuple):
    """An event, as its stored line and parsed, and the state right after it.

    The state is the fold's own: the next step may change it, so copy what is to be kept.
    """

    line: bytes
    event: Event
    state: Json


class Stretch(NamedTuple):
    """A part of a stream: the version and the state before it, the caller's own, and the steps from there."""

    version: int
    state: Json
    steps: Iterator[Step]


class Timeline:
    """A stream's states, from the nearest snapshots and what came since.

    Args:
        store: The store.
        stream: The stream's name.
        definition: What the states are made by.
        cache: The root of the caches, which are read and never written to; None to do without.
        end: The position up to which events count.
        progress: Is told how far a search has got.
    """

    def __init__(
        self,
        store: EventStore,
        stream: str,
        definition: ReducerDefinition,
        *,
        cache: str | None,
        end: int,
        progress: Progress | None = None,
    ) -> None:
        self.stream = stream
        self._store = store
        self._definition = definition
        self._end = end
        self._snapshots = snapshots_of(store, stream, definition, cache, notes=False)
        self._progress = progress
        self._gone = 0
        self._known: dict[int, bytes] = {}

    @cached_property
    def version(self) -> int:
        """The stream's version; 0 if it is not there."""
        info = self._store.info(self.stream, end=self._end)
        return info.version if info else 0

    def last_version(self, *, until: str | None = None, to: int | None = None) -> int:
        """Return the last version that counts: up to and including a canonical instant, and a version."""
        limits = [self.version] if to is None else [self.version, to]
        if until is not None:
            limits.append(self._store.version_at(self.stream, until, end=self._end))
        return min(limits)

    def version_before(self, instant: str) -> int:
        """Return the version before the first event from a canonical instant on."""
        return self._store.version_at(self.stream, just_before(instant), end=self._end)

    @cached_property
    def rungs(self) -> list[int]:
        """The versions of which a snapshot may be there, in order."""
        return self._snapshots.versions()

    @cached_property
    def reducer(self) -> Reducer:
        """What the states are made by."""
        return self._definition.load()

    def state_at(self, version: int) -> Json:
        """Return the state up to and including ``version``, the caller's own; see `text_at`."""
        return loads(self.text_at(version))

    def text_at(self, version: int) -> bytes:
        """Return the state up to and including ``version`` as JSON text.

        It is folded from the nearest state before it that a snapshot has, or that was asked for earlier.

        Raises:
            CodeFailed: If the reducer fails, or makes what is not JSON.
            Damaged: As soon as something does not verify.
        """
        if version not in self._known:
            self._known[version] = to_json(StreamState(self.stream, version, self._fold_to(version)))
        return self._known[version]

    def line_at(self, version: int) -> bytes:
        """Return the event with that version, as it is stored."""
        [chunk] = self._store.read_stream(self.stream, end=self._end, after=version - 1, to=version)
        return chunk.lines[0]

    def steps(self, after: int, to: int) -> Iterator[Step]:
        """Yield the events with versions above ``after``, up to and including ``to``, each with the state after it.

        Raises:
            CodeFailed: If the reducer fails; the message names the event.
            Damaged: As soon as something does not verify.
        """
        if after < to:
            chunks = self._store.read_stream(self.stream, end=self._end, after=after, to=to)
            yield from self._steps(self.state_at(after), chunks)

    def stretches_back(self, to: int) -> Iterator[Stretch]:
        """Yield the parts of the stream between its snapshots, from ``to`` back to its beginning.

        Each is to be gone through before the next one is asked for. Where a reducer takes many events at once, because
        one at a time is dear, they are the last few events, and before them ever more.

        Raises:
            CodeFailed: If the reducer fails; the message names the event.
            Damaged: As soon as something does not verify.
        """
        if self.reducer.batch > 1:
            yield from self._ever_wider_back(to)
            return
        for snapshot in self._snapshots.up_to(to - 1):
            version = snapshot.bookmark.version
            start = resume_at(self._store, self.stream, snapshot, end=self._end, to=to) if version < to else None
            if start is not None:
                yield Stretch(version, loads(snapshot.text), self._steps(loads(snapshot.text), start.chunks))
                to = version
        chunks = self._store.read_stream(self.stream, end=self._end, to=to) if to else ()
        yield Stretch(0, self.reducer.initial(), self._steps(self.reducer.initial(), chunks))

    def _ever_wider_back(self, to: int) -> Iterator[Stretch]:
        size = _LATEST
        while to > size:
            yield Stretch(to - size, self.state_at(to - size), self.steps(to - size, to))
            to, size = to - size, size * _WIDER
        yield Stretch(0, self.reducer.initial(), self.steps(0, to))

    def _fold_to(self, version: int) -> Json:
        known = max((at for at in self._known if at < version), default=0)
        for snapshot in self._snapshots.up_to(version):
            if snapshot.bookmark.version <= known:
                break
            if start := resume_at(self._store, self.stream, snapshot, end=self._end, to=version):
                return read_state(self.stream, start, self._definition).state
        load, state = loader(), loads(self._known[known]) if known else self.reducer.initial()
        if known < version:
            for chunk in self._store.read_stream(self.stream, end=self._end, after=known, to=version):
                state = self.reducer.fold(state, map(load, chunk.lines))
        return state

    def _steps(self, state: Json, chunks: Iterable[Chunk]) -> Iterator[Step]:
        load, fold, tell = loader(), self.reducer.fold, self._progress
        for chunk in chunks:
            for line in chunk.lines:
                event = load(line)
                state = fold(state, (event,))
                yield Step(line, event, state)
                self._gone += 1
                if tell is not None and self._gone % _TOLD_EVERY == 0:
                    tell(self._gone, self.version)
