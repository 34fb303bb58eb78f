"""Two reducers over the same streams: the first event after which their states differ, and whether they still do in the end."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, Final, NamedTuple

from evcli.domain.events import Event
from evcli.domain.patches import changes_between
from evcli.domain.pointers import MISSING, spell_pointer
from evcli.domain.reducers import Reducer
from evcli.domain.values import Json, copy_json, same_json
from evcli.processes import Work, cores, share_out
from evcli.replay import StreamState, to_json
from evcli.storage.codec import canonical_text, loader
from evcli.storage.contract import EventStore
from evcli.time_travel.extents import Extent

_BYTES_PER_EVENT: Final = 16 << 10
_WIDEST: Final = 1000
_STREAM_COST: Final = 100
_WORTH_IT: Final = 20_000
_PARTS_PER_PROCESS: Final = 32
_LEAST_PART: Final = 2_000

Watch = Callable[[int], None]
"""Is told of how many more events have been folded."""

Progress = Callable[[int, int], None]
"""Is told how many events have been folded, of how many."""


class Difference(NamedTuple):
    """Where two folds of a stream part.

    ``version`` is that of the first event after which the states differ (0: they do before the first event), ``type``
    that event's; ``path`` is the first place where they do, ``paths`` how many there are; ``values`` has the ``old``
    and the ``new`` value at that place, without the one that is not there; ``at_end`` says whether the states still
    differ after the last event.
    """

    stream: str
    version: int
    type: str | None
    path: str
    paths: int
    values: dict[str, Json]
    at_end: bool


class _Pair(NamedTuple):
    """Two states of one stream, each by its own reducer."""

    old: Json
    new: Json


class _Folds:
    """Folds by two reducers, side by side. Each parses the lines for itself: a state may keep what is an event's."""

    def __init__(self, old: Reducer, new: Reducer) -> None:
        self._old = old
        self._new = new
        self._load = loader()
        self.batch = max(old.batch, new.batch)

    def initial(self) -> _Pair:
        return _Pair(self._old.initial(), self._new.initial())

    def fold(self, pair: _Pair, lines: Sequence[bytes]) -> _Pair:
        return _Pair(self._old.fold(pair.old, map(self._load, lines)), self._new.fold(pair.new, map(self._load, lines)))

    def halve(self, before: _Pair, lines: Sequence[bytes]) -> tuple[int, _Pair]:
        """Return after how many of the lines the states differ, and these states; before them they do not, after them they do.

        It is the first such line unless the states differ, agree again and differ again within these lines.
        """
        same, differing = 0, len(lines)
        while differing - same > 1:
            middle = (same + differing) // 2
            pair = self.fold(deepcopy(before), lines[same:middle])
            if _compare(pair)[0]:
                same, before = middle, pair
            else:
                differing = middle
        return differing, self.fold(before, lines[same:differing])


