"""Unlocked readers beside writers that also die: each sees a prefix of the log, whole commits, nothing twice.

A round has its own store, in turn on a disk and in memory, where commits come fastest. Writers append lines of 100 B to
1 MB to streams of their own, and commits over two streams; one after another is killed, at any moment or halfway through
a system call, so that readers meet torn commits and their settling. In the end what each reader has read is compared
with the log, and so is what ``evcli log --follow`` has printed.
"""

import json
import mmap
import os
import pickle
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from evcli.domain.events import NewEvent, Write
from evcli.domain.reducers import BUILT_IN
from evcli.errors import StoreNotFound
from evcli.history import Selection, follow_lines, select_lines
from evcli.replay import replay_stream
from evcli.storage import settle
from evcli.storage.contract import Bookmark, Head
from evcli.storage.lines import read_front
from evcli.storage.local import LocalStore
from tests.torture.forking import add, at_call, end, folder, fork, wait
from tests.torture.rig import Figures, Rig, Tier

ROUND: Final = 10_000
READERS: Final = 3
WRITERS: Final = 3
_PAIR: Final = ("pair/a", "pair/b")
_SIZES: Final = (100, 1_000, 10_000, 100_000, 1_000_000)
_WEIGHTS: Final = (600, 300, 80, 8, 2)
_PAUSE: Final = 0.004
_ENOUGH: Final = 10
_PATIENCE: Final = 60.0
_SLOT: Final = struct.Struct("QQQ")


class Board:
    """Memory that all processes of a round share: each writer's last acknowledgement, and whether to stop."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 4096)

    @property
    def stopped(self) -> bool:
        return self._memory[4095] != 0

    def stop(self) -> None:
        self._memory[4095] = 1

    def acknowledge(self, writer: int, position: int, number: int) -> None:
        rolled_back = self.of(writer)[2]
        _SLOT.pack_into(self._memory, writer * 64, position, number, rolled_back)

    def tell_rolled_back(self, writer: int) -> None:
        position, number, rolled_back = self.of(writer)
        _SLOT.pack_into(self._memory, writer * 64, position, number, rolled_back + 1)

    def of(self, writer: int) -> tuple[int, int, int]:
        position, number, rolled_back = _SLOT.unpack_from(self._memory, writer * 64)
        return position, number, rolled_back

    @property
    def acknowledged(self) -> int:
        return max(self.of(writer)[0] for writer in range(WRITERS))


def write_on(root: str, board: Board, writer: int, seed: int, *, dies: bool) -> None:
    """Append until told to stop, or until it is this process's turn to die."""
    source, store = random.Random(seed), LocalStore(root)
    roll_back = settle._roll_back  # noqa: SLF001 (to count them: readers must meet some)

    def counted(*given: object, **more: object) -> None:
        roll_back(*given, **more)  # type: ignore[arg-type]  # as they were given
        board.tell_rolled_back(writer)

    settle._roll_back = counted  # noqa: SLF001
    if dies:
        at_call(source.randint(1, 60), partial(os.kill, os.getpid(), signal.SIGKILL), half=source.random() < 0.5)
    while not board.stopped:
        number = source.getrandbits(52)
        receipt = store.append(_commit(source, writer, number), lock_wait=_PATIENCE)
        board.acknowledge(writer, receipt.position, number)
        time.sleep(source.random() * _PAUSE)


def _commit(source: random.Random, writer: int, number: int) -> list[Write]:
    streams = _PAIR if source.random() < 0.4 else (f"own/{writer}",)
    each = source.choice((1, 1, 2, 3))
    size = source.choices(_SIZES, _WEIGHTS)[0]
    data = f'{{"n":{number},"of":{each * len(streams)},"text":"{"x" * (size - 50)}"}}'
    return [Write(stream, [NewEvent("written", data)] * each) for stream in streams]


class _RoundIsOver(Exception):  # noqa: N818
    """There is nothing left to follow."""


