"""Checking one disk that a crash left: readers, the next writer, verify, and readers again."""

import itertools
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EIO, ENOSPC

import orjson as json

from evcli.domain.events import Write
from evcli.errors import DurabilityUnknown, StorageFailed, StoreNotFound
from evcli.storage import local, looking
from evcli.storage.codec import new_event
from evcli.storage.local import LocalStore
from tests.torture.crash_model import Disk, History, Op
from tests.torture.crash_trace import Recorder
from tests.torture.rig import Figures

STORE = "books/main/store"
"""Where the store is below the recorded directory: the directories above it are made by evcli, too."""
STREAMS = ("a", "b", "deep/er/c", "deep/d")

Commits = dict[int, tuple[tuple[str, int], ...]]
"""The events of each commit: stream, and the number that the event carries."""


class Wrong(Exception):  # noqa: N818 (what a rig looks for)
    """An invariant does not hold; ``kind`` is one of those that `Figures` counts."""

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(problem)
        self.kind = kind


class Finder:
    """Counts states, each only once, and what is wrong with them."""

    def __init__(self) -> None:
        self.figures = Figures()
        self._seen: set[int] = set()

    def is_new(self, disk: Disk) -> bool:
        """Count a disk; say whether it was not met before."""
        key = hash((frozenset(disk.contents().items()), disk.allowed))
        if key in self._seen:
            return False
        self._seen.add(key)
        self.figures.states += 1
        return True

    @contextmanager
    def finding(self, label: str) -> Iterator[None]:
        """Count whatever goes wrong within."""
        try:
            yield
        except Wrong as wrong:
            self.figures.find(wrong.kind, f"{label}: {wrong}")
        except Exception as error:  # noqa: BLE001 (none of them is documented here)
            self.figures.find("exceptions", f"{label}: {type(error).__name__}: {error}")


def payload(number: int) -> dict[str, object]:
    """Return the data of the event with that number: a few bytes, or some sectors."""
    return {"n": number, "text": "x" * (number * 389 % (1700 if number % 5 == 0 else 90))}


def events_for(numbers: list[tuple[str, int]]) -> list[Write]:
    streams: dict[str, list[int]] = {}
    for stream, number in numbers:
        streams.setdefault(stream, []).append(number)
    return [
        Write(stream, [new_event({"type": "tested", "data": payload(number)}) for number in found])
        for stream, found in streams.items()
    ]


