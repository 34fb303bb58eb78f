"""The store against a plain list: hypothesis chooses what happens next, and every answer is compared with the list's.

It runs in memory (the disk has no part in it), with short ladders and indexes, so that caches are used from the start.
"""

import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from evcli.api import Store
from evcli.domain.events import Write
from evcli.domain.expected import ANY, Expected
from evcli.domain.reducers import BUILT_IN
from evcli.errors import IdReused, StoreNotFound, WrongExpectedVersion
from evcli.read_side import states
from evcli.storage import ids, snapshots
from evcli.storage.codec import new_event
from evcli.storage.files import writer_lock
from evcli.storage.local import LocalStore
from evcli.storage.settle import settle_last_commit
from tests.torture.forking import folder, put, side_by_side
from tests.torture.rig import Figures, Rig, Tier

_STREAMS: Final = ("a", "b/c", "b/d")
_STEPS: Final = 50
_MARK: Final = 95
_NOW: Final = "2026-11-23T08:00:00.000000Z"

Streams = st.sampled_from(_STREAMS)
Data = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.dictionaries(st.sampled_from("xyz"), st.none() | st.integers(0, 9) | st.text(max_size=8), max_size=3),
    st.integers(1, 3000).map(lambda size: {"x": "-" * size}),
)
Sources = st.integers(0, 2**32).map(random.Random)
Batch = st.lists(Data, min_size=1, max_size=4)


class Wrong(AssertionError):  # noqa: N818 (it says what is wrong)
    """The store and the list differ; ``kind`` says in which of the figures that counts."""

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(problem)
        self.kind = kind


class Stored(NamedTuple):
    """One event of the list."""

    stream: str
    version: int
    data: Any
    id: str | None


def _compare(found: list[Any], expected: list[Any], what: str) -> None:
    if found == expected:
        return
    kind = "lost" if len(found) < len(expected) else "duplicates" if len(found) > len(expected) else "partial"
    raise Wrong(kind, f"{what}: {found!r:.300} instead of {expected!r:.300}")


