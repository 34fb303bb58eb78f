"""Running a program for each event of a subscription: in order per stream, retried, and set aside where it is hopeless."""

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event as Flag
from typing import Final, NamedTuple

from evcli.domain.events import Event
from evcli.errors import Usage
from evcli.read_side.subscriptions import Feed, Item
from evcli.storage.clock import now
from evcli.storage.subscription_files import MOST_AHEAD, DeadLetter, Progress, ProgressFile, SubscriptionFiles

_QUICK: Final = 0.02
_SLOW: Final = 0.1
_LONGEST_PAUSE: Final = 60.0
_GRACE: Final = 1.0
_TOLD_TO_END: Final = (-2, 130, -15, 143)
_LONGEST_TYPE: Final = 4096


class Handling(NamedTuple):
    """How events are handled: the program and its arguments; how often and after what seconds it is run again.

    ``batch`` is how many events one run is given at most, ``jobs`` how many streams are handled at a time. ``store`` is
    what programs that call evcli find in EVCLI_STORE; ``reader_is_gone`` says that nobody reads what they print.
    """

    program: Sequence[str]
    retries: int = 3
    backoff: float = 1.0
    batch: int = 1
    jobs: int = 1
    store: str = ""
    reader_is_gone: Callable[[], bool] = bool


class Ended(NamedTuple):
    """How runs for some events ended: 0 is handled, None not tried to the end, else the last exit code."""

    code: int | None
    attempts: int


class Runner:
    """Handles a subscription's events, whose lock is held, until there are none, or ``stop`` is set.

    Args:
        files: The subscription.
        feed: Its events.
        handling: What handles them.
        stop: Set from outside to end: what is running is waited for.
        report: Is told of each dead letter.
    """

    def __init__(
        self,
        files: SubscriptionFiles,
        feed: Feed,
        handling: Handling,
        *,
        stop: Flag,
        report: Callable[[DeadLetter], None],
    ) -> None:
        self._files = files
        self._feed = feed
        self._handling = handling
        self._stop = stop
        self._report = report
        self._window: dict[int, bool] = {}  # positions taken from the feed, in order, and whether they are handled
        self._done: frozenset[int] = frozenset()  # what an earlier run has handled out of turn
        self._queues: dict[str, deque[Item]] = {}
        self._running: dict[Future[Ended], tuple[str, list[Item]]] = {}
        self.dead = 0

    def run(self, *, once: bool) -> int:
        """Handle events; with ``once`` those that are there. Return how many went to the dead letters.

        Raises:
            OSError: If the program cannot be started; nothing of the event in hand is forgotten.
        """
        progress = self._files.keep()
        self._done = frozenset(progress.progress.done)
        try:
            with ThreadPoolExecutor(self._handling.jobs) as pool:
                try:
                    self._handle_all(progress, pool, once=once)
                finally:
                    self._stop.set()  # whatever went wrong: nobody is to wait for a back-off
        finally:
            progress.close()
        return self.dead

    def _handle_all(self, progress: ProgressFile, pool: ThreadPoolExecutor, *, once: bool) -> None:
        pause = _QUICK
        while not self._stop.is_set():
            before = self._feed.position
            self._handle(self._feed.items(), progress, pool, live=not once and self._handling.jobs > 1)
            progress.sync()
            if once:
                return
            if self._feed.position > before:
                pause = _QUICK
            else:  # what made it look may be in doubt for a while
                self._stop.wait(pause)
            while not self._stop.is_set() and not self._feed.has_more():
                self._stop.wait(pause)
                pause = min(_SLOW, pause * 1.2)

    def _handle(self, items: Iterator[Item], progress: ProgressFile, pool: ThreadPoolExecutor, *, live: bool) -> None:
        """Handle what the feed has now; ``live`` also what comes while a program is running."""
        exhausted = False
        while True:
            while not exhausted and not self._stop.is_set() and len(self._window) < MOST_AHEAD:
                item = next(items, None)
                exhausted = item is None
                if item is not None:
                    self._take(item)
                if self._handling.batch == 1 and self._handling.jobs == 1:
                    break
            if not self._stop.is_set():
                self._start(pool)
            idle = not self._running
            # Not for longer: a signal that another thread got is heeded only once this one goes on.
            for done in wait(self._running, timeout=_SLOW, return_when=FIRST_COMPLETED).done:
                self._end(self._running.pop(done)[1], done.result())
            self._write(progress, exhausted=exhausted)
            if live and exhausted and self._running and self._feed.has_more():
                items, exhausted = self._feed.items(), False
            if idle and (exhausted or self._stop.is_set()):
                return

    def _take(self, item: Item) -> None:
        if item.position in self._done:
            self._window[item.position] = True
            return
        lane = item.event["stream"] if self._handling.jobs > 1 else ""
        self._queues.setdefault(lane, deque()).append(item)
        self._window[item.position] = False

    def _start(self, pool: ThreadPoolExecutor) -> None:
        busy = {lane for lane, _ in self._running.values()}
        for lane in [lane for lane in self._queues if lane not in busy]:
            if len(self._running) == self._handling.jobs:
                return
            queue = self._queues[lane]
            items = [queue.popleft() for _ in range(min(self._handling.batch, len(queue)))]
            if not queue:
                del self._queues[lane]
            self._running[pool.submit(run_program, self._handling, items, self._stop)] = (lane, items)

    def _end(self, items: list[Item], ended: Ended) -> None:
        if ended.code is None:
            return
        if ended.code:
            letters = [DeadLetter.of(item.line, exit=ended.code, attempts=ended.attempts, time=now()) for item in items]
            self._files.bury(letters)
            self.dead += len(letters)
            for letter in letters:
                self._report(letter)
        for item in items:
            self._window[item.position] = True

    def _write(self, progress: ProgressFile, *, exhausted: bool) -> None:
        """Write how far all is handled: what is dead is so durably before."""
        reached = progress.progress.position
        for position in list(self._window):
            if not self._window[position]:
                reached = max(reached, position - 1)  # what was not taken from the feed before it is not wanted
                break
            del self._window[position]
            reached = position
        else:
            reached = self._feed.position if exhausted else reached
        done = tuple(position for position, handled in self._window.items() if handled)
        head = self._feed.head
        progress.write(Progress(reached, done, head.position, head.hash))


