"""Comparing many streams on all cores: parts of them in processes of their own, the answers in the streams' order."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from evcli.domain.reducers import Reducer
from evcli.errors import CodeFailed
from evcli.storage.contract import EventStore
from evcli.time_travel.comparing import Difference, Watch, compare_all
from evcli.time_travel.extents import Extent

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

_STREAM_COST: Final = 100
_WORTH_IT: Final = 20_000
_PARTS_PER_PROCESS: Final = 32
_LEAST_PART: Final = 2_000

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
    error: Exception | None


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
        processes = min(_cores(), len(extents)) if _cost(extents) > _WORTH_IT else 1
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
    for outcome in _run(partial(_compare_part, opener, end), parts, processes, watch):
        yield from outcome.found
        if outcome.error is not None:
            raise outcome.error


def _run(
    work: Callable[[Sequence[Extent]], _Outcome], parts: Sequence[Sequence[Extent]], processes: int, watch: Watch
) -> Iterator[_Outcome]:
    """Yield the outcomes of parts in their order; when it ends, however that is, nothing goes on.

    A pool of the standard library's would not do: it waits for what is running, and leaves semaphores when it is killed.
    """
    from multiprocessing import get_context
    from multiprocessing.connection import Connection, wait

    context = get_context("spawn")  # not forked: this process may have threads
    workers: dict[Connection, SpawnProcess] = {}
    # The costliest first, so that none of them is begun when all else is done.
    numbered = iter(sorted(enumerate(parts), key=lambda pair: -_cost(pair[1])))
    outcomes: dict[int, _Outcome] = {}
    try:
        for _ in range(min(processes, len(parts))):
            ours, theirs = context.Pipe()
            workers[ours] = context.Process(target=_serve, args=(theirs, work), daemon=True)
            workers[ours].start()
            theirs.close()
            with _talking_to(workers[ours]):
                ours.send(next(numbered))
        for wanted in range(len(parts)):
            while wanted not in outcomes:
                for ready in wait(list(workers)):
                    assert isinstance(ready, Connection)
                    with _talking_to(workers[ready]):
                        number, outcomes[number] = ready.recv()
                        watch(sum(extent.version for extent in parts[number]))
                        if (following := next(numbered, None)) is not None:
                            ready.send(following)
            yield outcomes.pop(wanted)
    finally:
        for worker in workers.values():
            worker.terminate()
        for worker in workers.values():
            worker.join()


@contextmanager
def _talking_to(worker: "SpawnProcess") -> Iterator[None]:
    """Say so where a process has died; a pipe that broke here is not standard output."""
    try:
        yield
    except (EOFError, ConnectionError) as error:
        worker.join()
        raise CodeFailed(
            f"a process that folds has ended before its time, with exit code {worker.exitcode}",
            "does a reducer end its process? is there enough memory?",
        ) from error


def _serve(connection: "Connection", work: Callable[[Sequence[Extent]], _Outcome]) -> None:
    """Work on what is sent until nobody is there to send; leave Ctrl-C to the parent, which ends its children."""
    import signal
    from multiprocessing import parent_process
    from threading import Thread

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)  # it was killed before it could end its children

    Thread(target=follow, daemon=True).start()
    while True:
        number, part = connection.recv()
        connection.send((number, work(part)))


def _compare_part(opener: Opener, end: int, extents: Sequence[Extent]) -> _Outcome:
    found: list[Difference] = []
    try:
        opened = opener()
        found.extend(compare_all(opened.store, extents, opened.reducers, end=end))
    except Exception as error:  # noqa: BLE001 (it is raised where the outcome is received)
        return _Outcome(found, error)
    return _Outcome(found, None)


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


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
