"""What a killed writer or a power cut leaves, and what the next writer and the readers make of it (DESIGN 3 and 4)."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest

from evcli.domain.events import Write
from evcli.errors import Damaged, EvcliError
from evcli.storage import looking
from evcli.storage.local import LocalStore
from tests.storage.building import all_lines, contents, event, mark_of_before, overwrite, rest_of_sector, write
from tests.torture.stores import workshop

ONE = [write("a", 1)]
THREE = [write("a", 1, "two", {"three": [3]})]
TWO_STREAMS = [write("b", 7, 8), write("a", "x")]
EARLIER = 3
"""Events stored before the commit that is torn."""


class Torn(NamedTuple):
    """A store whose last commit is about to be torn: what it holds, where the commit began, and the marks around it."""

    root: Path
    whole: dict[str, bytes]
    began: dict[str, int]
    marks: dict[str, bytes]

    def restore(self, *, mark: str) -> LocalStore:
        """Put every byte of the whole store back, with the mark of before the commit, of after it, or none."""
        shutil.rmtree(self.root / "quarantine", ignore_errors=True)
        for path in [path for path in self.root.rglob("*.jsonl") if str(path.relative_to(self.root)) not in self.whole]:
            path.unlink()
        for name, text in self.whole.items():
            (self.root / name).write_bytes(text)
        (self.root / "lock").write_bytes(self.marks[mark])
        return LocalStore(str(self.root))


@pytest.fixture
def store_path() -> Iterator[Path]:
    """Where the store is: in memory, since thousands of times all of it is written anew, and only its bytes count."""
    with workshop() as folder:
        yield Path(folder) / "store"


@pytest.fixture(autouse=True)
def no_syncs_and_few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of repairs are made here: the disk need not take part, nor does anybody else write meanwhile."""
    monkeypatch.setattr(os, "fsync", lambda _fd: None)
    monkeypatch.setattr(os, "fdatasync", lambda _fd: None)
    monkeypatch.setattr(looking, "_LOOKS", 1)


def make_torn(root: Path, commit: list[Write], *, earlier: int = EARLIER) -> Torn:
    store = LocalStore(str(root))
    for number in range(earlier):
        store.append([write("a" if number != 1 else "b", number)])
    before = contents(root)
    store.append(commit)
    whole = contents(root)
    blank = b" " * 94 + b"\n"
    began = {
        name: len(before.get(name, b"")) for name in whole if whole[name] != before.get(name) and name.endswith("l")
    }
    marks = {"before": before.get("lock", blank), "own": whole.pop("lock"), "none": blank}
    return Torn(root, whole, began, marks)


def cuts_of(torn: Torn, name: str, *, step: int = 1) -> Iterator[bytes]:
    """Give a torn file for each byte of the commit: cut there, and with a hole from there on, of each kind in turn."""
    text, began = torn.whole[name], torn.began[name]
    for at in range(began, len(text), step):
        yield text[:at]
        sector = at + (rest_of_sector(at) or 512)
        hole = text[:at].ljust(sector, b"\0")
        holes = (hole + text[sector:], text[:at].ljust(len(text), b"\0"), hole)
        yield holes[at % 3]


def settle_and_check(store: LocalStore, earlier: list[bytes], events: int) -> None:
    """Read as far as the earlier events, append one, and find the earlier ones, it, and nothing else."""
    assert all_lines(store) == earlier
    receipt = store.append([write("a", "next", expect=2)])
    assert (receipt.position, receipt.version) == (events + 1, 3)
    lines = all_lines(store)
    assert lines[:-1] == earlier
    last = json.loads(lines[-1])
    assert (last["position"], last["version"], last["data"]) == (events + 1, 3, "next")
    assert store.verify().events == events + 1


def stream_cuts(torn: Torn, name: str, *, step: int = 1) -> Iterator[bytes]:
    longest = len(torn.whole[name])
    return (
        text for text in cuts_of(torn, name, step=step) if len(text) <= longest
    )  # longer than it was to be is damage


@pytest.mark.parametrize("commit", [ONE, THREE], ids=["one", "three"])
def test_a_commit_torn_anywhere_in_its_stream_is_cut_and_appended_over(store_path: Path, commit: list[Write]) -> None:
    torn = make_torn(store_path, commit)
    earlier = all_lines(torn.restore(mark="own"))[:EARLIER]
    for text in stream_cuts(torn, "streams/a.jsonl"):
        store = torn.restore(mark="before")
        (store_path / "streams/a.jsonl").write_bytes(text)
        settle_and_check(store, earlier, EARLIER)


