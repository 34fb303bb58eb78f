"""What the torture rig of readers has found, each in its smallest form."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from evcli.errors import Damaged
from evcli.storage import journal
from evcli.storage.lines import JournalEntry
from evcli.storage.local import LocalStore
from tests.storage.building import all_lines, mark_of_before, stored_lines, write


def test_a_reader_that_is_late_while_the_store_is_made_does_not_call_it_damaged(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = os.path.exists

    def made_meanwhile(path: str) -> bool:
        monkeypatch.undo()
        LocalStore(str(store_path)).append([write("a")])
        return exists(path)

    monkeypatch.setattr("evcli.storage.layout.os.path.exists", made_meanwhile)
    assert len(all_lines(LocalStore(str(store_path)))) == 1


def test_a_reader_ends_before_a_commit_that_its_writer_takes_back_meanwhile(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(str(store_path))
    store.append([write("a", 1)])
    journal_path, stream_path = store_path / "journal.jsonl", store_path / "streams/a.jsonl"
    sizes = journal_path.stat().st_size, stream_path.stat().st_size
    with mark_of_before(store_path):
        LocalStore(str(store_path)).append([write("a", 2)])
    entries_after = journal.entries_after

    def taken_back(fd: int, position: int, end: int) -> Iterator[JournalEntry]:
        os.truncate(stream_path, sizes[1])
        os.truncate(journal_path, sizes[0])
        return entries_after(fd, position, end)

    head = store.head()
    assert head.position == 2
    stored = stored_lines(store, "a", to=1)
    monkeypatch.setattr(journal, "entries_after", taken_back)
    assert list(store.read_all(end=head.position)) in ([], [stored])
    assert store.head().position == 1


def test_a_journal_that_was_cut_behind_its_mark_is_damage_to_a_reader(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(str(store_path))
    store.append([write("a", 1)])
    size = (store_path / "journal.jsonl").stat().st_size
    store.append([write("a", 2)])
    entries_after = journal.entries_after

    def cut(fd: int, position: int, end: int) -> Iterator[JournalEntry]:
        os.truncate(store_path / "journal.jsonl", size)
        return entries_after(fd, position, end)

    monkeypatch.setattr(journal, "entries_after", cut)
    with pytest.raises(Damaged):
        list(store.read_all(end=2))


def test_a_torn_line_that_is_cut_while_the_journal_is_looked_at_moves_no_end(store_path: Path) -> None:
    store = LocalStore(str(store_path))
    for number in range(9):
        store.append([write("a", number)])
    with (store_path / "journal.jsonl").open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for torn in (1, 300, 5_000):
            tail = journal.read_tail(file.fileno(), size + torn)
            assert (tail.end, tail.torn) == (size, False)
            assert tail.last is not None
            assert tail.last.last_position == 9