def run_program(handling: Handling, items: Sequence[Item], stop: Flag) -> Ended:
    """Run a program for events, again while it fails and may be; return how that ended.

    Once ``stop`` is set a failure is not counted: it may be because the program was stopped too.

    Raises:
        OSError: If the program is not there (any more); Usage if it is none.
        BrokenPipeError: If it fails, and nobody reads what it prints: that is no fault of the event's.
    """
    import subprocess

    env = _environment(handling, items[-1].event)
    given = b"".join(item.line + b"\n" for item in items)
    pause = handling.backoff
    attempts = 0
    while True:
        attempts += 1
        try:
            code = subprocess.run(handling.program, input=given, env=env, check=False).returncode
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            raise Usage(f"{handling.program[0]} is no program", "a script begins with a line like #!/bin/sh") from error
        if code == 0:
            return Ended(0, attempts)
        if handling.reader_is_gone():
            raise BrokenPipeError
        if stop.wait(_GRACE if code in _TOLD_TO_END else 0):  # Ctrl-C reaches the program too
            return Ended(None, attempts)
        if attempts > handling.retries:
            return Ended(code if code > 0 else 128 - code, attempts)
        if stop.wait(pause):
            return Ended(None, attempts)
        pause = min(_LONGEST_PAUSE, pause * 2)


def _environment(handling: Handling, event: Event) -> dict[bytes, bytes]:
    """Return the environment of a run; a type is cut to what an environment can hold."""
    kind = event["type"].replace("\0", "\N{REPLACEMENT CHARACTER}")[:_LONGEST_TYPE]
    told = {"STREAM": event["stream"], "VERSION": event["version"], "POSITION": event["position"], "TYPE": kind}
    own = {f"EVCLI_{name}".encode(): str(value).encode() for name, value in told.items()}
    return os.environb | own | {b"EVCLI_STORE": os.fsencode(handling.store)}