@pytest.mark.parametrize("commit", [ONE, THREE], ids=["one", "three"])
def test_a_commit_torn_anywhere_in_the_journal_is_cut_and_appended_over(store_path: Path, commit: list[Write]) -> None:
    torn = make_torn(store_path, commit)
    earlier = all_lines(torn.restore(mark="own"))[:EARLIER]
    stream = torn.whole["streams/a.jsonl"][: torn.began["streams/a.jsonl"]]
    for text in cuts_of(torn, "journal.jsonl"):
        store = torn.restore(mark="before")
        (store_path / "journal.jsonl").write_bytes(text)
        (store_path / "streams/a.jsonl").write_bytes(stream)
        settle_and_check(store, earlier, EARLIER)


@pytest.mark.parametrize("name", ["streams/a.jsonl", "journal.jsonl"])
@pytest.mark.parametrize("commit", [ONE, THREE], ids=["one", "three"])
def test_a_marked_commit_that_is_torn_is_damage_and_nothing_is_touched(
    store_path: Path, commit: list[Write], name: str
) -> None:
    torn = make_torn(store_path, commit)
    for text in cuts_of(torn, name):
        store = torn.restore(mark="own")
        (store_path / name).write_bytes(text)
        before = contents(store_path)
        with pytest.raises(Damaged):
            store.append([write("a", "next")])
        with pytest.raises(Damaged):
            all_lines(store)
        assert contents(store_path) == before
        assert not (store_path / "quarantine").exists()


@pytest.mark.parametrize("mark", ["before", "none"])
def test_a_commit_over_two_streams_torn_in_one_is_cut_from_both(store_path: Path, mark: str) -> None:
    torn = make_torn(store_path, TWO_STREAMS)
    earlier = all_lines(torn.restore(mark="own"))[:EARLIER]
    other = {"streams/a.jsonl": "streams/b.jsonl", "streams/b.jsonl": "streams/a.jsonl"}
    for name, second in other.items():
        rest, begun = torn.whole[second], torn.began[second]
        for count, text in enumerate(stream_cuts(torn, name, step=4)):
            store = torn.restore(mark=mark)
            (store_path / name).write_bytes(text)
            (store_path / second).write_bytes([rest, rest[:begun], rest[: begun + 9]][count % 3])
            settle_and_check(store, earlier, EARLIER)


def test_a_marked_commit_over_two_streams_torn_in_one_is_damage(store_path: Path) -> None:
    torn = make_torn(store_path, TWO_STREAMS)
    for name in ("streams/a.jsonl", "streams/b.jsonl"):
        for text in stream_cuts(torn, name, step=7):
            store = torn.restore(mark="own")
            (store_path / name).write_bytes(text)
            before = contents(store_path)
            for act in (lambda store=store: store.append(ONE), store.head):
                with pytest.raises(Damaged):
                    act()
            assert contents(store_path) == before


@pytest.mark.parametrize("name", ["streams/a.jsonl", "journal.jsonl"])
@pytest.mark.parametrize("commit", [ONE, THREE], ids=["one", "three"])
def test_the_first_commit_of_a_store_torn_anywhere_leaves_it_empty(
    store_path: Path, commit: list[Write], name: str
) -> None:
    torn = make_torn(store_path, commit, earlier=0)
    for text in (stream_cuts if name.startswith("s") else cuts_of)(torn, name, step=4):
        store = torn.restore(mark="none")
        if name == "journal.jsonl":
            (store_path / "streams/a.jsonl").unlink()
        (store_path / name).write_bytes(text)
        assert all_lines(store) == []
        assert store.append([write("a", "next", expect=0)]).position == 1
        assert store.verify().events == 1


def test_what_is_cut_is_kept_in_quarantine(store_path: Path) -> None:
    torn = make_torn(store_path, THREE)
    store = torn.restore(mark="before")
    text = torn.whole["streams/a.jsonl"]
    (store_path / "streams/a.jsonl").write_bytes(text[:-100])
    store.append(ONE)
    [kept] = (store_path / "quarantine").iterdir()
    about, _, cut = kept.read_bytes().partition(b"\n")
    began = torn.began["streams/a.jsonl"]
    assert json.loads(about) == {"file": "streams/a.jsonl", "offset": began, "length": len(text) - 100 - began}
    assert cut == text[began:-100] + b"\n"


def test_a_torn_tail_is_settled_even_by_an_append_that_is_refused(store_path: Path) -> None:
    torn = make_torn(store_path, ONE)
    store = torn.restore(mark="before")
    (store_path / "streams/a.jsonl").write_bytes(torn.whole["streams/a.jsonl"][:-5])
    with pytest.raises(EvcliError, match="expected none"):
        store.append([write("a", expect=0)])
    assert store.verify().events == EARLIER
    assert (store_path / "lock").read_bytes() == torn.marks["none"]


