"""A long stream is read in little memory: a million events, each command a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from evcli.api import Store
from evcli.domain.events import NewEvent, Write
from evcli.storage.local import LocalStore

EVENTS = 1_000_000
COMMIT = 50_000
LIMIT = 100 << 20
# In a small process of its own: a child begins with the memory of the process that it comes from.
MEASURE = """
import os, sys
child = os.posix_spawn(sys.executable, [sys.executable, "-m", "evcli", *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(child, 0)
sys.stderr.write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.fixture(scope="session")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store with one stream of a million events."""
    root = tmp_path_factory.mktemp("million") / "store"
    store = Store(LocalStore(str(root), cache=None))
    for start in range(0, EVENTS, COMMIT):
        store.commit([Write("s", [NewEvent("t", f'{{"n":{n}}}') for n in range(start, start + COMMIT)])])
    return root


def peak(*arguments: str, printed: Path) -> int:
    """Run evcli with its output to a file, and return the most memory it held, in bytes."""
    with printed.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-S", "-c", MEASURE, *arguments], stdout=file, stderr=subprocess.PIPE, check=True
        )
    return int(done.stderr) * (1 if sys.platform == "darwin" else 1024)


def test_log_and_replay_of_a_million_events_stay_under_100_mb(
    million: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVCLI_STORE", str(million))
    printed = tmp_path / "printed"
    assert peak("log", "s", printed=printed) < LIMIT
    assert printed.stat().st_size == (million / "streams" / "s.jsonl").stat().st_size
    assert peak("replay", "s", "--reducer", "count", printed=printed) < LIMIT
    assert printed.read_text() == f"{EVENTS}\n"
    assert peak("log", "--tail", "2", printed=printed) < LIMIT
    assert printed.read_bytes().count(b"\n") == 2


def test_a_commit_of_very_many_events_takes_little_more_memory_than_its_bytes(tmp_path: Path, store_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("".join(f'{{"type":"t","data":{{"n":{n},"note":"{"x" * 100}"}}}}\n' for n in range(200_000)))
    most = peak("append", "s", "--from", str(lines), "--atomic", "-q", printed=tmp_path / "printed")
    assert most < (64 << 20) + (store_path / "streams" / "s.jsonl").stat().st_size
