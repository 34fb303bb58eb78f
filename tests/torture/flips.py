"""Bit rot: every bit, sector and line of every file of a store changed, one at a time, and its caches' too.

After each change `verify` is asked, and replay, query and the log are: up to versions and times next to the changed place
and to the end. An answer is the true one or an error that is documented; never another one.

What may pass unseen, each counted in the figures:

- by `verify`, because nothing depends on it, and the next append succeeds all the same ("harmless to verify"):
  README; quarantined bytes; the mark, which when it does not check is no mark; of ``store.json`` the time of making, and the id
  (a store with another id is one whose caches are empty); the caches, which `verify` does not look at.
- by readers of one stream, but not by `verify`, nor by a reader of all ("seen by verify alone"): the last commit of
  a stream cut off whole, where it is not the last one of the journal. What is left of the stream is a stream, and its reader looks
  at nothing else.
- by readers who need nothing of what was changed: they give the true answer, so there is nothing to count.

Quick: a store of 20 kB; all sectors and lines, every bit of the mark, and of the other bits those that fit into half a minute, spread
evenly (6,000 changes of 210,000 that there are). Long: 200 kB, and all bits.
"""

import gc
import os
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate, islice
from typing import Any, NamedTuple

from evcli.api import Store
from evcli.domain.events import Write
from evcli.errors import Bug, EvcliError
from evcli.read_side.states import snapshots_of
from evcli.storage import ends
from evcli.storage.codec import freeze, new_event
from evcli.storage.lines import read_front
from evcli.storage.local import LocalStore
from evcli.storage.snapshots import Snapshot
from tests.torture.rig import Figures, Rig, Tier
from tests.torture.stores import Files, all_lines, in_parts, one_look, put, sample, take, with_constants, workshop

SECTOR = 512
REDUCER = "list"
HARMLESS = ("README", "quarantine/", "lock", "store.json", "cache/")
INNOCENT = ("store/README", "store/quarantine/", "store/lock", "cache/")
UNSEEN, CUT_OFF = "harmless to verify", "seen by verify alone"


class Truth(NamedTuple):
    """What a store holds: lines and times of each stream, its states by version, and all lines in global order."""

    lines: dict[str, list[bytes]]
    times: dict[str, list[str]]
    states: dict[str, list[Any]]
    all: list[bytes]
    last: frozenset[str]
    """The streams that the last commit wrote to."""


# the store that is changed


