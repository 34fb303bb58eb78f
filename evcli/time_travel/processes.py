"""Comparing many streams on all cores: parts of them in processes of their own, the answers in the streams' order."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from evcli.domain.reducers import Reducer
from evcli.errors import EvcliError
from evcli.storage.contract import EventStore
from evcli.time_travel.comparing import Difference, compare_all
from evcli.time_travel.extents import Extent

_STREAM_COST: Final = 100
_WORTH_IT: Final = 20_000
_PARTS_PER_PROCESS: Final = 8

Progress = Callable[[int, int], None]
"""Is told how many events have been folded, of how many."""


class Opened(NamedTuple):
    """A store, and what gives a stream's old and new reducer."""

    store: EventStore
    reducers: Callable[[str], tuple[Reducer, Reducer]]


Opener = Callable[[], Opened]
"""Opens a store; it can be pickled, since each process opens the store for itself."""


class _Outcome(NamedTuple):
    """What a part of the work came to: the differences up to the end, or up to an error."""

    found: list[Difference]
    error: EvcliError | None


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
        cost = sum(extent.version + _STREAM_COST for extent in extents)
        processes = min(_cores(), len(extents)) if cost > _WORTH_IT else 1
    total = sum(extent.version for extent in extents)
    done = 0

    def watch(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    if processes < 2:  # noqa: PLR2004 (one is this one)
        opened = opener()
        yield from compare_all(opened.store, extents, opened.reducers, end=end, watch=watch)
        return
    parts = _split(extents, processes * _PARTS_PER_PROCESS)
    outcomes = _run(partial(_compare_part, opener, end), parts, processes)
    for part, outcome in zip(parts, outcomes, strict=True):
        yield from outcome.found
        if outcome.error is not None:
            raise outcome.error
        watch(sum(extent.version for extent in part))


def _run(
    work: Callable[[Sequence[Extent]], _Outcome], parts: Sequence[Sequence[Extent]], processes: int
) -> Iterator[_Outcome]:
    """Yield the outcomes of parts in their order; when the caller stops early, nothing goes on."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import active_children, get_context

    # Not forked: what runs here may have threads. The pool is told of a process that died, and does not wait for it.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin) as pool:
        try:
            yield from pool.map(work, parts)
        except BaseException:  # a generator that is closed, too
            for child in active_children():
                child.terminate()
            pool.shutdown(cancel_futures=True)
            raise


def _begin() -> None:
    """Leave Ctrl-C to the parent, which ends its children; and end where the parent was killed before it could."""
    import signal
    from multiprocessing import parent_process
    from threading import Thread

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def _compare_part(opener: Opener, end: int, extents: Sequence[Extent]) -> _Outcome:
    found: list[Difference] = []
    try:
        opened = opener()
        found.extend(compare_all(opened.store, extents, opened.reducers, end=end))
    except EvcliError as error:
        return _Outcome(found, error)
    return _Outcome(found, None)


def _split(extents: Sequence[Extent], count: int) -> list[list[Extent]]:
    """Cut streams, in their order, into about ``count`` parts with as much to fold in each."""
    most = sum(extent.version + _STREAM_COST for extent in extents) / count
    parts: list[list[Extent]] = []
    cost = most
    for extent in extents:
        if cost >= most:
            parts.append([])
            cost = 0
        parts[-1].append(extent)
        cost += extent.version + _STREAM_COST
    return parts


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
