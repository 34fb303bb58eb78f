"""Many writers, readers beside them, and writers that are killed."""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from evcli.domain.events import Write
from evcli.errors import WrongExpectedVersion
from evcli.storage.local import LocalStore
from tests.storage.building import all_lines, contents, event, stored_lines, write

WRITERS = 16
APPENDS = 50
ROUNDS = 100


def start(run: Callable[[], object]) -> int:
    """Fork a process that runs ``run``; it ends with 1 if that fails."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        run()
        status = 0
    except BaseException as error:  # noqa: BLE001 (a forked child must never return into pytest)
        print(repr(error), file=sys.__stderr__, flush=True)
    finally:
        os._exit(status)


def require_done(pids: list[int]) -> None:
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * len(pids)


@pytest.mark.parametrize("streams", [1, WRITERS])
def test_all_that_many_processes_append_is_there_once_and_in_order(store_path: Path, streams: int) -> None:
    def run(writer: int) -> None:
        store = LocalStore(str(store_path))
        for number in range(APPENDS):
            store.append([write(f"s{writer % streams}", [writer, number])], lock_wait=60)

    require_done([start(partial(run, writer)) for writer in range(WRITERS)])
    store = LocalStore(str(store_path))
    events = [json.loads(line) for line in all_lines(store)]
    assert [found["position"] for found in events] == list(range(1, WRITERS * APPENDS + 1))
    for writer in range(WRITERS):
        assert [found["data"][1] for found in events if found["data"][0] == writer] == list(range(APPENDS))
    each = WRITERS * APPENDS // streams
    for stream in range(streams):
        versions = [json.loads(line)["version"] for line in stored_lines(store, f"s{stream}")]
        assert versions == list(range(1, each + 1))
    assert store.verify().events == WRITERS * APPENDS


def test_of_rivals_with_one_expectation_exactly_one_wins(store_path: Path) -> None:
    rounds = 10

    def run(writer: int) -> None:
        store = LocalStore(str(store_path))
        for version in range(rounds):
            while version and store.head().position < version:
                time.sleep(0.001)
            try:
                store.append([write("a", writer, expect=version)], lock_wait=60)
                os.write(told, bytes([version]))
            except WrongExpectedVersion as lost:
                assert lost.actual > version  # noqa: PT017 (the rest of the round goes on)

    heard, told = os.pipe()
    LocalStore(str(store_path)).append([write("other")])
    require_done([start(partial(run, writer)) for writer in range(8)])
    os.close(told)
    assert Counter(os.read(heard, 1000)) == Counter(range(rounds))
    assert len(stored_lines(LocalStore(str(store_path)), "a")) == rounds


def test_readers_beside_writers_see_whole_commits_without_a_gap(store_path: Path) -> None:
    stop = time.monotonic() + 2.5

    def write_on(writer: int) -> None:
        store, other = LocalStore(str(store_path)), f"s{writer}"
        while time.monotonic() < stop:
            store.append([write("a", 1, 2), write(other, "x" * random.randint(1, 5000))], lock_wait=60)

    def read_on() -> None:
        store = LocalStore(str(store_path))
        before, bookmark, count = store.head(), None, 0
        while time.monotonic() < stop:
            head = store.head()
            assert head.position >= before.position
            assert head.position % 3 == 0
            events = [
                json.loads(line) for lines in store.read_all(end=head.position, after=before.position) for line in lines
            ]
            assert [found["position"] for found in events] == list(range(before.position + 1, head.position + 1))
            for chunk in store.read_stream("a", end=head.position, bookmark=bookmark):
                versions = [json.loads(line)["version"] for line in chunk.lines]
                assert versions == list(range(count + 1, count + len(versions) + 1))
                count, bookmark = versions[-1], chunk.bookmark
            assert count == head.position // 3 * 2
            info = store.info("a", end=head.position)
            assert info is None or info.version == count
            before = head

    def verify_on() -> None:
        store = LocalStore(str(store_path))
        while time.monotonic() < stop:
            store.verify()

    LocalStore(str(store_path)).append([write("a", 1, 2), write("s0", 3)])
    writers = [start(partial(write_on, writer)) for writer in range(3)]
    require_done([*writers, start(read_on), start(read_on), start(verify_on)])
    assert LocalStore(str(store_path)).verify().events > 3


def commit_of(number: int) -> list[Write]:
    text = "x" * random.choice([1, 400, 5000])
    events = [event([number, part, 3, text]) for part in range(3)]
    return [Write("a", events)] if number % 2 else [Write("b", events[:1]), Write("a", events[1:])]


def run_until_killed(root: Path, told: int, first: int) -> None:
    """Append, and tell of each commit as soon as it is acknowledged."""
    store = LocalStore(str(root))
    number = first
    while True:
        store.append(commit_of(number))
        os.write(told, number.to_bytes(4))
        number += 1


def test_what_was_acknowledged_is_there_after_kill_9_and_the_rest_whole_or_not_at_all(store_path: Path) -> None:
    acknowledged: list[int] = []
    started = 0
    for _ in range(ROUNDS):
        heard, told = os.pipe()
        pid = start(partial(run_until_killed, store_path, told, started))
        os.close(told)
        time.sleep(random.uniform(0, 0.04))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with os.fdopen(heard, "rb") as receipts:
            text = receipts.read()
        numbers = [int.from_bytes(text[at : at + 4]) for at in range(0, len(text), 4)]
        acknowledged += numbers
        started = (numbers[-1] if numbers else started) + 1000  # numbers of one round are its own
        if acknowledged:
            store = LocalStore(str(store_path))
            assert store.head().position >= 3 * len(acknowledged)
    store = LocalStore(str(store_path))
    store.append([write("end", [-1, 0, 1, ""])])
    report = store.verify()
    parts = Counter(json.loads(line)["data"][0] for line in all_lines(store))
    assert parts.pop(-1) == 1
    assert set(parts.values()) == {3}
    assert set(acknowledged) <= parts.keys()
    assert len(parts) <= len(acknowledged) + ROUNDS
    assert report.events == 3 * len(parts) + 1


def die_in_append(root: Path, writes: list[Write], last: int, *, half: bool) -> None:
    """Append, and be killed right after the ``last`` system call that changes a file, or when it writes ``half``."""
    made = 0

    def kill_after(original: Callable[..., object], *args: object, **more: object) -> object:
        nonlocal made
        made += 1
        if made == last and half and original is pwrite:
            fd, text, offset = args
            args = (fd, bytes(text)[: len(bytes(text)) // 2], offset)  # type: ignore[call-overload]  # a buffer
        this = made
        try:
            return original(*args, **more)
        finally:
            if this == last:
                os.kill(os.getpid(), signal.SIGKILL)

    pwrite = os.pwrite
    for name in ("pwrite", "fdatasync", "fsync", "ftruncate", "replace", "mkdir"):
        setattr(os, name, partial(kill_after, getattr(os, name)))
    LocalStore(str(root)).append(writes)


def was_killed(pid: int) -> bool:
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("earlier", [0, 1])
def test_a_writer_killed_at_any_system_call_leaves_its_commit_whole_or_not_at_all(
    store_path: Path, earlier: int, streams: int, *, half: bool
) -> None:
    writes = [write(f"new/{stream}", 1, 2) for stream in range(streams)]
    killed, last = True, 0
    while killed:
        last += 1
        root = store_path / str(last)
        if earlier:
            LocalStore(str(root)).append([write("a")])
        killed = was_killed(start(partial(die_in_append, root, writes, last, half=half)))
        store = LocalStore(str(root))
        store.append([write("a", "next")])
        counts = Counter(json.loads(line)["stream"] for line in all_lines(store))
        assert counts.pop("a") == earlier + 1
        assert list(counts.values()) in ([], [2] * streams)
        assert killed or counts
        store.verify()
    assert last > 6


def test_a_kill_while_a_torn_commit_is_cut_is_settled_too(store_path: Path) -> None:
    seed = store_path / "seed"
    store = LocalStore(str(seed))
    store.append([write("a", 1), write("b", 1)])
    lock = (seed / "lock").read_bytes()
    store.append([write("a", 2), write("b", 2)])
    whole = contents(seed)

    for last in range(1, 20):
        root = store_path / str(last)
        for name, text in whole.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(text)
        (root / "lock").write_bytes(lock)
        (root / "streams/b.jsonl").write_bytes(whole["streams/b.jsonl"][:-7])
        pid = start(partial(die_in_append, root, [write("a", 3)], last, half=False))
        killed = was_killed(pid)
        again = LocalStore(str(root))
        assert len(all_lines(again)) in ((2, 3) if killed else (3,))
        again.append([write("a", 4)])
        assert [json.loads(line)["data"] for line in stored_lines(again, "b")] == [1]
        assert again.verify().events in ((3, 4) if killed else (4,))
        if not killed:
            break
    assert (store_path / "1" / "quarantine").exists()