class Place:
    """A directory in which disks are built one after another, with a clock and randomness of its own.

    Args:
        folder: The directory.
        rng: What all that is random comes from.
        commits: The commits there are; new ones are added.
        first: The first number that is free for new commits and events.
    """

    def __init__(self, folder: str, rng: random.Random, commits: Commits, *, first: int) -> None:
        self.folder = folder
        self.rng = rng
        self.commits = dict(commits)
        self._starts = {events[0][1]: number for number, events in self.commits.items()}
        self._next = first
        self._ticks = 0
        os.makedirs(folder, exist_ok=True)
        setattr(local, "now", self.now)  # noqa: B010 (a name it only imports) - the same seed gives the same states
        setattr(looking, "_LOOKS", 1)  # noqa: B010 (a constant) - nobody writes meanwhile: what is damage now stays so

    @property
    def store(self) -> str:
        return os.path.join(self.folder, STORE)

    def now(self) -> str:
        self._ticks += 1
        return f"2026-11-23T{self._ticks // 3_600_000_000 % 24:02}:{self._ticks // 60_000_000 % 60:02}:{self._ticks // 1_000_000 % 60:02}.{self._ticks % 1_000_000:06}Z"

    def build(self, disk: Disk) -> None:
        """Put the disk's files in the place of what is there."""
        shutil.rmtree(self.folder)
        os.mkdir(self.folder)
        for path, text in disk.contents().items():
            if text is None:
                os.mkdir(f"{self.folder}/{path}")
            else:
                fd = os.open(f"{self.folder}/{path}", os.O_WRONLY | os.O_CREAT, 0o666)
                if text:
                    os.write(fd, text)
                os.close(fd)

    def new_commit(self, events: list[str]) -> tuple[int, list[Write]]:
        """Make a commit of one event in each of these streams; one may be named several times."""
        numbered = [(stream, self._next + at) for at, stream in enumerate(events)]
        self._next += len(events)
        number = numbered[0][1]
        writes = events_for(numbered)
        at = {stream: iter([pair for pair in numbered if pair[0] == stream]) for stream, _ in numbered}
        self.commits[number] = tuple(next(at[write.stream]) for write in writes for _ in write.events)
        self._starts[self.commits[number][0][1]] = number
        return number, writes

    def some_commit(self) -> tuple[int, list[Write]]:
        """Make a commit of one of several shapes."""
        rng = self.rng
        shape = rng.randrange(10)
        if shape < 4:
            return self.new_commit([rng.choice(STREAMS)])
        if shape < 6:
            return self.new_commit([rng.choice(STREAMS)] * rng.randint(2, 6))
        return self.new_commit(
            [stream for stream in rng.sample(STREAMS, rng.randint(2, 3)) for _ in range(rng.randint(1, 2))]
        )

    def read(self, *, by_stream: bool = True) -> History:
        """Read the store as a reader does, globally and by stream, and return the commits it shows."""
        store = LocalStore(self.store)
        try:
            head = store.head()
        except StoreNotFound:
            return ()
        commits = list(store.read_all(end=head.position))
        history = self._history_of(commits)
        events = sum(map(len, commits))
        if events != head.position:
            raise Wrong("partial", f"the head is at {head.position}, and the events end at {events}")
        if by_stream:
            self._read_streams(store, head.position, commits)
        return history

    def scan(self) -> History:
        """Read the streams' files with nothing of evcli, and return the commits they hold."""
        lines: list[tuple[int, bytes]] = []
        for folder, _, names in os.walk(f"{self.store}/streams"):
            for name in names:
                with open(f"{folder}/{name}", "rb") as file:
                    lines += [(int(line[12 : line.index(b",")]), line) for line in file.read().split(b"\n") if line]
        commits: list[list[bytes]] = []
        for _, line in sorted(lines):
            start = json.loads(line)["data"]["n"] in self._starts
            if start or not commits:
                commits.append([])
            commits[-1].append(line)
        return self._history_of(commits)

    def _history_of(self, commits: list[list[bytes]]) -> History:
        """Check events, positions and versions, and name the commits."""
        history: list[int] = []
        versions: dict[str, int] = {}
        position = 0
        for lines in commits:
            found = []
            for line in lines:
                event = json.loads(line)
                stream, number = event["stream"], event["data"]["n"]
                position += 1
                versions[stream] = version = versions.get(stream, 0) + 1
                if (event["position"], event["version"]) != (position, version):
                    raise Wrong("partial", f"{stream}@{event['version']} at {event['position']} leaves a gap")
                if event["data"] != payload(number):
                    raise Wrong("partial", f"event {number} is not what was appended")
                found.append((stream, number))
            commit = self._starts.get(found[0][1], -1)
            if commit in history:
                raise Wrong("duplicates", f"commit {commit} is there twice")
            if tuple(found) != self.commits.get(commit):
                raise Wrong("partial", f"of commit {commit} there is {found}")
            history.append(commit)
        return tuple(history)

    def _read_streams(self, store: LocalStore, end: int, commits: list[list[bytes]]) -> None:
        streams: dict[str, list[bytes]] = {}
        for line in itertools.chain.from_iterable(commits):
            streams.setdefault(json.loads(line)["stream"], []).append(line)
        for stream in store.streams():
            lines = [line for chunk in store.read_stream(stream, end=end) for line in chunk.lines]
            if lines != streams.get(stream, []):
                raise Wrong("partial", f"{stream} alone reads otherwise than with all others")
            streams.pop(stream, None)
        if streams:
            raise Wrong("lost", f"not listed: {list(streams)}")


