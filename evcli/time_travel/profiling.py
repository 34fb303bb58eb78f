"""Where a replay's time goes: reading, parsing and folding; by type of event; which events were the slowest."""

import heapq
from collections.abc import Iterator, Sequence
from itertools import count
from time import perf_counter
from typing import Final, NamedTuple, overload

from evcli.domain.events import Event
from evcli.domain.reducers import Reducer
from evcli.domain.values import Json
from evcli.replay import StreamState
from evcli.storage.codec import loader
from evcli.storage.contract import EventStore

MOST_SLOW: Final = 10
_PARSED_AT_ONCE: Final = 256  # few, as in a replay: many at once would cost memory, and with it time


class PartCost(NamedTuple):
    """What a part of the work took: ``read`` (which verifies too), ``parse`` or ``fold``; in seconds, and of the whole."""

    part: str
    seconds: float
    share: float


class TypeCost(NamedTuple):
    """What the events of one type took to fold: how many, their bytes in the log, seconds, and the share of all folding."""

    type: str
    events: int
    bytes: int
    seconds: float
    share: float


class EventCost(NamedTuple):
    """What one event took to fold, in seconds, and its bytes in the log."""

    seconds: float
    stream: str
    version: int
    type: str
    bytes: int


class Profile:
    """Replays streams, and keeps count of what that takes.

    Where a reducer takes many events at once (a program is started for up to 1,000), each of them is given an even
    part of the time, and none of them counts as slow.
    """

    def __init__(self) -> None:
        self._load = loader()
        self._read = self._parse = 0.0
        self._types: dict[str, tuple[int, int, float]] = {}
        self._slowest: list[tuple[float, int, EventCost]] = []
        self._number = count(0, -1)  # of two that took the same, the first is kept

    def replay(
        self, store: EventStore, stream: str, reducer: Reducer, *, end: int, to: int | None = None
    ) -> StreamState:
        """Return what `replay_stream` does, and count what it takes.

        Raises:
            CodeFailed: If the reducer fails; the message names the event.
            Damaged: As soon as something does not verify.
        """
        state, version = reducer.initial(), 0
        size = reducer.batch if reducer.batch > 1 else _PARSED_AT_ONCE
        chunks = iter(store.read_stream(stream, end=end, to=to) if to != 0 else ())
        while True:
            begun = perf_counter()
            chunk = next(chunks, None)
            self._read += perf_counter() - begun
            if chunk is None:
                return StreamState(stream, version, state)
            lines = chunk.lines
            for first in range(0, len(lines), size):
                state = self._fold(reducer, state, lines[first : first + size])
            version = chunk.version

    def _fold(self, reducer: Reducer, state: Json, lines: Sequence[bytes]) -> Json:
        begun = perf_counter()
        events: list[Event] = [*map(self._load, lines)]
        self._parse += perf_counter() - begun
        fold = _fold_timed if reducer.batch == 1 else _fold_batch
        state, seconds = fold(reducer, state, events)
        for event, line, taken in zip(events, lines, seconds, strict=True):
            self._count(event, len(line) + 1, taken, alone=reducer.batch == 1)
        return state

    def _count(self, event: Event, size: int, seconds: float, *, alone: bool) -> None:
        kind = event["type"]
        events, bytes_, total = self._types.get(kind, (0, 0, 0.0))
        self._types[kind] = events + 1, bytes_ + size, total + seconds
        if alone and (len(self._slowest) < MOST_SLOW or seconds > self._slowest[0][0]):
            cost = EventCost(seconds, event["stream"], event["version"], kind, size)
            keep = heapq.heappush if len(self._slowest) < MOST_SLOW else heapq.heapreplace
            keep(self._slowest, (seconds, next(self._number), cost))

    def parts(self) -> list[PartCost]:
        """Return what each part of the work took, in its order."""
        fold = sum(seconds for _, _, seconds in self._types.values())
        whole = self._read + self._parse + fold
        taken = (("read", self._read), ("parse", self._parse), ("fold", fold))
        return [PartCost(part, seconds, _share(seconds, whole)) for part, seconds in taken]

    def types(self) -> list[TypeCost]:
        """Return what the types of events took to fold, the costliest first."""
        fold = sum(seconds for _, _, seconds in self._types.values())
        costs = (TypeCost(kind, *taken, _share(taken[2], fold)) for kind, taken in self._types.items())
        return sorted(costs, key=lambda cost: (-cost.seconds, cost.type))

    def slowest(self) -> list[EventCost]:
        """Return the events that took the longest to fold, at most ten, the slowest first."""
        return [cost for _, _, cost in sorted(self._slowest, reverse=True)]


class _Timed(Sequence[Event]):
    """Events that a fold takes one by one: an event's time is what passes until the next one is asked for."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self.seconds: list[float] = []

    def __iter__(self) -> Iterator[Event]:
        for event in self._events:
            begun = perf_counter()
            yield event
            self.seconds.append(perf_counter() - begun)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | Sequence[Event]:
        return self._events[index]

    def __len__(self) -> int:
        return len(self._events)


def _fold_timed(reducer: Reducer, state: Json, events: Sequence[Event]) -> tuple[Json, list[float]]:
    timed = _Timed(events)
    return reducer.fold(state, timed), timed.seconds


def _fold_batch(reducer: Reducer, state: Json, events: Sequence[Event]) -> tuple[Json, list[float]]:
    begun = perf_counter()
    state = reducer.fold(state, events)
    return state, [(perf_counter() - begun) / len(events)] * len(events)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