def build(root: str, size: int) -> None:
    """Make a store of about ``size`` bytes, under ``root/store``, and its caches, under ``root/cache``."""
    store = LocalStore(os.path.join(root, "store"))
    dice = random.Random(7)
    streams = ["accounts/ann", "accounts/bob", "machines/m1"] + [f"machines/n{n}" for n in range(size // 50_000)]
    store.append([_write("notes", dice, 1)])
    time: str | None = None
    while sum(map(len, take(store.root).values())) < size:
        stream, other = dice.choices(streams, [2 + 4 * (s == "machines/m1") for s in streams])[0], "accounts/bob"
        writes = [_write(stream, dice, dice.choice([1, 1, 1, 2, 3]), time=time if dice.random() < 0.2 else None)]
        if dice.random() < 0.2 and stream != other:
            writes.append(_write(other, dice, 1))
        store.append(writes)
        if not os.path.exists(os.path.join(store.root, "quarantine")) and store.head().position > 9:
            _tear(store, dice)
        time = store.head().time
    store.append([_write("accounts/ann", dice, 2), _write("accounts/bob", dice, 1)])
    _fill_cache(store, os.path.join(root, "cache"))


def _write(stream: str, dice: random.Random, count: int, **members: Any) -> Write:
    data = [{"n": dice.randrange(1000), "text": "x" * dice.randrange(30), "float": 1.5} for _ in range(count)]
    if dice.random() < 0.3:
        members["meta"] = {"actor": "ann"}
    return Write(stream, [new_event({"type": "thing.happened", "data": each, **members}) for each in data])


def _tear(store: LocalStore, dice: random.Random) -> None:
    """Leave a torn commit, which the next append puts into quarantine."""
    before = take(store.root)
    store.append([_write("accounts/ann", dice, 1)])
    after = take(store.root)
    torn = after["streams/accounts/ann.jsonl"][:-50]
    put(store.root, after | {"lock": before["lock"], "streams/accounts/ann.jsonl": torn})
    store.append([_write("accounts/ann", dice, 1)])


def _fill_cache(log: LocalStore, cache: str) -> None:
    """Keep each stream's newest state, and two rungs of its ladder."""
    store = Store(log, cache=cache)
    for stream in log.streams():
        version = store.query(stream, reducer=REDUCER).version
        snapshots = snapshots_of(log, stream, store.definition(stream, REDUCER), cache)
        for rung in (version // 3, version * 2 // 3):
            chunks = list(log.read_stream(stream, end=store.head().position, to=rung)) if rung else []
            text = freeze(store.replay(stream, reducer=REDUCER, to=rung).state)
            if chunks and text and (bookmark := chunks[-1].bookmark):
                snapshots.save_rung(Snapshot(bookmark, text), room=1 << 20)


def learn(root: str) -> Truth:
    """Read the whole of a sound store."""
    store = Store(LocalStore(os.path.join(root, "store")))
    lines = all_lines(store.log)
    fronts = [front for line in lines if (front := read_front(line))]
    streams = list(store.log.streams())
    last = b'"commit":[%d,' % (len(lines) - 2)
    return Truth(
        {s: [line for line, front in zip(lines, fronts, strict=True) if front.stream == s] for s in streams},
        {s: [front.time for front in fronts if front.stream == s] for s in streams},
        {s: [store.replay(s, reducer=REDUCER, to=to).state for to in range(store.version(s) + 1)] for s in streams},
        lines,
        frozenset(front.stream for line, front in zip(lines, fronts, strict=True) if last in line),
    )


# the changes


class Change(NamedTuple):
    """A change of one file: its text after it, and the byte at which it begins."""

    name: str
    file: str
    text: bytes
    at: int


def flip(text: bytes, index: int) -> tuple[bytes, int]:
    at = index // 8
    return text[:at] + bytes([text[at] ^ 1 << index % 8]) + text[at + 1 :], at


def zero_sector(text: bytes, index: int) -> tuple[bytes, int]:
    at = index * SECTOR
    return text[:at] + bytes(min(SECTOR, len(text) - at)) + text[at + SECTOR :], at


def delete_line(text: bytes, index: int) -> tuple[bytes, int]:
    lines = text.splitlines(keepends=True)
    return b"".join(lines[:index] + lines[index + 1 :]), sum(map(len, lines[:index]))


def double_line(text: bytes, index: int) -> tuple[bytes, int]:
    lines = text.splitlines(keepends=True)
    return b"".join([*lines[: index + 1], *lines[index:]]), sum(map(len, lines[:index]))


def swap_lines(text: bytes, index: int) -> tuple[bytes, int]:
    """Swap a line with the next; the last one with the first."""
    lines = text.splitlines(keepends=True)
    other = (index + 1) % len(lines)
    lines[index], lines[other] = lines[other], lines[index]
    return b"".join(lines), sum(map(len, lines[: min(index, other)]))


KINDS: dict[str, tuple[Callable[[bytes, int], tuple[bytes, int]], Callable[[bytes], int]]] = {
    "bit": (flip, lambda text: len(text) * 8),
    "sector of zeros": (zero_sector, lambda text: -(-len(text) // SECTOR)),
    "line deleted": (delete_line, lambda text: text.count(b"\n")),
    "line doubled": (double_line, lambda text: text.count(b"\n")),
    "lines swapped": (swap_lines, lambda text: text.count(b"\n")),
}


def count_changes(files: Files) -> dict[str, int]:
    """Say how many changes of each kind there are, by ``kind|file``; bits are counted over all files but the lock's."""
    counts = {f"{kind}|{file}": count(text) for file, text in files.items() for kind, (_, count) in KINDS.items()}
    counts["bit|"] = sum(counts.pop(f"bit|{file}") for file in files if file != "store/lock")
    return counts


def make_change(files: Files, group: str, index: int) -> Change:
    """Make a change of a group as `count_changes` names it."""
    kind, _, file = group.partition("|")
    if not file:
        names = sorted(files.keys() - {"store/lock"})
        ends_at = list(accumulate(len(files[name]) * 8 for name in names))
        file = names[bisect_right(ends_at, index)]
        index -= ends_at[bisect_right(ends_at, index)] - len(files[file]) * 8
    text, at = KINDS[kind][0](files[file], index)
    return Change(f"{file}: {kind} {index}", file, text, at)


# the questions


class Question(NamedTuple):
    """Something asked of a store, with its true answer, and the one where the stream's last event is cut off."""

    name: str
    ask: Callable[[], Any]
    answer: Any
    cut_off: Any = None


def questions(store: Store, truth: Truth, stream: str, version: int) -> Iterator[Question]:
    """Ask about a stream near a version, and about all of it."""
    states, times, lines = truth.states[stream], truth.times[stream], truth.lines[stream]
    whole = len(lines)
    until = times[version - 1]
    by_then = bisect_right(times, until)
    least = (whole - 1, states[whole - 1])
    for name, method in (("replay", store.replay), ("query", store.query)):
        ask = partial(_state, method, stream)
        yield Question(name, ask, (whole, states[whole]), least)
        yield Question(f"{name} --to {version}", partial(ask, to=version), (version, states[version]), least)
        yield Question(f"{name} --until @{version}", partial(ask, until=until), (by_then, states[by_then]), least)
    log = partial(_lines, store, stream, after=version - 1)
    yield Question(f"log --after {version - 1}", log, lines[version - 1 :], lines[version - 1 : -1])
    info = partial(_info, store, stream)
    yield Question("streams", info, (whole, times[0], times[-1]), (whole - 1, times[0], times[whole - 2]))


def _state(method: Callable[..., Any], stream: str, **bounds: Any) -> tuple[int, Any]:
    found = method(stream, reducer=REDUCER, **bounds)
    return found.version, found.state


def _lines(store: Store, stream: str, *, after: int) -> list[bytes]:
    chunks = store.log.read_stream(stream, end=store.head().position, after=after)
    return [line for chunk in chunks for line in chunk.lines]


def _info(store: Store, stream: str) -> tuple[int, str, str] | None:
    found = store.log.info(stream, end=store.head().position)
    return (found.version, found.first, found.last) if found else None


def _log_from(store: Store, position: int, commits: int) -> list[bytes]:
    """Read some commits of all streams from a position on."""
    found = store.log.read_all(end=store.head().position, after=position - 1)
    return [line for lines in islice(found, commits) for line in lines]


# asking them


class _Check:
    """A store and its caches in a directory, changed again and again, and what is wrong with its answers."""

    def __init__(self, root: str, truth: Truth, figures: Figures) -> None:
        self._root = root
        self._files = take(root)
        self._truth = truth
        self._figures = figures
        self._dice = random.Random(3)

    def run(self, change: Change, number: int) -> None:
        self._figures.states += 1
        put(self._root, {change.file: change.text}, over={})
        try:
            seen = self._verify(change)
            stream, version = self._place(change, number)
            store = Store(self._log(), cache=os.path.join(self._root, "cache"))
            for question in questions(store, self._truth, stream, version):
                self._ask(change, question, stream, seen=seen)
            self._ask_for_all(change, store, stream, version, number)
            changed = seen or self._harmless(change)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is a figure)
            self._figures.find("exceptions", f"{change.name}: {error!r}")
            changed = False
        if changed:
            put(self._root, {change.file: self._files[change.file]}, over={})
            self._put_cache_back()
        else:
            put(self._root, self._files)

    def _log(self) -> LocalStore:
        return LocalStore(os.path.join(self._root, "store"), allow_network_fs=True)

    def _put_cache_back(self) -> None:
        cache = os.path.join(self._root, "cache")
        files = {name[6:]: text for name, text in self._files.items() if name.startswith("cache/")}
        put(cache, files)

    def _verify(self, change: Change) -> bool:
        try:
            self._log().verify()
        except Bug:
            raise
        except EvcliError as error:
            if change.file.startswith(INNOCENT):
                self._figures.find("exceptions", f"{change.name}: verify calls the store damaged: {error.message}")
            return True
        if not change.file.removeprefix("store/").startswith(HARMLESS) and change.text != self._files[change.file]:
            self._figures.find("lost", f"{change.name}: verify does not see it")
        return False

    def _place(self, change: Change, number: int) -> tuple[str, int]:
        """Choose a stream and a version in it: next to the change, where it is in a stream."""
        prefix, suffix = "store/streams/", ".jsonl"
        if not change.file.startswith(prefix):
            own = [stream for stream in self._truth.lines if f"/{stream}/@" in change.file]
            stream = own[0] if own else self._dice.choice(list(self._truth.lines))
            return stream, self._dice.randint(1, len(self._truth.lines[stream]))
        stream = change.file[len(prefix) : -len(suffix)]
        near = 1 + self._files[change.file].count(b"\n", 0, change.at) + number % 3 - 1
        return stream, min(max(1, near), len(self._truth.lines[stream]))

    def _ask(self, change: Change, question: Question, stream: str, *, seen: bool) -> None:
        try:
            found = question.ask()
        except Bug:
            raise
        except EvcliError as error:
            if not seen:
                self._figures.find("exceptions", f"{change.name}: {question.name} {stream}: {error.message}")
            return
        if found == question.answer:
            return
        if seen and self._is_cut_off(change, stream) and found in (question.cut_off, None):
            self._count(CUT_OFF)
            return
        self._figures.find("lost", f"{change.name}: {question.name} {stream} gives another answer and no error")

    def _is_cut_off(self, change: Change, stream: str) -> bool:
        """Say whether a change did nothing but cut a whole commit off a stream that the last commit did not write to."""
        text = self._files[change.file]
        rest = text[len(change.text) :]
        return (
            stream not in self._truth.last
            and text.startswith(change.text)
            and rest.count(b"\n") == 1
            and (not change.text or b',"seal":"' in change.text.splitlines()[-1])
        )

    def _ask_for_all(self, change: Change, store: Store, stream: str, version: int, number: int) -> None:
        """Read all streams, from a little before the changed place on; now and then the whole of them."""
        front = read_front(self._truth.lines[stream][version - 1])
        assert front is not None
        position = front.position
        if change.file == "store/journal.jsonl":
            before = self._files[change.file][: change.at].split(b"\n")[:-1]
            position = sum(int(line.split(b'"count":')[1].split(b",")[0]) for line in before) + 1
        start, commits = (1, 1 << 30) if number % 16 == 0 else (max(1, position - 2), 6)
        true = self._truth.all[start - 1 :]
        try:
            found = _log_from(store, start, commits)
        except Bug:
            raise
        except EvcliError:
            return
        if found != true[: len(found)] or len(found) < min(commits, len(true), 3):
            self._figures.find("lost", f"{change.name}: log --after-position {start - 1} gives another answer")

    def _harmless(self, change: Change) -> bool:
        """Append in spite of a change that nobody saw; say whether the rest of the store is as it was."""
        self._count(UNSEEN)
        if not change.file.endswith(("lock", "store.json")):
            return True
        log = self._log()
        receipt = log.append([_write("notes", self._dice, 1)], lock_wait=0)
        if receipt.position != len(self._truth.all) + 1 or all_lines(log)[:-1] != self._truth.all:
            self._figures.find("lost", f"{change.name}: the next append is at {receipt.position}")
        return False

    def _count(self, what: str) -> None:
        self._figures.more[what] = self._figures.more.get(what, 0) + 1


def work(tier: Tier, part: int, parts: int) -> Figures:
    """Make every ``parts``-th change, in a store of this process's own."""
    figures = Figures(more={UNSEEN: 0, CUT_OFF: 0})
    # a small store is then searched as a large one is: by bisecting it
    with workshop() as folder, one_look(), with_constants(ends, _SCAN=1024):
        build(folder, tier.of(20_000, 200_000))
        check = _Check(folder, learn(folder), figures)
        files = take(folder)
        sizes = count_changes(files)
        gc.freeze()
        wanted = tier.of(2_500, sum(sizes.values()))
        for number, (group, index) in enumerate(sample(sizes, wanted, tier.seed)):
            if number % parts == part:
                check.run(make_change(files, group, index), number // parts)
    return figures


def run(tier: Tier) -> Figures:
    """Change stores, in a process for each CPU."""
    return in_parts(work, tier)


RIG = Rig("flips", run)