class Walker:
    """Takes disks through reader, writer, verify and reader, and returns what the writer did."""

    def __init__(self, place: Place, finder: Finder) -> None:
        self.place = place
        self.finder = finder

    def visit(self, disk: Disk, label: str, *, faulty: bool = False) -> tuple[Disk, list[Op]] | None:
        """Check a disk; return it with the steps of the writers that came next. None if it was met before, or is wrong.

        If ``faulty``, one or two of the writer's calls fail.
        """
        if not self.finder.is_new(disk):
            return None
        self.place.build(disk)
        with self.finder.finding(label):
            seen = self.place.read(by_stream=self.place.rng.random() < 0.5)
            self._check_history(disk, seen)
            if disk.certain:  # what a reader finds after a power cut is what the next writer builds upon
                disk.allowed = frozenset([seen])
            return disk, self._write_faultily(seen) if faulty else self._write(disk, seen)
        return None

    def _check_history(self, disk: Disk, seen: History) -> None:
        if seen in disk.allowed:
            return
        steps = itertools.takewhile(lambda commits: len(set(commits)) == 1, zip(*disk.allowed, strict=False))
        kept = tuple(commits[0] for commits in steps)
        if seen[: len(kept)] != kept:
            raise Wrong("lost", f"acknowledged were {kept}, and there is {seen}")
        raise Wrong("partial", f"there is {list(seen)}, which is none of {sorted(map(list, disk.allowed))}")

    def _write(self, disk: Disk, seen: History) -> list[Op]:
        """Append once or twice in one process, and check that all else stays as it was."""
        store, history = LocalStore(self.place.store, allow_network_fs=True), seen
        with Recorder(self.place.folder) as recorder:
            for _ in range(2 if self.place.rng.random() < 0.25 else 1):
                commit, writes = self.place.some_commit()
                recorder.ops.append(Op("begin", number=commit))
                receipt = store.append(writes)
                history = (*history, commit)
                recorder.ops.append(Op("ack", number=commit, history=history))
        events = sum(len(self.place.commits[commit]) for commit in history)
        if receipt.position != events:
            raise Wrong("partial", f"the receipt says position {receipt.position}, and there are {events} events")
        found = self.place.scan() if self.place.rng.random() < 0.75 else self.place.read()
        if found != history:
            lost = "lost" if set(history) - set(found) else "partial"
            raise Wrong(lost, f"before the append {list(seen)}, after it {list(found)}")
        self._check_files(disk)
        report = LocalStore(self.place.store).verify()
        if report.findings or report.events != events or report.in_progress:
            raise Wrong("exceptions", f"verify finds {report.findings[:2]} and {report.events} events of {events}")
        return recorder.ops

    def _check_files(self, disk: Disk) -> None:
        for path, text in disk.kept.items():
            if not text:  # left by an earlier crash, and never synced
                continue
            with open(f"{self.place.folder}/{path}", "rb") as file:
                if file.read(len(text)) != text:
                    raise Wrong("lost", f"{path} no longer begins with the bytes that were acknowledged")

    def _write_faultily(self, seen: History) -> list[Op]:
        """Append while calls fail; whatever it ends with must be true."""
        rng = self.place.rng
        first = rng.randint(1, 32)
        faults = {first: rng.choice((ENOSPC, EIO, EDQUOT))}
        if rng.random() < 0.4:
            faults[first + rng.randint(2, 6)] = rng.choice((ENOSPC, EIO))
        commit, writes = self.place.some_commit()
        after: frozenset[History] = frozenset([(*seen, commit)])
        with Recorder(self.place.folder, faults) as recorder:
            recorder.ops.append(Op("begin", number=commit))
            try:
                LocalStore(self.place.store, allow_network_fs=True).append(writes)
                recorder.ops.append(Op("ack", number=commit, history=(*seen, commit)))
            except DurabilityUnknown:
                after |= {seen}
            except (StorageFailed, OSError) as error:
                if isinstance(error, OSError) and any(op.kind == "write" for op in recorder.ops):
                    raise
                after = frozenset([seen])
                recorder.ops.append(Op("undone", number=commit))
        found = self.place.read()
        if found not in after:
            raise Wrong(
                "lost" if set(seen) - set(found) else "partial", f"after {faults} failed: {list(found)}, not {after}"
            )
        return recorder.ops
