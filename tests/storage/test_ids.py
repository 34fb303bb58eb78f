"""The index of idempotency keys: right whatever becomes of it, and of constant cost."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from evcli.domain.events import Write
from evcli.errors import IdReused
from evcli.storage import ids
from evcli.storage.local import LocalStore
from tests.storage.building import all_lines, event

LONG = 1500
"""Events with an id: well over the 64 KiB of stream from which on an index is kept."""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def store(store_path: Path, cache: Path) -> LocalStore:
    store = LocalStore(str(store_path), cache=str(cache))
    store.append([Write("deep/a", [event(number, id=f"k{number}") for number in range(LONG)])])
    return store


@pytest.fixture
def index(store: LocalStore, cache: Path) -> Path:
    """The index of the stream, complete."""
    require_known(store, 0)
    return cache / store.id / "ids" / "deep" / "a.sqlite"


def require_known(store: LocalStore, *numbers: int) -> None:
    """Find every given number under its id, refuse it with other content, and know no other."""
    position = store.head().position
    for number in numbers:
        receipt = store.append([Write("deep/a", [event(number, id=f"k{number}")])])
        assert (receipt.count, receipt.repeated, receipt.version) == (0, 1, number + 1)
        with pytest.raises(IdReused):
            store.append([Write("deep/a", [event("other", id=f"k{number}")])])
    plan = store.plan([Write("deep/a", [event(id="unknown"), event(0, id="k0")])])
    assert (plan.receipt.count, plan.receipt.repeated) == (1, 1)
    assert store.head().position == position


def test_ids_of_a_long_stream_are_found_in_an_index(store: LocalStore, index: Path) -> None:
    assert index.exists()
    require_known(store, *range(0, LONG, 50), LONG - 1)


def test_a_short_stream_needs_no_index(store_path: Path, cache: Path) -> None:
    store = LocalStore(str(store_path), cache=str(cache))
    for _ in range(3):
        store.append([Write("a", [event(1, id="k")])])
    assert len(all_lines(store)) == 1
    assert not cache.exists()


def test_ids_are_found_without_any_cache(store: LocalStore) -> None:
    require_known(LocalStore(store.root), 0, 700, LONG - 1)


def test_the_index_catches_up_with_what_other_writers_appended(store: LocalStore, index: Path) -> None:
    assert index.exists()
    other = LocalStore(store.root)
    for number in range(LONG, LONG + 20):
        other.append([Write("deep/a", [event(number, id=f"k{number}")])])
        require_known(store, number)
    require_known(store, 0, LONG, LONG + 19)


def test_the_index_grows_past_what_its_buckets_hold(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_FULL", 2)
    monkeypatch.setattr(ids, "_FIRST_BUCKETS", 2)
    count = LONG
    for step in (1, 3, 10, 300, 2000, 1):
        store.append([Write("deep/a", [event(count + more, id=f"k{count + more}") for more in range(step)])])
        count += step
        require_known(store, 0, LONG // 2, count - 1)
    require_known(store, *random.sample(range(count), 40))


def test_a_grown_index_is_of_the_size_that_its_buckets_say(store: LocalStore, index: Path) -> None:
    store.append([Write("deep/a", [event(number, id=f"k{number}") for number in range(LONG, 6000)])])
    require_known(store, 0, LONG, 5999)
    with sqlite3.connect(index) as database:
        [(entries, buckets)] = database.execute("select entries, buckets from covered").fetchall()
        [(count, longest)] = database.execute("select count(*), max(length(entries)) from bucket").fetchall()
    database.close()
    assert entries == 6000
    assert count == buckets > entries / 64
    assert longest < 64 * 16 * 4


def put_a_directory_there(path: Path) -> None:
    path.unlink()
    path.mkdir()


def put_a_dangling_link_there(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nonexistent/x")


def put_a_file_for_the_cache(path: Path) -> None:
    shutil.rmtree(path.parents[3])
    path.parents[3].write_text("")


def make_the_cache_unwritable(path: Path) -> None:
    """Put in its place what even root cannot write to."""
    shutil.rmtree(path.parent)
    path.parent.symlink_to("/proc")


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(Path.unlink, id="deleted"),
        pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
        pytest.param(lambda path: os.truncate(path, path.stat().st_size // 2), id="halved"),
        pytest.param(lambda path: os.truncate(path, 4096), id="one page"),
        pytest.param(lambda path: os.truncate(path, 50), id="part of a header"),
        pytest.param(lambda path: path.write_bytes(b"\0" * 100_000), id="zeros"),
        pytest.param(lambda path: path.write_bytes(random.randbytes(50_000)), id="noise"),
        pytest.param(put_a_directory_there, id="a directory"),
        pytest.param(put_a_dangling_link_there, id="a dangling link"),
        pytest.param(lambda path: shutil.rmtree(path.parents[3]), id="no cache"),
        pytest.param(put_a_file_for_the_cache, id="a file for the cache"),
        pytest.param(make_the_cache_unwritable, id="an unwritable cache"),
    ],
)
def test_ids_are_found_whatever_became_of_the_index(
    store: LocalStore, index: Path, harm: Callable[[Path], None]
) -> None:
    harm(index)
    require_known(store, 0, 777, LONG - 1)
    require_known(LocalStore(store.root, cache=str(index.parents[3])), 1)


def test_ids_are_found_though_bytes_of_the_index_were_changed(store: LocalStore, index: Path) -> None:
    whole = index.read_bytes()
    places = [*range(0, 100, 9), *range(3500, 4096, 23), *(random.randrange(len(whole)) for _ in range(20))]
    for place in places:
        index.write_bytes(whole[:place] + bytes([random.randrange(256)]) + whole[place + 1 :])
        require_known(store, random.randrange(LONG))


def test_ids_are_found_though_rows_of_the_index_were_changed(store: LocalStore, index: Path) -> None:
    whole = index.read_bytes()
    for change in (
        "delete from covered",
        "update covered set entries = 0",
        "update covered set offset = 0, seal = ''",
        "update covered set buckets = 'x'",
        "insert into covered select * from covered",
        "alter table covered drop column digest",
        "alter table bucket drop column digest",
        "drop table bucket",
        "delete from bucket",
        "update bucket set entries = x''",
        "update bucket set entries = 'text'",
        "update bucket set entries = null",
        "update bucket set place = place + 1000000",
        "create trigger t before insert on covered begin select raise(abort, 'no'); end",
    ):
        index.write_bytes(whole)
        database = sqlite3.connect(index, isolation_level=None)
        database.execute(change)
        database.close()
        require_known(store, 3, random.randrange(LONG))
        LocalStore(store.root).append([Write("other", [event()])])


def test_an_index_of_another_history_is_made_anew(store: LocalStore, store_path: Path, tmp_path: Path) -> None:
    shutil.copytree(store_path, tmp_path / "copy")
    copy = LocalStore(str(tmp_path / "copy"), cache=str(tmp_path / "cache"))
    assert copy.id == store.id
    for number in range(LONG, LONG + 6):
        store.append([Write("deep/a", [event(number, id=f"k{number}")])])
        copy.append([Write("deep/a", [event(-number, id=f"c{number}")])])
        require_known(store, number, 5)
        assert copy.append([Write("deep/a", [event(-number, id=f"c{number}")])]).repeated == 1
        assert copy.plan([Write("deep/a", [event(number, id=f"k{number}")])]).receipt.count == 1


def test_an_index_ahead_of_a_restored_backup_is_made_anew(store: LocalStore, store_path: Path, tmp_path: Path) -> None:
    shutil.copytree(store_path, tmp_path / "backup")
    store.append([Write("deep/a", [event(LONG, id=f"k{LONG}")])])
    require_known(store, LONG)
    shutil.rmtree(store_path)
    shutil.copytree(tmp_path / "backup", store_path)
    restored = LocalStore(str(store_path), cache=str(tmp_path / "cache"))
    require_known(restored, 0, LONG - 1)
    assert restored.append([Write("deep/a", [event("new", id=f"k{LONG}")])]).count == 1


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is read of the store's files from here on, each read's bytes."""
    counted: list[int] = []
    original = os.pread

    def pread(fd: int, length: int, offset: int) -> bytes:
        text = original(fd, length, offset)
        counted.append(len(text))
        return text

    monkeypatch.setattr(os, "pread", pread)
    return counted