class _Reader:
    """One reader: it goes on from where it was, in several ways, and keeps a digest of all it has read in order."""

    def __init__(self, root: str, board: Board, seed: int) -> None:
        self.store = LocalStore(root)
        self.board = board
        self.source = random.Random(seed)
        self.figures = Figures()
        self.at = Head(0, "", "")
        self.digest = sha256()
        self._bookmark: Bookmark | None = None
        self._version = 0

    def run(self, count: int) -> None:
        ways = (self._all, self._window, self._pair, self._stream, self._tail, self._time, self._replay)
        for way in self.source.choices(ways, (30, 20, 20, 20, 5, 5, 2), k=count):
            self._try(way)

    def follow(self) -> None:
        while not self.board.acknowledged:
            time.sleep(0.001)
        self._try(self._follow)

    def _try(self, way: Callable[[Head], None]) -> None:
        acknowledged = self.board.acknowledged
        try:
            head = self.store.head()
            if head.position < max(acknowledged, self.at.position):
                self.figures.find("lost", f"at {head.position}, after {acknowledged} was acknowledged")
            way(head)
        except _RoundIsOver:
            pass
        except StoreNotFound:
            if acknowledged:
                self.figures.find("lost", "the store")
        except Exception as error:  # noqa: BLE001 (what a rig looks for)
            self.figures.find("exceptions", f"{way.__name__}: {error!r}")
        self.figures.states += 1

    def take(self, lines: list[bytes]) -> None:
        """Take what comes next in global order: one commit."""
        front = read_front(lines[0])
        if front is None or front.position != self.at.position + 1:
            kind = "duplicates" if front and front.position <= self.at.position else "lost"
            self.figures.find(kind, f"{front} after position {self.at.position}")
        self._check_commit(lines)
        self.digest.update(b"\n".join(lines) + b"\n")
        self.at = self.at._replace(position=self.at.position + len(lines))

    def _check_commit(self, lines: list[bytes]) -> None:
        data = [json.loads(line)["data"] for line in lines]
        if len(data) != data[0]["of"] or len({part["n"] for part in data}) != 1:
            self.figures.find("partial", f"{len(data)} of {data[0]['of']} events at {read_front(lines[0])}")

    def _check_run(self, numbers: list[int], first: int, last: int, what: str) -> None:
        if numbers != list(range(first, last + 1)):
            missing = set(range(first, last + 1)) - set(numbers)
            self.figures.find("lost" if missing else "duplicates", f"{what} {first}..{last} came as {numbers[:20]}")

    def _all(self, head: Head) -> None:
        for lines in self.store.read_all(end=head.position, after=self.at.position):
            self.take(lines)
        if self.at.position != head.position:
            self.figures.find("lost", f"read up to {self.at.position} of {head.position}")

    def _window(self, head: Head) -> None:
        after = max(0, head.position - self.source.randint(0, 20))
        lines = [line for commit in self.store.read_all(end=head.position, after=after) for line in commit]
        positions = [front.position for line in lines if (front := read_front(line))]
        self._check_run(positions, after + 1, head.position, "positions")

    def _pair(self, head: Head) -> None:
        found = [self.store.info(stream, end=head.position) for stream in _PAIR]
        versions = [info.version if info else 0 for info in found]
        if versions[0] != versions[1]:
            self.figures.find("partial", f"versions {versions} at {head.position} of streams written together")

    def _stream(self, head: Head) -> None:
        for chunk in self.store.read_stream(_PAIR[0], end=head.position, bookmark=self._bookmark):
            versions = [front.version for line in chunk.lines if (front := read_front(line))]
            self._check_run(versions, self._version + 1, self._version + len(chunk.lines), "versions")
            self._version, self._bookmark = versions[-1], chunk.bookmark
        info = self.store.info(_PAIR[1], end=head.position)
        if self._version != (info.version if info else 0):
            self.figures.find("partial", f"{self._version} events at {head.position}, and {info} written together")

    def _tail(self, head: Head) -> None:
        lines = list(select_lines(self.store, Selection(streams=("own/*",), tail=5), end=head.position))
        if len({read_front(line) for line in lines}) != len(lines):
            self.figures.find("duplicates", f"in the last five up to {head.position}")

    def _time(self, head: Head) -> None:
        info = self.store.info(_PAIR[0], end=head.position)
        version = self.store.version_at(_PAIR[0], head.time, end=head.position)
        if version != (info.version if info else 0):
            self.figures.find("lost", f"as of {head.time}: {version} of {info}")

    def _replay(self, head: Head) -> None:
        states = [replay_stream(self.store, stream, BUILT_IN["count"], end=head.position) for stream in _PAIR]
        if states[0][1:] != states[1][1:]:
            self.figures.find("partial", f"states {states} at {head.position} of streams written together")

    def _follow(self, _head: Head) -> None:
        for lines in follow_lines(self.store, Selection(), self.at, idle=self._idle):
            self.take(lines)
            self.figures.states += 1

    def _idle(self) -> None:
        if self.board.stopped:
            raise _RoundIsOver
        time.sleep(0.0005)


class _Report(NamedTuple):
    """What a reader hands over: its figures, and the position and digest of what it has read."""

    figures: Figures
    position: int
    digest: str


def read_on(root: str, board: Board, seed: int, report: Path, *, count: int) -> None:
    """Read ``count`` times (0: follow until told to stop), and report."""
    reader = _Reader(root, board, seed)
    if count:
        reader.run(count)
    else:
        reader.follow()
    report.write_bytes(pickle.dumps(_Report(reader.figures, reader.at.position, reader.digest.hexdigest())))