def compare_folds(
    store: EventStore, extent: Extent, old: Reducer, new: Reducer, *, end: int, watch: Watch | None = None
) -> Difference | None:
    """Fold a stream by two reducers, and return where they part; None if they never do.

    The states are compared after each event. Where that would cost too much (a program is started for each batch of
    events, or the states are large), they are compared after up to 1,000 events at once, and the event is then found
    by halving: a difference that has gone again by then is not seen.

    Raises:
        CodeFailed: If a reducer fails, or makes something that is not JSON; the message names the event.
        Damaged: As soon as something does not verify.
    """
    folds = _Folds(old, new)
    pair = folds.initial()
    same, size = _compare(pair)
    found = None if same else _describe(extent.stream, None, pair)
    for chunk in store.read_stream(extent.stream, end=end, to=extent.version) if extent.version else ():
        lines, at = chunk.lines, 0
        while found is None and at < len(lines):
            window = lines[at : at + max(folds.batch, min(size // _BYTES_PER_EVENT, _WIDEST), 1)]
            before = deepcopy(pair) if len(window) > 1 else pair
            pair = folds.fold(pair, window)
            same, size = _compare(pair)
            if not same:
                count, parted = folds.halve(before, window) if len(window) > 1 else (1, pair)
                event: Event = loader()(window[count - 1])
                found = _describe(extent.stream, event, parted)
            at += len(window)
        pair = folds.fold(pair, lines[at:])
        if watch is not None:
            watch(len(lines))
    for state in pair:
        to_json(StreamState(extent.stream, extent.version, state))
    return None if found is None else found._replace(at_end=not _compare(pair)[0])


def _compare(pair: _Pair) -> tuple[bool, int]:
    """Say whether two states are the same, and how large they are, in bytes; 0 where they are not JSON."""
    one, other = canonical_text(pair.old), canonical_text(pair.new)
    same = one == other if one is not None and one == other else same_json(pair.old, pair.new)
    return same, max(len(one or b""), len(other or b""))


def _describe(stream: str, event: Event | None, pair: _Pair) -> Difference:
    version = event["version"] if event else 0
    for state in pair:
        to_json(StreamState(stream, version, state))
    first, *others = changes_between(pair.old, pair.new)
    values: dict[str, Any] = {"old": first.before, "new": first.after}
    return Difference(
        stream=stream,
        version=version,
        type=event["type"] if event else None,
        path=spell_pointer(first.place),
        paths=1 + len(others),
        values={name: copy_json(value) for name, value in values.items() if value is not MISSING},
        at_end=True,
    )


class Opened(NamedTuple):
    """A store, and what gives a stream's old and new reducer."""

    store: EventStore
    reducers: Callable[[str], tuple[Reducer, Reducer]]


Opener = Callable[[], Opened]
"""Opens a store; it can be pickled, since each process opens the store for itself."""


def compare_streams(
    opener: Opener,
    extents: Sequence[Extent],
    *,
    end: int,
    progress: Progress | None = None,
    processes: int | None = None,
) -> Iterator[Difference]:
    """Yield the differences of streams, in their order; on all cores where there is much to fold.

    Args:
        opener: Opens the store, here and in each process.
        extents: The streams.
        end: The position up to which events count.
        progress: Is told how far it has got.
        processes: How many processes; None for as many as there are cores, and none for little work.

    Raises:
        EvcliError: As `compare_folds` does, for the first stream in their order.
    """
    if processes is None:
        processes = min(cores(), len(extents)) if _cost(extents) > _WORTH_IT else 1
    total = _events(extents)
    done = 0

    def watch(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    if processes < 2:  # noqa: PLR2004 (one is this one)
        yield from _compare_part(opener(), end, extents, watch)
    else:
        parts = _split(extents, processes * _PARTS_PER_PROCESS)
        begin = partial(_begin, opener, end)
        yield from share_out(begin, parts, processes=processes, cost=_cost, done=lambda part: watch(_events(part)))


def _begin(opener: Opener, end: int) -> Work[Sequence[Extent], Difference]:
    return partial(_compare_part, opener(), end)


def _compare_part(
    opened: Opened, end: int, extents: Sequence[Extent], watch: Watch | None = None
) -> Iterator[Difference]:
    for extent in extents:
        old, new = opened.reducers(extent.stream)
        if found := compare_folds(opened.store, extent, old, new, end=end, watch=watch):
            yield found


def _split(extents: Sequence[Extent], count: int) -> list[list[Extent]]:
    """Cut streams, in their order, into about ``count`` parts with as much to fold in each, and not too little."""
    most = max(_LEAST_PART, _cost(extents) / count)
    parts: list[list[Extent]] = []
    cost = 0
    for extent in extents:
        if not parts or cost >= most:
            parts.append([])
            cost = 0
        parts[-1].append(extent)
        cost += _cost([extent])
    return parts


def _cost(extents: Sequence[Extent]) -> int:
    """Return about how many events' folding it takes to fold streams, with what it takes to open them."""
    return sum(extent.version + _STREAM_COST for extent in extents)


def _events(extents: Sequence[Extent]) -> int:
    return sum(extent.version for extent in extents)
