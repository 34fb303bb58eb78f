"""Repair makes a damaged store whole out of what is sound in it, and takes nothing away for good."""

import json
import random
from contextlib import suppress
from pathlib import Path

import pytest

from evcli.domain.events import Write
from evcli.errors import Damaged
from evcli.storage.codec import new_event
from evcli.storage.contract import RepairStep
from evcli.storage.files import replace_file
from evcli.storage.local import LocalStore
from tests.storage.building import contents

STREAMS = ("a", "b/c", "d")


def build(path: Path, *, seed: int = 1, commits: int = 12) -> LocalStore:
    store, pick = LocalStore(str(path)), random.Random(seed)
    for number in range(commits):
        named = pick.sample(STREAMS, pick.choice((1, 1, 1, 2)))
        store.append(
            [Write(name, [new_event({"type": "t.ed", "data": {"n": number}})] * pick.randint(1, 3)) for name in named]
        )
    return store


def events(store: LocalStore) -> dict[int, dict[str, object]]:
    found = [json.loads(line) for lines in store.read_all(end=store.head().position) for line in lines]
    return {event["position"]: {key: value for key, value in event.items() if key != "seal"} for event in found}


def repair(path: Path, *, salvage: bool = False, dry_run: bool = False) -> list[RepairStep]:
    return LocalStore(str(path)).repair(salvage=salvage, dry_run=dry_run)


def test_a_sound_store_needs_no_repair_and_is_not_touched(store_path: Path) -> None:
    build(store_path)
    before = contents(store_path)
    assert repair(store_path, salvage=True) == []
    assert contents(store_path) == before


@pytest.mark.parametrize("harm", ["delete", "flip", "cut", "empty", "swap"])
def test_a_damaged_journal_is_rebuilt_byte_for_byte(store_path: Path, harm: str) -> None:
    build(store_path)
    journal = store_path / "journal.jsonl"
    text = journal.read_bytes()
    lines = text.splitlines(keepends=True)
    harmed = {
        "flip": text[:700] + b"#" + text[701:],
        "cut": text[:900],
        "empty": b"",
        "swap": b"".join([*lines[1:], lines[0]]),
    }
    if harm == "delete":
        journal.unlink()
    else:
        journal.write_bytes(harmed[harm])
    assert [step.file for step in repair(store_path)] == ["journal.jsonl"]
    assert journal.read_bytes() == text
    LocalStore(str(store_path)).verify()
    kept = list((store_path / "quarantine").rglob("journal.jsonl"))
    assert [path.read_bytes() for path in kept] == [harmed.get(harm, b"")]


def test_bytes_that_no_commit_explains_are_taken_away_and_kept(store_path: Path) -> None:
    store = build(store_path)
    expected = contents(store_path)
    file = store_path / "streams" / "a.jsonl"
    file.write_bytes(file.read_bytes() + b'{"position":99')
    with pytest.raises(Damaged):
        store.verify()
    repair(store_path)
    after = contents(store_path)
    assert {name: text for name, text in after.items() if not name.startswith("quarantine")} == expected
    assert any(text.endswith(b'{"position":99') for name, text in after.items() if name.startswith("quarantine"))


def test_lost_events_are_not_given_up_without_salvage(store_path: Path) -> None:
    build(store_path)
    file = store_path / "streams" / "a.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"n":', b'"N":', 1))
    before = contents(store_path)
    with pytest.raises(Damaged, match="are lost"):
        repair(store_path)
    steps = repair(store_path, salvage=True, dry_run=True)
    assert sum(step.lost for step in steps) > 0
    assert contents(store_path) == before


@pytest.mark.parametrize("seed", range(60))
def test_salvage_keeps_every_sound_commit_and_shows_a_gap_for_each_lost_event(store_path: Path, seed: int) -> None:
    store, pick = build(store_path, seed=seed), random.Random(seed)
    before, shape = (
        events(store),
        {path: path.read_bytes() for path in sorted((store_path / "streams").rglob("*.jsonl"))},
    )
    file = pick.choice(list(shape))
    text = shape[file]
    at = pick.randrange(len(text))
    harm = pick.choice(("flip", "zero", "line", "cut", "gone"))
    lines = text.splitlines(keepends=True)
    line = pick.randrange(len(lines))
    harmed = {
        "flip": text[:at] + bytes([text[at] ^ (1 << pick.randrange(8))]) + text[at + 1 :],
        "zero": text[:at] + bytes(len(text[at : at + 100])) + text[at + 100 :],
        "line": b"".join(lines[:line] + lines[line + 1 :]),
        "cut": text[:at],
        "gone": b"",
    }[harm]
    file.write_bytes(harmed)
    without_journal = pick.random() < 0.3
    if without_journal:
        (store_path / "journal.jsonl").unlink()
    damaged = contents(store_path)
    try:
        repair(store_path, salvage=True)
    except Damaged as error:
        assert without_journal, f"with the journal it is known what stood where: {error}"  # noqa: PT017 (both may be)
        assert contents(store_path) == damaged
        return
    again = LocalStore(str(store_path))
    again.verify()
    after = events(again)
    assert after.keys() == before.keys() or (without_journal and list(after) == list(before)[: len(after)])
    for position, event in after.items():
        if event["type"] == "evcli.gap":
            assert (event["stream"], event["version"]) == (before[position]["stream"], before[position]["version"])
        else:
            assert event == before[position]
    gaps = sum(event["type"] == "evcli.gap" for event in after.values())
    assert gaps < len(before)
    assert repair(store_path, salvage=True) == []
    again.append([Write("a", [new_event({"type": "next"})])])
    again.verify()
    if gaps:
        assert any(path.read_bytes() == harmed for path in (store_path / "quarantine").rglob(file.name))


def test_events_of_which_nothing_is_left_cannot_be_repaired(store_path: Path) -> None:
    build(store_path)
    (store_path / "streams" / "b" / "c.jsonl").unlink()
    (store_path / "journal.jsonl").unlink()
    with pytest.raises(Damaged, match="backup"):
        repair(store_path, salvage=True)


def test_a_repair_that_was_cut_short_is_simply_done_again(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def dying(path: str, text: bytes, *, durable: bool) -> None:
        nonlocal calls
        calls += 1
        if calls == dies_at:
            raise KeyboardInterrupt
        replace_file(path, text, durable=durable)

    for dies_at in range(1, 9):
        path = store_path / str(dies_at)
        store = build(path)
        before = events(store)
        for name in ("a", "d"):
            file = path / "streams" / f"{name}.jsonl"
            file.write_bytes(file.read_bytes().replace(b'"n":', b'"N":', 1))
        calls = 0
        monkeypatch.setattr("evcli.storage.repairing.replace_file", dying)
        with suppress(KeyboardInterrupt):
            repair(path, salvage=True)
        monkeypatch.setattr("evcli.storage.repairing.replace_file", replace_file)
        repair(path, salvage=True)
        LocalStore(str(path)).verify()
        assert events(LocalStore(str(path))).keys() == before.keys()


def test_a_store_without_its_identity_gets_a_new_one(store_path: Path) -> None:
    build(store_path)
    (store_path / "store.json").unlink()
    repair(store_path)
    LocalStore(str(store_path)).verify()