def test_looking_for_an_id_costs_the_same_on_a_stream_of_any_length(store: LocalStore, bytes_read: list[int]) -> None:
    for _ in range(10):  # so that the journal's last lines are not all there are
        store.append([Write("deep/a", [event()])])
    costs = []
    for count in (LONG, 40_000):
        if count > LONG:
            for first in range(LONG, count, 5000):
                numbers = range(first, min(count, first + 5000))
                store.append([Write("deep/a", [event(number, id=f"k{number}") for number in numbers])])
        store.append([Write("deep/a", [event(count, id=f"k{count}")])])
        require_known(store, 0)
        bytes_read.clear()
        store.append([Write("deep/a", [event(7, id="k7")])])
        known = sum(bytes_read)
        bytes_read.clear()
        store.append([Write("deep/a", [event(0, id=f"new{count}")])])
        costs.append((known, sum(bytes_read)))
    (known_short, new_short), (known_long, new_long) = costs
    assert new_long <= new_short + 2048
    assert known_long <= known_short + 8 * 6000  # a few more steps of bisecting


def test_an_id_is_any_text(store: LocalStore) -> None:
    for key in ('a"b', "\\", "\n", "é", "\0", '","id":"', "k" * 5000, "sqlite'; drop"):
        for repeated in (0, 1):
            assert store.append([Write("deep/a", [event(key, id=key)])]).repeated == repeated
