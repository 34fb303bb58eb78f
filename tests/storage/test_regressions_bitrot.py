"""What the torture rigs `torn` and `flips` found: bytes that decided an answer before anybody had verified them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evcli.domain.events import Write
from evcli.errors import Damaged
from evcli.storage.local import LocalStore
from tests.storage.building import contents, event, overwrite, write

TIMES = [f"2020-01-0{day}T00:00:00.000000Z" for day in range(1, 6)]


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    """A store with five commits of one event in one stream, a day apart, and a later one in another stream."""
    store = LocalStore(str(store_path))
    for number, time in enumerate(TIMES):
        store.append([Write("a", [event(number, time=time)])])
    store.append([write("b", 1)])
    return store


def change(store: LocalStore, version: int, old: bytes, new: bytes) -> None:
    path = Path(store.root, "streams/a.jsonl")
    lines = path.read_bytes().split(b"\n")
    assert old in lines[version - 1]
    overwrite(path, lines[version - 1].replace(old, new, 1), sum(len(line) + 1 for line in lines[: version - 1]))


def versions(store: LocalStore, **bounds: Any) -> int:
    end = store.head().position
    return sum(len(chunk.lines) for chunk in store.read_stream("a", end=end, **bounds))


@pytest.mark.parametrize("version", [2, 3, 5])
def test_a_changed_time_does_not_move_the_place_of_another_time(store: LocalStore, version: int) -> None:
    change(store, version, b'"time":"2020', b'"time":"2024')
    with pytest.raises(Damaged):
        store.version_at("a", TIMES[version - 1], end=6)


def test_a_changed_version_does_not_shorten_what_is_read_up_to_it(store: LocalStore) -> None:
    change(store, 3, b'"version":3', b'"version":7')
    for to in (3, 4):
        with pytest.raises(Damaged):
            versions(store, to=to)
    assert versions(store, to=2) == 2


def test_a_changed_version_hides_nothing_of_what_is_read_after_another(store: LocalStore) -> None:
    change(store, 5, b'"version":5', b'"version":4')
    for after in (3, 4):
        with pytest.raises(Damaged):
            versions(store, after=after)


def test_a_changed_position_hides_no_event(store: LocalStore) -> None:
    change(store, 5, b'"position":5', b'"position":7')
    with pytest.raises(Damaged):
        versions(store)


def test_a_line_that_is_missing_does_not_shorten_what_is_read_up_to_it(store: LocalStore) -> None:
    path = Path(store.root, "streams/a.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(Damaged):
        versions(store, to=3)


@pytest.mark.parametrize("version", [1, 5])
def test_a_listing_of_streams_verifies_the_first_and_the_last_event(store: LocalStore, version: int) -> None:
    change(store, version, b'"time":"2020', b'"time":"2021')
    with pytest.raises(Damaged):
        store.info("a", end=6)


READERS: list[Callable[[LocalStore], object]] = [LocalStore.head, LocalStore.verify]


@pytest.mark.parametrize("read", READERS)
def test_damage_in_one_stream_is_seen_though_another_of_the_same_commit_is_torn(
    store: LocalStore, read: Callable[[LocalStore], object]
) -> None:
    mark = Path(store.root, "lock").read_bytes()
    store.append([write("a", "torn"), write("b", "damaged")])
    overwrite(Path(store.root, "lock"), mark)
    path = Path(store.root, "streams/a.jsonl")
    os.truncate(path, path.stat().st_size - 9)
    path = Path(store.root, "streams/b.jsonl")
    overwrite(path, b"!", path.stat().st_size - 90)
    before = contents(Path(store.root))
    with pytest.raises(Damaged):
        LocalStore(store.root).append([write("c", 1)])
    assert contents(Path(store.root)) == before
    with pytest.raises(Damaged):
        read(LocalStore(store.root))