class StoreMachine(RuleBasedStateMachine):
    """Two writers with a cache between them, and a third that dies in the middle of its commits."""

    figures: Figures

    def __init__(self) -> None:
        super().__init__()
        self._context = folder(in_memory=True)
        self.root = self._context.__enter__()
        self.path = str(self.root / "store")
        self.cache = str(self.root / "cache")
        self.writers = [LocalStore(self.path, cache=self.cache) for _ in range(2)]
        self.list: list[Stored] = []
        self.ends = [0]
        self.readings: list[tuple[Iterator[list[bytes]], list[Stored]]] = []

    def take(self, new: list[Stored]) -> None:
        """Note what one commit has stored."""
        self.list += new
        self.ends.append(len(self.list))

    def teardown(self) -> None:
        self._context.__exit__(None, None, None)

    def of(self, stream: str) -> list[Stored]:
        return [event for event in self.list if event.stream == stream]

    def next_of(self, stream: str, data: list[Any], key: str | None = None) -> list[Stored]:
        first = len(self.of(stream)) + 1
        return [Stored(stream, first + n, value, key if n == 0 else None) for n, value in enumerate(data)]

    # what happens

    @rule(writer=st.integers(0, 1), stream=Streams, data=Batch)
    def append(self, writer: int, stream: str, data: list[Any]) -> None:
        new = self.next_of(stream, data)
        receipt = self.writers[writer].append([_write(stream, new)])
        self.take(new)
        _compare([receipt.version, receipt.position], [new[-1].version, len(self.list)], "the receipt")

    @rule(writer=st.integers(0, 1), batches=st.dictionaries(Streams, Batch, min_size=2))
    def append_to_several(self, writer: int, batches: dict[str, list[Any]]) -> None:
        new = {stream: self.next_of(stream, data) for stream, data in batches.items()}
        receipt = self.writers[writer].append([_write(stream, events) for stream, events in new.items()])
        self.take([event for events in new.values() for event in events])
        _compare([receipt.position], [len(self.list)], "the receipt")

    @rule(writer=st.integers(0, 1), stream=Streams, off=st.integers(-2, 2), data=Data)
    def expect(self, writer: int, stream: str, off: int, data: object) -> None:
        new, version = self.next_of(stream, [data]), len(self.of(stream))
        try:
            self.writers[writer].append([_write(stream, new, expect=max(0, version + off))])
        except WrongExpectedVersion as conflict:
            if max(0, version + off) == version or conflict.actual != version:
                raise Wrong("lost", f"{conflict}, at {version}") from conflict
            return
        if max(0, version + off) != version:
            raise Wrong("exceptions", f"{stream} took what expected {version + off} at {version}")
        self.take(new)

    @rule(writer=st.integers(0, 1), stream=Streams, key=st.sampled_from(("k1", "k2", "k3")), data=Data)
    def append_with_id(self, writer: int, stream: str, key: str, data: object) -> None:
        new = self.next_of(stream, [data], key)
        earlier = next((event for event in self.of(stream) if event.id == key), None)
        try:
            receipt = self.writers[writer].append([_write(stream, new)])
        except IdReused:
            if earlier is None or earlier.data == data:
                raise
            return
        if earlier is None:
            self.take(new)
        elif earlier.data != data or (receipt.repeated, receipt.version) != (1, earlier.version):
            raise Wrong("duplicates", f"{stream} took {key} again: {receipt}")

    @rule(batches=st.dictionaries(Streams, Batch, min_size=1), source=Sources)
    def die(self, batches: dict[str, list[Any]], source: random.Random) -> None:
        """Append as a writer that was killed before it marked its commit, with the unmarked bytes cut or zeroed."""
        new = {stream: self.next_of(stream, data) for stream, data in batches.items()}
        if os.path.exists(self.path):
            self.settle()  # what its append would do first
        before, lock = _sizes(self.path), Path(self.path, "lock")
        mark = lock.read_bytes() if lock.exists() else b""
        LocalStore(self.path).append([_write(stream, events) for stream, events in new.items()])
        with lock.open("r+b") as file:
            file.write(mark.ljust(_MARK))
        grown = {path: size for path, size in _sizes(self.path).items() if size != before.get(path, 0)}
        if not _tear(grown, before, source):
            self.take([event for events in new.values() for event in events])

    @precondition(lambda self: self.list)
    @rule()
    def settle(self) -> None:
        with writer_lock(self.path, wait=1) as fd:
            head = settle_last_commit(self.path, fd, now=_NOW)
        _compare([head.position], [len(self.list)], "settled")

    @precondition(lambda self: os.path.exists(self.cache))
    @rule(source=Sources)
    def corrupt_the_cache(self, source: random.Random) -> None:
        for path in sorted(path for path in Path(self.cache).rglob("*") if path.is_file()):
            _corrupt(path, source)

    # what is asked

    @precondition(lambda self: self.list)
    @rule(stream=Streams, source=Sources)
    def query(self, stream: str, source: random.Random) -> None:
        events, store = self.of(stream), Store(LocalStore(self.path), cache=self.cache)
        for name, reducer in BUILT_IN.items():
            to = source.choice((None, source.randint(0, len(events) + 1)))
            kept = events[:to]
            state = reducer.fold(reducer.initial(), json.loads(json.dumps([{"data": event.data} for event in kept])))
            found = store.query(stream, reducer=name, to=to)
            _compare([found.version, found.state], [len(kept), state], f"{name} of {stream} to {to}")

    @precondition(lambda self: self.list)
    @rule(stream=Streams, source=Sources)
    def read(self, stream: str, source: random.Random) -> None:
        store, events = LocalStore(self.path), self.of(stream)
        end, after = source.choice(self.ends), source.randint(0, len(events) + 1)
        to = source.choice((None, source.randint(0, len(events) + 1)))
        kept = [event for event in self.list[:end] if event.stream == stream]
        lines = [line for chunk in store.read_stream(stream, end=end, after=after, to=to) for line in chunk.lines]
        _compare(_parsed(lines), kept[after:to], f"{stream} after {after} to {to}, up to position {end}")
        info = store.info(stream, end=end)
        _compare([info.version if info else 0], [len(kept)], f"info of {stream} up to position {end}")

    @precondition(lambda self: self.list)
    @rule(after=st.integers(0, 30))
    def begin_to_read(self, after: int) -> None:
        store = LocalStore(self.path)
        lines = store.read_all(end=store.head().position, after=after)
        self.readings.append((lines, self.list[after:]))

    @precondition(lambda self: self.readings)
    @rule()
    def read_to_the_end(self) -> None:
        lines, expected = self.readings.pop(0)
        _compare(_parsed(line for commit in lines for line in commit), expected, "a reader that began earlier")

    @precondition(lambda self: self.list)
    @rule()
    def verify(self) -> None:
        _compare([LocalStore(self.path).verify().events], [len(self.list)], "verify")

    @invariant()
    def the_log_is_the_list(self) -> None:
        self.figures.states += 1
        store = LocalStore(self.path)
        try:
            lines = [line for commit in store.read_all(end=store.head().position) for line in commit]
        except StoreNotFound:
            lines = []
        _compare(_parsed(lines), self.list, "the log")
        _compare([json.loads(line)["position"] for line in lines], list(range(1, len(lines) + 1)), "positions")