def run_round(root: Path, figures: Figures, seed: int) -> None:
    """Let writers and readers loose on a store until the readers are done, then compare with what is there."""
    board, source, store = Board(), random.Random(seed), root / "store"

    def start(writer: int) -> int:
        return fork(partial(write_on, str(store), board, writer, source.getrandbits(32), dies=writer == 0))

    def read(reader: int) -> int:
        count = ROUND * 9 // 10 // READERS if reader else 0  # the follower makes up for the rest
        report = root / f"report-{reader}"
        return fork(partial(read_on, str(store), board, source.getrandbits(32), report, count=count))

    readers = {read(reader): reader for reader in range(READERS + 1)}
    writers = [start(writer) for writer in range(WRITERS)]
    follower = None
    try:
        quick = set(readers)
        while quick - {pid for pid, reader in readers.items() if reader == 0}:
            follower = follower or (_follow(store, root / "followed") if board.acknowledged else None)
            quick -= {pid for pid in quick if os.waitpid(pid, os.WNOHANG)[0]}
            _kill_one(writers, start, source, figures)
            if figures.exceptions > _ENOUGH:
                return
        board.stop()
        for pid in writers:
            if wait(pid) not in (0, -signal.SIGKILL):
                figures.find("exceptions", "a writer failed; see above")
        LocalStore(str(store)).append(_commit(source, 0, 0))
        for pid in quick:
            wait(pid)
        _compare(root, board, figures, follower)
    finally:
        for pid in (*writers, *readers):
            end(pid)
        if follower:
            follower.kill()
            follower.wait()


def _kill_one(writers: list[int], start: Callable[[int], int], source: random.Random, figures: Figures) -> None:
    """Kill one writer in this moment, if luck has it; put another in the place of any that died."""
    time.sleep(source.uniform(0, 0.02))
    victim = source.randrange(WRITERS)
    if source.random() < 0.1:
        os.kill(writers[victim], signal.SIGKILL)
    for writer, pid in enumerate(writers):
        gone, status = os.waitpid(pid, os.WNOHANG)
        if gone:
            if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
                figures.find("exceptions", "a writer failed; see above")
            figures.more["kills"] = figures.more.get("kills", 0) + 1
            writers[writer] = start(writer)


def _follow(store: Path, printed: Path) -> "subprocess.Popen[bytes]":
    with printed.open("wb") as out:
        return subprocess.Popen([sys.executable, "-m", "evcli", "--store", str(store), "log", "--follow"], stdout=out)


def _compare(root: Path, board: Board, figures: Figures, follower: "subprocess.Popen[bytes] | None") -> None:
    """Compare what was acknowledged, read and printed with the finished log."""
    store = LocalStore(str(root / "store"))
    reports = [pickle.loads(path.read_bytes()) for path in root.glob("report-*")]  # noqa: S301 (our own)
    if len(reports) != READERS + 1:
        figures.find("exceptions", "a reader failed; see above")
    told = {position: number for position, number, _ in map(board.of, range(WRITERS))}
    digest, prefixes, size = sha256(), {0: sha256().hexdigest()}, 0
    for lines in store.read_all(end=store.head().position):
        text = b"\n".join(lines) + b"\n"
        digest.update(text)
        size += len(text)
        front = read_front(lines[-1])
        assert front is not None
        prefixes[front.position] = digest.hexdigest()
        if front.position in told and json.loads(lines[-1])["data"]["n"] != told[front.position]:
            figures.find("lost", f"the acknowledged commit at {front.position}")
    for report in reports:
        add(figures, report.figures)
        if prefixes.get(report.position) != report.digest:
            figures.find("partial", f"what was read up to {report.position} is no prefix of the log")
    if follower:
        _compare_printed(root / "followed", digest.hexdigest(), size, figures, follower)
    report = store.verify()
    more = figures.more
    more["commits"] = more.get("commits", 0) + report.commits
    more["rolled back"] = more.get("rolled back", 0) + sum(board.of(writer)[2] for writer in range(WRITERS))


def _compare_printed(
    printed: Path, digest: str, size: int, figures: Figures, follower: "subprocess.Popen[bytes]"
) -> None:
    deadline = time.monotonic() + _PATIENCE
    while printed.stat().st_size < size and follower.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if printed.stat().st_size != size or sha256(printed.read_bytes()).hexdigest() != digest:
        figures.find("lost", f"evcli log --follow printed {printed.stat().st_size} bytes of {size}, or others")
    follower.send_signal(signal.SIGINT)
    if follower.wait(_PATIENCE) != 128 + signal.SIGINT:
        figures.find("exceptions", f"evcli log --follow ended with {follower.returncode}")


def run(tier: Tier) -> Figures:
    """Run rounds until there were enough reads."""
    figures = Figures()
    for number in range(tier.of(10_000, 1_000_000) // ROUND):
        with folder(in_memory=number % 2 == 0) as root:
            run_round(root, figures, tier.seed * 1_000_003 + number)
    return figures


RIG = Rig("readers", run)
