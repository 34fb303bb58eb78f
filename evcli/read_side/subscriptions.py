"""Subscriptions: each event once it is out of doubt, at least once, from a durable place by name."""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from evcli.domain.events import Event
from evcli.domain.names import check_name, compile_glob, is_pattern, select_by
from evcli.errors import Busy, Damaged, NotFound, Refused, Usage
from evcli.storage.codec import loads
from evcli.storage.contract import EventStore, Head
from evcli.storage.subscription_files import Progress, SubscriptionFiles

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}").fullmatch
_PAUSE: Final = 0.05


class Item(NamedTuple):
    """An event to be handled: its stored line, and what it is."""

    line: bytes
    event: Event

    @property
    def position(self) -> int:
        """Its place in the store."""
        return self.event["position"]


class Feed:
    """The events after a place, as far as no crash takes them away any more.

    Args:
        store: The store.
        patterns: Which streams.
        types: Which types, and globs over them; none for all.
        name: The subscription's name, for messages.
        progress: Where to begin; what is in its ``done`` is not left out.

    Raises:
        Damaged: If the store's history is another than the one that the progress is of.
    """

    def __init__(
        self, store: EventStore, patterns: Sequence[str], types: Sequence[str], *, name: str, progress: Progress
    ) -> None:
        self._store = store
        self._wanted = select_by(patterns)
        self._globs = [compile_glob(glob) for glob in types]
        self._name = name
        self._require_same(progress.head_position, progress.head_hash)
        self.position = progress.position
        self.head = Head(progress.head_position, progress.head_hash, "", -1)

    def has_more(self) -> bool:
        """Say, at the cost of one look, whether there may be new events."""
        return self._store.has_more(self.head)

    def items(self) -> Iterator[Item]:
        """Yield what is there now and is wanted; afterwards ``position`` is the end of it.

        Raises:
            Damaged: If the store does not verify, or another history was put in its place.
        """
        head = self._store.settled_head()
        self._require_same(self.head.position, self.head.hash)
        if head.position < self.head.position:
            return  # the last commit, known before, is being settled
        self.head = head
        for lines in self._store.read_all(end=head.position, after=self.position, wanted=self._wanted):
            for line in lines:
                event: Event = loads(line)
                if self._globs and not any(matches(event["type"]) for matches in self._globs):
                    continue
                yield Item(line, event)
        self.position = head.position

    def _require_same(self, position: int, digest: str) -> None:
        if not self._store.holds(position, digest):
            raise Damaged(
                "journal.jsonl",
                0,
                f"its history is another than the one that subscription {self._name} has handled (was a backup restored?)",
                f"see how far that was (evcli on --status {self._name}) and say where to go on: "
                f"evcli on --reset {self._name} --at now (or a position)",
            )


def files_of(state: str | None, store: EventStore, name: str) -> SubscriptionFiles:
    """Return the files of a subscription, which need not be there yet.

    Raises:
        Refused: If that cannot be a name.
        Usage: If there is no state directory.
    """
    if not _NAME(name):
        raise Refused(
            f"{name!r} cannot be a subscription's name", "letters, digits, '.', '_' and '-', at most 64 of them"
        )
    return SubscriptionFiles(os.path.join(_folder(state, store), name))


def all_files(state: str | None, store: EventStore) -> list[SubscriptionFiles]:
    """Return the files of all subscriptions to a store, by name."""
    folder = _folder(state, store)
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    found = [SubscriptionFiles(os.path.join(folder, name)) for name in names]
    return [files for files in found if files.exist()]


def check_patterns(patterns: Sequence[str]) -> None:
    """Do nothing if all of these can select a stream.

    Raises:
        Refused: If one is neither a stream's name nor a pattern.
    """
    for pattern in patterns:
        if not is_pattern(pattern):
            check_name(pattern)
    select_by(patterns)


