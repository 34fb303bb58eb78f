"""What an append reads, counted from outside."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evcli.domain.events import Write
from evcli.storage.local import LocalStore
from tests.storage.building import event

STRACE = shutil.which("strace")
APPEND = """
import json, sys
from evcli.domain.conditions import make_condition
from evcli.domain.events import Write
from evcli.storage.codec import new_event
from evcli.storage.local import LocalStore
store = LocalStore(sys.argv[1])
unless = [make_condition(streams, "tested", after=after) for streams, after in json.loads(sys.argv[3])]
for number in range(int(sys.argv[2])):
    store.append([Write("a", [new_event({"type": "tested", "data": {"number": number}})])], unless=unless)
"""


READ = """
import sys
from evcli.storage.local import LocalStore
store = LocalStore(sys.argv[1])
found = [line for chunk in store.read_stream("a", end=store.head().position, to=int(sys.argv[2])) for line in chunk.lines]
assert len(found) == int(sys.argv[2])
"""


def count_bytes_read(root: Path, appends: int, *unless: tuple[str, int]) -> int:
    """Append in a process of its own and sum up what it read of the store's files (descriptors' paths: ``-y``)."""
    assert STRACE
    trace = root.parent / "trace"
    command = [STRACE, "-f", "-y", "-e", "trace=pread64,preadv,read,readv,mmap", "-o", str(trace)]
    done = subprocess.run(
        [*command, sys.executable, "-c", APPEND, str(root), str(appends), json.dumps(unless)],
        check=False,
        capture_output=True,
        text=True,
    )
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    ours = [line for line in trace.read_text().splitlines() if f"<{root}/" in line]
    assert not [line for line in ours if "mmap(" in line]
    return sum(int(found[1]) for line in ours if (found := re.search(r" = (\d+)$", line)))


@pytest.mark.skipif(STRACE is None, reason="strace is not installed here")
def test_the_100000th_append_reads_no_more_than_the_10th(store_path: Path) -> None:
    store = LocalStore(str(store_path))
    for number in range(9):
        store.append([Write("a", [event({"number": number})])])
    tenth = count_bytes_read(store_path, 1)
    few = count_bytes_read(store_path, 20)
    for first in range(30, 99_989, 10_000):
        count = min(10_000, 99_990 - first)
        store.append([Write("a", [event({"number": first + number}) for number in range(count)])])
    count_bytes_read(store_path, 9)  # the last commit is a small one again
    assert store.head().position == 99_999
    hundred_thousandth = count_bytes_read(store_path, 1)
    many = count_bytes_read(store_path, 20)
    assert 0 < hundred_thousandth <= tenth + 64  # numbers of more digits
    assert many <= few + 20 * 64
    assert tenth < 10_000


@pytest.mark.skipif(STRACE is None, reason="strace is not installed here")
def test_an_append_reads_no_other_stream(store_path: Path) -> None:
    store = LocalStore(str(store_path))
    for number in range(5):
        store.append([Write("a", [event({"number": number})])])
    alone = count_bytes_read(store_path, 1)
    for number in range(300):
        store.append([Write(f"s/{number}", [event("x" * 1000)])])
    store.append([Write("a", [event({"number": 0})])])
    assert count_bytes_read(store_path, 1) <= alone + 2048  # a block more, where lines are longer


@pytest.mark.skipif(STRACE is None, reason="strace is not installed here")
def test_a_condition_reads_only_the_streams_it_is_about_and_only_from_its_place_on(store_path: Path) -> None:
    store = LocalStore(str(store_path))
    store.append([Write("a", [event()])])
    for number in range(200):
        store.append([Write(f"big/{number}", [event("x" * 2000)])])
    store.append([Write("small/1", [event()]), Write("big/0", [event("x" * 300_000)])])
    head = store.head().position
    store.append([Write("a", [event()])])
    plain = count_bytes_read(store_path, 1)
    few = count_bytes_read(store_path, 1, ("small/none/*", 0), ("none/**", 0))
    late = count_bytes_read(store_path, 1, ("big/**", head))
    assert few - plain < 10_000
    assert late - plain < 64_000  # a look for the place in the journal, and nothing of the streams


@pytest.mark.skipif(STRACE is None, reason="strace is not installed here")
@pytest.mark.parametrize("to", [2000, 2500])
def test_reading_up_to_a_version_reads_no_byte_behind_its_commit(store_path: Path, to: int) -> None:
    assert STRACE
    store = LocalStore(str(store_path))
    for first in range(0, 8000, 1000):
        store.append([Write("a", [event({"number": first + number}) for number in range(1000)])])
    trace = store_path.parent / "trace"
    command = [STRACE, "-f", "-y", "-e", "trace=pread64", "-o", str(trace), sys.executable, "-c", READ]
    done = subprocess.run([*command, str(store_path), str(to)], check=False, capture_output=True, text=True)
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    path = store_path / "streams/a.jsonl"
    found = re.findall(rf"<{re.escape(str(path))}>.*, (\d+)\) = (\d+)$", trace.read_text(), re.MULTILINE)
    reads = [(int(offset), int(count)) for offset, count in found]
    first_of_fold = max(number for number, (offset, _) in enumerate(reads) if offset == 0)
    at = 0
    for offset, count in reads[first_of_fold:]:
        assert offset == at  # each byte once
        at += count
    lines = path.read_bytes().splitlines(keepends=True)
    assert at == sum(map(len, lines[: -(-to // 1000) * 1000]))
    assert sum(count for _, count in reads[:first_of_fold]) < 300_000
