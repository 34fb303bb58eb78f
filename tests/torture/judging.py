"""Judging a store after something happened to it: what was acknowledged is there, the rest whole or not at all."""

import gc
import os
import pickle
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, TypeVar

from evcli.domain.events import Write
from evcli.errors import StoreNotFound
from evcli.storage.codec import loads, new_event
from evcli.storage.contract import Receipt
from evcli.storage.local import LocalStore
from tests.torture.rig import Figures

Task = TypeVar("Task")
_AFTER: Final = 10**9
_MEMORY: Final = "/dev/shm"  # noqa: S108 (made for each run by mkdtemp)
_within: list[str] = []


class Known(NamedTuple):
    """What is known of a store.

    ``acknowledged`` are the commits whose receipts were given, by key, with their last positions; ``possible`` those
    that may be there, whole, or not; no other is. ``identity`` is what store.json holds, where that is known.
    """

    acknowledged: Mapping[int, int]
    possible: frozenset[int] = frozenset()
    identity: bytes | None = None

    def after(self, key: int, receipt: Receipt) -> "Known":
        return self._replace(acknowledged={**self.acknowledged, key: receipt.position})

    def perhaps(self, key: int) -> "Known":
        return self._replace(possible=self.possible | {key})


NOTHING: Final = Known({})


class Event(NamedTuple):
    """An event of a commit that `commit` made: its place, its commit's key, its number in it, the commit's size."""

    position: int
    stream: str
    version: int
    key: int
    index: int  # type: ignore[assignment]  # its number, not the tuple's method
    total: int


def commit(key: int, counts: Mapping[str, int], *, pad: int = 0) -> list[Write]:
    """Make a commit of so many events in each stream, which says of each event where in the commit it belongs."""
    total, index = sum(counts.values()), 0
    writes = []
    for stream, count in counts.items():
        data = [{"key": key, "index": index + n, "total": total, "pad": "x" * pad} for n in range(count)]
        writes.append(Write(stream, [new_event({"type": "tested", "data": each}) for each in data]))
        index += count
    return writes


def judge(root: str, known: Known, figures: Figures, where: str) -> None:
    """Read the store, append to it, read it again, verify it; whatever is wrong goes into ``figures``."""
    try:
        before = read_events(root)
        _check(before, known, figures, where)
        _check_verify(root, before, figures, f"{where}, then verify")
        receipt = LocalStore(root).append(commit(_AFTER, {"after/all": 1}), lock_wait=0)
        after = read_events(root)
        if after[: len(before)] != before:
            figures.find("lost", f"{where}: what a reader had seen changed with the next append")
        _check(after, known.after(_AFTER, receipt), figures, f"{where}, then append")
        _check_verify(root, after, figures, f"{where}, then append and verify")
        _check_identity(root, known, figures, where)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is what the rig looks for)
        figures.find("exceptions", f"{where}, then {type(error).__name__}: {error}")


def read_events(root: str) -> list[Event]:
    """Return all events in global order; none where there is no store."""
    store = LocalStore(root)
    try:
        end = store.head().position
    except StoreNotFound:
        return []
    return [event_of(line) for lines in store.read_all(end=end) for line in lines]


def event_of(line: bytes) -> Event:
    found = loads(line)
    data = found["data"]
    return Event(found["position"], found["stream"], found["version"], data["key"], data["index"], data["total"])


def _check(events: Sequence[Event], known: Known, figures: Figures, where: str) -> None:
    if [event.position for event in events] != list(range(1, len(events) + 1)):
        figures.find("exceptions", f"{where}: the positions have a gap or a repeat")
    versions: dict[str, int] = {}
    commits: dict[int, list[Event]] = {}
    for event in events:
        if event.version != versions.get(event.stream, 0) + 1:
            figures.find("exceptions", f"{where}: {event.stream}@{event.version} follows {versions.get(event.stream)}")
        versions[event.stream] = event.version
        commits.setdefault(event.key, []).append(event)
    for key, position in known.acknowledged.items():
        if key not in commits or commits[key][-1].position != position:
            figures.find("lost", f"{where}: commit {key}, acknowledged at position {position}")
    for key, found in commits.items():
        _check_commit(key, found, known, figures, where)