def begin(store: EventStore, files: SubscriptionFiles, start: str | None) -> Progress:
    """Return how far a subscription has got; a new one begins as ``start`` says. The lock is held.

    Raises:
        Usage: If it is new, and ``start`` does not say where it begins.
    """
    check_start(files, start)
    if start is not None and not files.exist():
        files.start(place(store, start))
    return files.progress()


def check_start(files: SubscriptionFiles, start: str | None) -> None:
    """Do nothing if ``start`` says where a subscription begins, or it goes on where it was.

    Raises:
        Usage: If it is new, and ``start`` does not say where it begins; or ``start`` is neither first nor now.
    """
    if start not in (None, "first", "now"):
        raise Usage(f"--start {start!r} is neither first nor now", "say --start first, or --start now")
    if start is None and not files.exist():
        raise Usage(
            f"{files.name} is a new subscription: it does not say whether what was recorded before concerns it",
            "say --start first (everything), or --start now (only what comes)",
        )


def handled_one_by_one(
    store: EventStore,
    files: SubscriptionFiles,
    patterns: Sequence[str],
    types: Sequence[str],
    start: str | None,
    *,
    follow: bool,
) -> Iterator[Event]:
    """Yield events; each is handled once the next one is asked for. ``follow`` waits for what comes.

    Raises:
        Busy: If somebody else handles the subscription's events.
        Usage: If it is new, and ``start`` does not say where it begins.
    """
    check_patterns(patterns)
    check_start(files, start)
    with held(files):
        feed = Feed(store, patterns, types, name=files.name, progress=begin(store, files, start))
        progress = files.keep()
        done = progress.progress.done
        try:
            while True:
                for item in feed.items():
                    if item.position not in done:
                        yield item.event
                    progress.write(Progress(item.position, (), feed.head.position, feed.head.hash))
                progress.write(Progress(feed.position, (), feed.head.position, feed.head.hash))
                progress.sync()
                if not follow:
                    return
                time.sleep(_PAUSE)  # at least once: what is new may be in doubt for a while
                while not feed.has_more():
                    time.sleep(_PAUSE)
        finally:
            progress.close()


def place(store: EventStore, text: str) -> Progress:
    """Return the progress that ``first``, ``now`` or a position stands for: what is up to it is handled.

    Raises:
        Usage: If it is none of them, or beyond the end.
    """
    head = store.settled_head()
    if text == "now":
        return Progress(head.position, (), head.position, head.hash)
    position = 0 if text == "first" else int(text) if re.fullmatch("[0-9]{1,19}", text) else -1
    if not 0 <= position <= head.position:
        raise Usage(f"{text!r} is no place in this store", f"say first, now, or a position up to {head.position}")
    return Progress(position, (), head.position, head.hash)


def reset(store: EventStore, files: SubscriptionFiles, at: str, *, dry_run: bool) -> Progress:
    """Set how far a subscription has got, and return it.

    Raises:
        NotFound: If there is no such subscription.
        Busy: If somebody is handling its events.
    """
    require(files)
    progress = place(store, at)
    with held(files):
        if not dry_run:
            files.start(progress)
    return progress


def require(files: SubscriptionFiles) -> SubscriptionFiles:
    """Return the files if there is such a subscription.

    Raises:
        NotFound: If there is not.
    """
    if not files.exist():
        raise NotFound(f"no subscription {files.name}", "see what there is: evcli on --list", subscription=files.name)
    return files


@contextmanager
def held(files: SubscriptionFiles) -> Iterator[None]:
    """Hold the right to handle a subscription's events.

    Raises:
        Busy: If another run has it.
    """
    with files.lock() as free:
        if not free:
            raise busy(files)
        yield


def busy(files: SubscriptionFiles) -> Busy:
    """Make the error for a name that another run holds."""
    return Busy(f"another run of subscription {files.name} is going on", "stop it first, or take another --name")


def _folder(state: str | None, store: EventStore) -> str:
    if state is None:
        raise Usage("there is no directory to remember subscriptions in", "name one: EVCLI_STATE=DIR")
    return os.path.join(state, store.id, "subscriptions")