def _write(stream: str, events: list[Stored], expect: Expected = ANY) -> Write:
    return Write(stream, [new_event({"type": "t", "data": event.data, "id": event.id}) for event in events], expect)


def _parsed(lines: "Iterator[bytes] | list[bytes]") -> list[Stored]:
    found = [json.loads(line) for line in lines]
    return [Stored(event["stream"], event["version"], event["data"], event.get("id")) for event in found]


def _sizes(path: str) -> dict[Path, int]:
    return {file: file.stat().st_size for file in Path(path).rglob("*.jsonl")}


def _tear(grown: dict[Path, int], before: dict[Path, int], source: random.Random) -> bool:
    """Leave what a kill or a power cut may leave of an unmarked commit; say whether it is torn."""
    journal = next(path for path in grown if path.name == "journal.jsonl")
    streams = [path for path in grown if path != journal]
    if source.random() < 0.3:
        for path in streams:
            os.truncate(path, before.get(path, 0))
        _spoil(journal, before.get(journal, 0), source)
        return True
    torn = [_spoil(path, before.get(path, 0), source) for path in streams]
    return any(torn)


def _spoil(path: Path, begin: int, source: random.Random) -> bool:
    """Cut or zero the end of a file, or leave it whole; say whether it is torn."""
    text = path.read_bytes()
    at = len(text) - source.choice((0, 1, source.randint(0, len(text) - begin), len(text) - begin))
    match source.randrange(3):
        case 0:
            path.write_bytes(text[:at])
        case 1:
            path.write_bytes(text[:at].ljust(len(text), b"\0"))
        case _:
            sector = min(len(text), at - at % -512)
            path.write_bytes(text[:at].ljust(sector, b"\0") + text[sector:])
    return path.read_bytes() != text


def _corrupt(path: Path, source: random.Random) -> None:
    """Damage a file of the cache, or leave it alone."""
    text = bytearray(path.read_bytes())
    match source.randrange(6):
        case 0:
            path.unlink()
        case 1:
            path.write_bytes(text[: source.randint(0, len(text))])
        case 2:
            path.write_bytes(source.randbytes(len(text)))
        case 3 | 4 if text:
            for _ in range(source.choice((1, 20))):
                text[source.randrange(len(text))] ^= 1 << source.randrange(8)
            path.write_bytes(text)


@contextmanager
def _short_ladders() -> Iterator[None]:
    kept = snapshots.LEAST_SPACING, ids.SHORT_BYTES
    put(states, "LEAST_SPACING", 3)
    put(ids, "SHORT_BYTES", 0)
    try:
        yield
    finally:
        put(states, "LEAST_SPACING", kept[0])
        put(ids, "SHORT_BYTES", kept[1])


def _explore(_root: Path, figures: Figures, *, steps: int, number: int) -> None:
    machine: type[StoreMachine] = seed(number)(type("Machine", (StoreMachine,), {"figures": figures}))
    examples = settings(
        max_examples=10,
        stateful_step_count=_STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
    with _short_ladders():
        while figures.states < steps and not figures.problems:
            try:
                run_state_machine_as_test(machine, settings=examples)
            except Exception as error:  # noqa: BLE001 (what a rig looks for)
                steps_before = "; ".join(getattr(error, "__notes__", []))
                figures.find(getattr(error, "kind", "exceptions"), f"{error!r} {steps_before}")
            machine = seed(number + figures.states)(machine)


def run(tier: Tier) -> Figures:
    """Let two processes explore."""
    figures, steps = Figures(), tier.of(3_000, 500_000)
    parts: list[Callable[[Path, Figures], None]] = [
        lambda root, found, half=half: _explore(root, found, steps=steps // 2, number=tier.seed * 1000 + half)  # type: ignore[misc]
        for half in range(2)
    ]
    side_by_side(figures, parts, in_memory=True)
    return figures


RIG = Rig("model", run)
