"""Running a program for each event of a subscription: in order per stream, retried, and set aside where it is hopeless."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event as Flag
from typing import Final, NamedTuple

from evcli.read_side.subscriptions import Feed, Item
from evcli.storage.clock import now
from evcli.storage.subscription_files import MOST_AHEAD, DeadLetter, Progress, ProgressFile, SubscriptionFiles

_QUICK: Final = 0.02
_SLOW: Final = 0.1
_SYNC_EVERY: Final = 0.1
_LONGEST_PAUSE: Final = 60.0
_GRACE: Final = 0.2
_KILLED_BY_INTERRUPT: Final = (-2, 130)


class Handling(NamedTuple):
    """How events are handled: the program and its arguments; how often and after what seconds it is run again.

    ``batch`` is how many events one run is given at most, ``jobs`` how many streams are handled at a time.
    """

    program: Sequence[str]
    retries: int = 3
    backoff: float = 1.0
    batch: int = 1
    jobs: int = 1


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
        self._queues: dict[str, deque[Item]] = {}
        self._running: dict[Future[Ended], tuple[str, list[Item]]] = {}
        self._synced = 0.0
        self.dead = 0

    def run(self, *, once: bool) -> int:
        """Handle events; with ``once`` those that are there. Return how many went to the dead letters.

        Raises:
            OSError: If the program cannot be started.
        """
        progress = self._files.keep()
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
            self._handle(self._feed.items(), progress, pool)
            progress.sync()
            if once:
                return
            while not self._stop.is_set() and not self._feed.has_more():
                self._stop.wait(pause)
                pause = min(_SLOW, pause * 1.2)
            pause = _QUICK

    def _handle(self, items: Iterator[Item], progress: ProgressFile, pool: ThreadPoolExecutor) -> None:
        """Handle what the feed has now."""
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
            if self._running:
                for done in wait(self._running, return_when=FIRST_COMPLETED).done:
                    self._end(self._running.pop(done)[1], done.result())
                self._write(progress, exhausted=exhausted)
            elif exhausted or self._stop.is_set():
                self._write(progress, exhausted=exhausted)
                return

    def _take(self, item: Item) -> None:
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
        if time.monotonic() - self._synced > _SYNC_EVERY:
            progress.sync()
            self._synced = time.monotonic()


def run_program(handling: Handling, items: Sequence[Item], stop: Flag) -> Ended:
    """Run a program for events, again while it fails and may be; return how that ended."""
    import subprocess

    event = items[-1].event
    place = {"STREAM": event["stream"], "VERSION": event["version"], "POSITION": event["position"]}
    env = os.environ | {f"EVCLI_{name}": str(value) for name, value in {**place, "TYPE": event["type"]}.items()}
    given = b"".join(item.line + b"\n" for item in items)
    pause = handling.backoff
    attempts = 0
    while True:
        attempts += 1
        code = subprocess.run(handling.program, input=given, env=env, check=False).returncode
        if code == 0:
            return Ended(0, attempts)
        if code in _KILLED_BY_INTERRUPT and stop.wait(_GRACE):  # Ctrl-C reaches the program too
            return Ended(None, attempts)
        if attempts > handling.retries:
            return Ended(code if code > 0 else 128 - code, attempts)
        if stop.wait(pause):
            return Ended(None, attempts)
        pause = min(_LONGEST_PAUSE, pause * 2)