def _check_commit(key: int, found: list[Event], known: Known, figures: Figures, where: str) -> None:
    indexes = [event.index for event in found]
    if len(set(indexes)) < len(indexes):
        figures.find("duplicates", f"{where}: commit {key} holds {indexes}")
    elif indexes != list(range(found[0].total)) or found[-1].position - found[0].position != len(found) - 1:
        figures.find("partial", f"{where}: commit {key} holds {indexes} of {found[0].total}")
    if key not in known.acknowledged and key not in known.possible:
        figures.find("exceptions", f"{where}: commit {key} is there, and was said not to be")


def _check_verify(root: str, events: Sequence[Event], figures: Figures, where: str) -> None:
    try:
        report = LocalStore(root).verify()
    except StoreNotFound:
        return
    if report.findings or report.events != len(events):
        figures.find("exceptions", f"{where}: {report.events} events of {len(events)}, {report.findings[:1]}")


def _check_identity(root: str, known: Known, figures: Figures, where: str) -> None:
    if known.identity is not None and read_identity(root) != known.identity:
        figures.find("exceptions", f"{where}: the store has another id")


def read_identity(root: str) -> bytes:
    with open(os.path.join(root, "store.json"), "rb") as file:
        return file.read()


@contextmanager
def work_folder() -> Iterator[str]:
    """Give a directory that is gone afterwards; in a child of `share_out`, within its parent's.

    It is in memory, since its file system is not the point: what a process leaves is in the page cache of either.
    """
    usable = os.path.isdir(_MEMORY) and os.access(_MEMORY, os.W_OK)
    folder = tempfile.mkdtemp(prefix="evcli-torture-", dir=_within[-1] if _within else _MEMORY if usable else None)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def share_out(tasks: Sequence[Task], run: Callable[[Sequence[Task]], Figures], *, figures: Figures) -> None:
    """Run ``tasks`` in two processes, and add what they counted to ``figures``."""
    shares = [share for share in (tasks[::2], tasks[1::2]) if share]
    with work_folder() as folder:
        children = [_fork_share(os.path.join(folder, str(n)), share, run) for n, share in enumerate(shares)]
        for number, child in enumerate(children):
            _wait_for(child, children[number:])
            path = os.path.join(folder, str(number))
            if os.path.exists(path):
                with open(path, "rb") as file:
                    add(figures, pickle.load(file))  # noqa: S301 (our own child wrote it)
            else:
                figures.find("exceptions", f"the rig itself died with {len(shares[number])} states to go")


def _wait_for(child: int, left: Sequence[int]) -> None:
    """Wait for a child; whoever is stopped while it waits stops those that are left, and lets them clean up."""
    try:
        os.waitpid(child, 0)
    except BaseException:
        for each in left:
            os.kill(each, signal.SIGINT)
        for each in left:
            with suppress(ChildProcessError):
                os.waitpid(each, 0)
        raise


def _fork_share(path: str, share: Sequence[Task], run: Callable[[Sequence[Task]], Figures]) -> int:
    import traceback

    child = os.fork()
    if child:
        return child
    gc.freeze()  # what the parent has is not the child's to collect: looking it over copies every page of it
    try:
        _within.append(os.path.dirname(path))  # which the parent removes, however this process ends
        found = run(share)
        with open(path + ".new", "wb") as file:
            pickle.dump(found, file)
        os.rename(path + ".new", path)
    except BaseException:  # noqa: BLE001 (it has nowhere to go in a forked child)
        traceback.print_exc()
    finally:
        os._exit(0)


def add(figures: Figures, more: Figures) -> None:
    """Add up what two parts of a rig counted."""
    for kind in ("states", "lost", "partial", "duplicates", "exceptions"):
        setattr(figures, kind, getattr(figures, kind) + getattr(more, kind))
    figures.problems[:] = (figures.problems + more.problems)[:100]
    for what, count in more.more.items():
        figures.more[what] = figures.more.get(what, 0) + count