@pytest.mark.parametrize("mark", ["before", "none"])
@pytest.mark.parametrize("commit", [ONE, TWO_STREAMS], ids=["one", "two streams"])
def test_a_whole_commit_without_its_mark_is_written_again_and_marked(
    store_path: Path, commit: list[Write], mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = make_torn(store_path, commit)
    store = torn.restore(mark=mark)
    count = EARLIER + sum(len(one.events) for one in commit)
    assert store.head().position == count
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    with pytest.raises(EvcliError, match="expected none"):
        store.append([write("a", expect=0)])
    assert len(synced) == len(commit)
    assert contents(store_path) == torn.whole | {"lock": torn.marks["own"]}
    assert LocalStore(str(store_path)).append(ONE).position == count + 1


def test_a_writer_sees_what_another_left_unmarked_since_its_own_commit(store_path: Path) -> None:
    mine, other = LocalStore(str(store_path)), LocalStore(str(store_path))
    mine.append(ONE)
    with mark_of_before(store_path):
        other.append([write("b/" + "long" * 30, "y" * 5000)])
    assert mine.append(ONE).position == 3
    with mark_of_before(store_path):
        other.append([write("a", "y" * 5000)])
    text = (store_path / "streams/a.jsonl").read_bytes()
    (store_path / "streams/a.jsonl").write_bytes(text[:-3000])
    assert mine.append(ONE).position == 4
    assert mine.verify().events == 4


Harm = Callable[[Torn], None]


def cut_stream_before_the_commit(torn: Torn) -> None:
    path = torn.root / "streams/a.jsonl"
    path.write_bytes(path.read_bytes()[: torn.began["streams/a.jsonl"] - 1])


def remove_stream(torn: Torn) -> None:
    (torn.root / "streams/a.jsonl").unlink()


def lengthen_stream(torn: Torn) -> None:
    path = torn.root / "streams/a.jsonl"
    path.write_bytes(path.read_bytes() + b"{}\n")


def lengthen_stream_with_nuls(torn: Torn) -> None:
    path = torn.root / "streams/a.jsonl"
    path.write_bytes(path.read_bytes() + b"\0" * rest_of_sector(path.stat().st_size))


def change_a_byte_of_the_commit(torn: Torn) -> None:
    overwrite(torn.root / "streams/a.jsonl", b"!", torn.began["streams/a.jsonl"] + 30)


def change_the_seal_before_the_commit(torn: Torn) -> None:
    overwrite(torn.root / "streams/a.jsonl", b"?", torn.began["streams/a.jsonl"] - 10)


def put_a_nul_within_a_sector(torn: Torn) -> None:
    at = torn.began["streams/a.jsonl"] + 20
    overwrite(torn.root / "streams/a.jsonl", b"\0", at + (at % 512 == 511))


def cut_with_a_nul_within_a_sector(torn: Torn) -> None:
    put_a_nul_within_a_sector(torn)
    path = torn.root / "streams/a.jsonl"
    path.write_bytes(path.read_bytes()[:-3])


def change_the_journals_last_hash(torn: Torn) -> None:
    overwrite(torn.root / "journal.jsonl", b"?", len(torn.whole["journal.jsonl"]) - 10)


def change_the_journals_last_line(torn: Torn) -> None:
    overwrite(torn.root / "journal.jsonl", b"9", torn.began["journal.jsonl"] + 12)


def put_a_nul_within_a_sector_of_the_journal(torn: Torn) -> None:
    at = torn.began["journal.jsonl"] + 20
    overwrite(torn.root / "journal.jsonl", b"\0", at + (at % 512 == 511))


def cut_the_journal_alone(torn: Torn) -> None:
    (torn.root / "journal.jsonl").write_bytes(torn.whole["journal.jsonl"][:-1])


def cut_the_journals_last_line_alone(torn: Torn) -> None:
    (torn.root / "journal.jsonl").write_bytes(torn.whole["journal.jsonl"][: torn.began["journal.jsonl"]])


def empty_the_journal(torn: Torn) -> None:
    (torn.root / "journal.jsonl").write_bytes(b"")


def remove_the_journal(torn: Torn) -> None:
    (torn.root / "journal.jsonl").unlink()


@pytest.mark.parametrize("mark", ["before", "none", "own"])
@pytest.mark.parametrize(
    "harm",
    [
        cut_stream_before_the_commit,
        remove_stream,
        lengthen_stream,
        lengthen_stream_with_nuls,
        change_a_byte_of_the_commit,
        change_the_seal_before_the_commit,
        put_a_nul_within_a_sector,
        cut_with_a_nul_within_a_sector,
        change_the_journals_last_hash,
        change_the_journals_last_line,
        put_a_nul_within_a_sector_of_the_journal,
        cut_the_journal_alone,
        cut_the_journals_last_line_alone,
        empty_the_journal,
        remove_the_journal,
    ],
)
def test_what_no_kill_and_no_power_cut_leaves_is_damage(store_path: Path, harm: Harm, mark: str) -> None:
    torn = make_torn(store_path, THREE)
    store = torn.restore(mark=mark)
    harm(torn)
    before = contents(store_path)
    with pytest.raises(Damaged) as failure:
        store.append([write("a", "next")])
    assert failure.value.file in {"streams/a.jsonl", "journal.jsonl"}
    assert contents(store_path) == before
    with pytest.raises(Damaged):
        store.verify()


def test_a_mark_beyond_the_journals_end_is_damage(store_path: Path) -> None:
    torn = make_torn(store_path, ONE)
    store = torn.restore(mark="own")
    mark = f"{EARLIER + 2:020d}:{'a' * 64}:"
    overwrite(store_path / "lock", f"{mark}{sha256(mark.encode()).hexdigest()[:8]}\n".encode())
    before = contents(store_path)
    with pytest.raises(Damaged):
        store.append(ONE)
    with pytest.raises(Damaged):
        store.head()
    assert contents(store_path) == before


def test_a_mark_that_does_not_check_is_no_mark(store_path: Path) -> None:
    torn = make_torn(store_path, ONE)
    store = torn.restore(mark="own")
    overwrite(store_path / "lock", b"9", 3)
    assert store.append(ONE).position == EARLIER + 2
    assert store.verify().events == EARLIER + 2


def test_an_empty_lock_file_is_no_mark(store_path: Path) -> None:
    torn = make_torn(store_path, ONE)
    store = torn.restore(mark="own")
    (store_path / "lock").write_bytes(b"")
    assert store.append(ONE).position == EARLIER + 2


def test_a_torn_line_behind_a_marked_commit_is_cut_from_the_journal(store_path: Path) -> None:
    torn = make_torn(store_path, ONE)
    journal = torn.whole["journal.jsonl"]
    for tail in (b"{", b'{"position":9,"count"', b"\0" * rest_of_sector(len(journal)), b"\0" * 7):
        store = torn.restore(mark="own")
        (store_path / "journal.jsonl").write_bytes(journal + tail)
        assert len(all_lines(store)) == EARLIER + 1
        assert store.append(ONE).position == EARLIER + 2
        assert store.verify().events == EARLIER + 2
        assert (store_path / "journal.jsonl").read_bytes().startswith(journal + b'{"position":5,')


def test_a_store_that_was_cut_right_after_it_was_made_is_empty(store_path: Path) -> None:
    store = LocalStore(str(store_path))
    store.append(ONE)
    (store_path / "journal.jsonl").write_bytes(b"")
    shutil.rmtree(store_path / "streams")
    overwrite(store_path / "lock", b" " * 94)
    identity = LocalStore(str(store_path)).id
    assert all_lines(LocalStore(str(store_path))) == []
    assert LocalStore(str(store_path)).append(ONE).position == 1
    assert LocalStore(str(store_path)).id == identity


def test_a_store_without_its_store_file_is_damaged(store_path: Path) -> None:
    LocalStore(str(store_path)).append(ONE)
    (store_path / "store.json").unlink()
    with pytest.raises(Damaged, match="missing"):
        LocalStore(str(store_path)).append(ONE)
    with pytest.raises(Damaged, match="missing"):
        LocalStore(str(store_path)).head()


def test_a_byte_changed_anywhere_in_an_older_commit_is_found_by_verify(store_path: Path) -> None:
    store = LocalStore(str(store_path))
    store.append([write("a", 1), write("b", 2)])
    store.append([Write("a", [event(3, id="k", time=None)])])
    store.append([write("b", 4)])
    for name in ("streams/a.jsonl", "streams/b.jsonl", "journal.jsonl"):
        text = (store_path / name).read_bytes()
        for at in range(0, len(text), 7):
            overwrite(store_path / name, bytes([text[at] ^ 1]), at)
            with pytest.raises(Damaged):
                LocalStore(str(store_path)).verify()
            overwrite(store_path / name, text[at : at + 1], at)
    assert store.verify().events == 4


def test_a_torn_line_that_is_longer_than_the_next_one_leaves_nothing_behind(store_path: Path) -> None:
    store = LocalStore(str(store_path))
    store.append([write("a")])
    with mark_of_before(store_path):
        store.append([write(f"stream-{number}") for number in range(20)])
    journal = store_path / "journal.jsonl"
    for number in range(20):
        (store_path / "streams" / f"stream-{number}.jsonl").write_bytes(b"")
    overwrite(journal, bytes(512), 512)  # a sector that did not arrive; the rest of the line did
    LocalStore(str(store_path)).append([write(f"other-{number}") for number in range(6)])
    assert LocalStore(str(store_path)).verify().events == 7
