"""A store may have been made by somebody else: what its files say leads nowhere outside it."""

from pathlib import Path

import pytest

from evcli.errors import Damaged
from evcli.storage.lines import ZEROS, JournalWrite, journal_line
from evcli.storage.local import LocalStore
from tests.storage.building import write

TIME = "2026-11-23T08:00:00.000000Z"


@pytest.mark.parametrize(
    "told",
    [
        JournalWrite("../../victim", 1, 1, 0, 100_000, "a" * 64),
        JournalWrite("/victim", 1, 1, 0, 100_000, "a" * 64),
        JournalWrite("a", 1, 1, -5, 100_000, "a" * 64),
        JournalWrite("a", 1, 1, 0, -1, "a" * 64),
    ],
)
def test_a_journal_that_names_other_files_is_damage_and_nothing_is_cut(tmp_path: Path, told: JournalWrite) -> None:
    victim = tmp_path / "victim.jsonl"
    victim.write_bytes(b"not an event\n")
    store = LocalStore(str(tmp_path / "deep" / "store"))
    store.create()
    Path(store.root, "journal.jsonl").write_bytes(journal_line(1, 1, TIME, [told], ZEROS).text)
    for act in (lambda: store.append([write("b")]), store.head, store.verify):
        with pytest.raises(Damaged):
            act()
    assert victim.read_bytes() == b"not an event\n"


def test_a_store_that_lost_its_identity_gets_no_other_one_by_being_made_again(store_path: Path) -> None:
    LocalStore(str(store_path)).append([write("a")])
    (store_path / "store.json").unlink()
    with pytest.raises(Damaged, match="missing"):
        LocalStore(str(store_path)).create()
