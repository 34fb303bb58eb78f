"""Sharing work out to all cores: its parts in processes of their own, the outcomes in the parts' order."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from evcli.errors import CodeFailed

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkContext, ForkProcess, SpawnContext, SpawnProcess

_P = TypeVar("_P")
_R = TypeVar("_R")
_AHEAD: Final = 8

Work = Callable[[_P], Iterator[_R]]
"""What is done with a part."""


class Outcome(NamedTuple):
    """What a part of the work came to: all up to its end, or up to an error."""

    found: Sequence[Any]
    error: Exception | None


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_out(
    begin: Callable[[], Work[_P, _R]],
    parts: Sequence[_P],
    *,
    processes: int,
    cost: Callable[[_P], int] | None = None,
    done: Callable[[_P], None] | None = None,
) -> Iterator[_R]:
    """Yield what is made of each part, in the parts' order; when it ends, however that is, nothing goes on.

    A pool of the standard library's would not do: it waits for what is running, and leaves semaphores when it is killed.

    Args:
        begin: Returns what is done with a part; called once in each process. It, the parts and what comes of them can be
            pickled.
        parts: The parts.
        processes: How many processes.
        cost: How much work a part is: the costliest is begun first, so that none of them is begun when all else is done.
            None to begin them in their order, a few ahead of the one that is waited for: then little is held at once.
        done: Is told of each part when it is done.

    Raises:
        Exception: What was raised there, behind all that comes before it.
        CodeFailed: If a process ends before its time.
    """
    order = sorted(range(len(parts)), key=lambda number: -cost(parts[number])) if cost else range(len(parts))
    waiting = deque(order)
    outcomes: dict[int, Outcome] = {}
    with ExitStack() as ending:
        workers = _Workers()
        ending.callback(workers.end)
        workers.start(begin, min(processes, len(parts)))
        for wanted in range(len(parts)):
            while wanted not in outcomes:
                while workers.idle and waiting and (cost or waiting[0] < wanted + _AHEAD * processes):
                    number = waiting.popleft()
                    workers.send(number, parts[number])
                for number, outcome in workers.receive():
                    outcomes[number] = outcome
                    if done is not None:
                        done(parts[number])
            found, error = outcomes.pop(wanted)
            yield from found
            if error is not None:
                raise error


class _Workers:
    """The processes, each of which works on one part at a time."""

    def __init__(self) -> None:
        self._all: dict[Connection, ForkProcess | SpawnProcess] = {}
        self.idle: list[Connection] = []

    def start(self, begin: Callable[[], Work[Any, Any]], count: int) -> None:
        context = _context()
        for _ in range(count):
            ours, theirs = context.Pipe()
            self._all[ours] = context.Process(target=_serve, args=(theirs, begin), daemon=True)
            self._all[ours].start()
            theirs.close()
            self.idle.append(ours)

    def send(self, number: int, part: object) -> None:
        """Give a part to one that is idle."""
        connection = self.idle.pop()
        with _talking_to(self._all[connection]):
            connection.send((number, part))

    def receive(self) -> Iterator[tuple[int, Outcome]]:
        """Wait until parts are done, and yield their numbers and outcomes."""
        from multiprocessing.connection import Connection, wait

        for ready in wait([connection for connection in self._all if connection not in self.idle]):
            assert isinstance(ready, Connection)
            with _talking_to(self._all[ready]):
                number, outcome = ready.recv()
            self.idle.append(ready)
            yield number, outcome

    def end(self) -> None:
        """End them, whatever they are doing."""
        for worker in self._all.values():
            worker.terminate()
        for worker in self._all.values():
            worker.join()


def _context() -> "ForkContext | SpawnContext":
    """Fork where that is safe, since a new interpreter takes as long to start as much work: not on macOS, nor with threads."""
    from multiprocessing import get_context

    threading = sys.modules.get("threading")
    alone = threading is None or threading.active_count() == 1
    return get_context("fork") if alone and sys.platform == "linux" else get_context("spawn")


@contextmanager
def _talking_to(worker: "ForkProcess | SpawnProcess") -> Iterator[None]:
    """Say so where a process has died; a pipe that broke here is not standard output."""
    try:
        yield
    except (EOFError, ConnectionError) as error:
        worker.join()
        raise CodeFailed(
            f"a process that folds has ended before its time, with exit code {worker.exitcode}",
            "does a reducer end its process? is there enough memory?",
        ) from error


def _serve(connection: "Connection", begin: Callable[[], Work[Any, Any]]) -> None:
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
    begun = cache(begin)
    while True:
        number, part = connection.recv()
        connection.send((number, _outcome(begun, part)))


def _outcome(begun: Callable[[], Work[Any, Any]], part: Any) -> Outcome:  # noqa: ANN401 (whatever is shared out)
    found: list[Any] = []
    try:
        found.extend(begun()(part))
    except Exception as error:  # noqa: BLE001 (it is raised where the outcome is received)
        return Outcome(found, error)
    return Outcome(found, None)
