"""Going through a stream step by step, forwards and backwards; nothing is ever saved."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Final, NamedTuple

from evcli.domain.reducers import ReducerDefinition
from evcli.domain.values import Json
from evcli.errors import NotFound, StreamNotFound
from evcli.read_side.states import resume_at, snapshots_of
from evcli.replay import StreamState, to_json
from evcli.storage.codec import freeze, loader, loads
from evcli.storage.contract import Chunk, EventStore
from evcli.time_travel.line_window import LineWindow

LEAST_SPACING: Final = 256
_MOST_KEPT: Final = 256
_MOST_BYTES: Final = 64 << 20
_UNKNOWN_SIZE: Final = 64 << 10

Progress = Callable[[int, int], None]
"""Is told how many of how many events have been gone through."""


class Stop(NamedTuple):
    """Where one stands: a version, its event as it is stored (None at version 0), and the state there as JSON text."""

    version: int
    line: bytes | None
    text: bytes

    def state(self) -> Json:
        """Return the state, the caller's own each time."""
        return loads(self.text)


class Stepper:
    """A stream's states by one reducer, one stop at a time.

    What is gone through leaves checkpoints in memory, evenly spaced, so that a step back folds little; a jump begins
    at the nearest of them, or at a snapshot that a query has cached.

    Args:
        store: The store.
        stream: The stream's name.
        definition: What the states are made by.
        cache: The root of the caches, which are read and never written to; None to do without.
        end: The position up to which events count.

    Raises:
        StreamNotFound: If the stream is not there.
    """

    def __init__(
        self,
        store: EventStore,
        stream: str,
        definition: ReducerDefinition,
        *,
        cache: str | None,
        end: int,
    ) -> None:
        info = store.info(stream, end=end)
        if info is None:
            raise StreamNotFound(stream)
        self.stream = stream
        self.version: Final = info.version
        self._store = store
        self._end = end
        self._snapshots = snapshots_of(store, stream, definition, cache, notes=False)
        self._reducer = definition.load()
        self._lines = LineWindow(store, stream, end=end, version=info.version)
        self._kept = _Checkpoints()
        self._live: _Reached | None = None
        self.stop = self._begin()

    def version_at(self, instant: str) -> int:
        """Return the version as of a canonical instant; 0 if there was none."""
        return self._store.version_at(self.stream, instant, end=self._end)

    def go(self, version: int, *, progress: Progress | None = None) -> Stop:
        """Go to a version, forwards or backwards, and return the stop there.

        Raises:
            CodeFailed: If the reducer fails, or makes what is not JSON; one stays where one was.
            Damaged: As soon as something does not verify.
            NotFound: If the stream has no such version.
        """
        if not 0 <= version <= self.version:
            raise NotFound(
                f"{self.stream} has no version {version}",
                f"it ends at version {self.version}" if version > 0 else "version 0 is before its first event",
            )
        if version == self.stop.version:
            return self.stop
        if version == 0:
            self.stop = self._begin()
            return self.stop
        start, chunks = self._start(version)
        self._live = None  # until the fold has got there, it is nobody's state
        line, state, at = b"", start.state, start.version
        for lines in self._pieces(self._lines.between(start.version, version, chunks)):
            state = self._reducer.fold(state, map(loader(), lines))
            at, line = at + len(lines), lines[-1]
            self._kept.offer(_Reached(at, state))
            if progress is not None:
                progress(at - start.version, version - start.version)
        return self._stand(_Reached(at, state), line)

    def go_on(self, is_reached: Callable[[Json], bool], *, progress: Progress | None = None) -> Stop:
        """Go forward to the first event after which ``is_reached`` says so of the state, else to the end.

        Raises:
            EvcliError: As `go` does.
        """
        if self.stop.version == self.version:
            return self.go(self.version + 1)
        start, _ = self._start(self.stop.version + 1)
        at, state = start
        self._live, load = None, loader()
        for lines in self._lines.between(at, self.version):
            for line in lines:
                state = self._reducer.fold(state, (load(line),))
                at += 1
                if at > self.stop.version and (at == self.version or is_reached(state)):
                    return self._stand(_Reached(at, state), line)
                if at % LEAST_SPACING == 0:
                    self._kept.offer(_Reached(at, state))
            if progress is not None:
                progress(at - start.version, self.version - start.version)
        raise AssertionError("a stream ends at its version")

    def _begin(self) -> Stop:
        self._live = _Reached(0, self._reducer.initial())
        return Stop(0, None, to_json(StreamState(self.stream, *self._live)))

    def _stand(self, live: "_Reached", line: bytes) -> Stop:
        self.stop = Stop(live.version, line, to_json(StreamState(self.stream, *live)))
        self._live = live
        return self.stop

    def _start(self, version: int) -> tuple["_Reached", Iterable[Chunk] | None]:
        """Return the nearest state before a version, which may be changed, and what comes after it, if that was read."""
        start = self._kept.before(version) or _Reached(0, self._reducer.initial())
        if self._live is not None and start.version < self._live.version < version:
            start = self._live
        if version - start.version > self._kept.spacing:
            for snapshot in self._snapshots.up_to(version - 1):
                at = snapshot.bookmark.version
                if at <= start.version:
                    break
                resumed = resume_at(self._store, self.stream, snapshot, end=self._end, to=version)
                if resumed is not None:
                    return _Reached(at, loads(snapshot.text)), resumed.chunks
        return start, None

    def _pieces(self, parts: Iterable[list[bytes]]) -> Iterator[list[bytes]]:
        size = max(LEAST_SPACING, self._reducer.batch)
        for lines in parts:
            for first in range(0, len(lines), size):
                yield lines[first : first + size]


class _Reached(NamedTuple):
    """How far a fold has got: a version and the state there, which the next fold may change."""

    version: int
    state: Json


class _Kept(NamedTuple):
    """A state in memory: as JSON text, or as it is where JSON would not bring the very same one back."""

    text: bytes | None
    state: Json
    size: int

    def thaw(self) -> Json:
        return loads(self.text) if self.text is not None else deepcopy(self.state)


class _Checkpoints:
    """States of a stream in memory, about evenly spaced; when there are too many, every second one is given up."""

    def __init__(self) -> None:
        self.spacing = LEAST_SPACING
        self._versions: list[int] = []
        self._kept: dict[int, _Kept] = {}
        self._bytes = 0

    def before(self, version: int) -> _Reached | None:
        """Return the last one before a version, the caller's own."""
        index = bisect_left(self._versions, version) - 1
        return _Reached(self._versions[index], self._kept[self._versions[index]].thaw()) if index >= 0 else None

    def offer(self, found: _Reached) -> None:
        """Keep a copy of a state, unless one is near it already."""
        index = bisect_left(self._versions, found.version)
        near = self._versions[max(0, index - 1) : index + 1]
        if any(abs(found.version - version) < self.spacing for version in (0, *near)):
            return
        text = freeze(found.state)
        kept = _Kept(text, None, len(text)) if text is not None else _Kept(None, deepcopy(found.state), _UNKNOWN_SIZE)
        self._versions.insert(index, found.version)
        self._kept[found.version] = kept
        self._bytes += kept.size
        while len(self._versions) > _MOST_KEPT or (self._bytes > _MOST_BYTES and self._versions):
            self._thin_out()

    def _thin_out(self) -> None:
        for version in self._versions[::2]:
            self._bytes -= self._kept.pop(version).size
        self._versions = self._versions[1::2]
        self.spacing *= 2
