import json
import os
from pathlib import Path

import pytest

from evcli.errors import StorageFailed
from evcli.storage.subscription_files import MOST_AHEAD, DeadLetter, Progress, SubscriptionFiles
from tests.storage.building import overwrite

SLOT = 4096
LINE = b'{"position":7,"stream":"a","version":3,"time":"T","type":"t","data":{"n":1.00}}'


def at(position: int, *done: int) -> Progress:
    return Progress(position, done, position + 5, "f" * 64)


@pytest.fixture
def files(tmp_path: Path) -> SubscriptionFiles:
    made = SubscriptionFiles(str(tmp_path / "state" / "mail"))
    with made.lock() as free:
        assert free
        made.start(at(0))
    return made


def write(files: SubscriptionFiles, *progress: Progress, sync: bool = True) -> None:
    kept = files.keep()
    for one in progress:
        kept.write(one)
        if sync:
            kept.sync()
    kept.close()


def progress_path(files: SubscriptionFiles) -> Path:
    return Path(files.folder, "progress")


def test_progress_is_what_was_written_last(files: SubscriptionFiles) -> None:
    for position in range(1, 8):
        write(files, at(position, position + 2))
        assert files.progress() == at(position, position + 2)


def test_as_much_out_of_turn_as_there_may_be_fits_its_slot(files: SubscriptionFiles) -> None:
    far = Progress(10**17, tuple(range(10**17 + 2, 10**17 + 2 + MOST_AHEAD)), 10**17 + 999, "f" * 64)
    write(files, far)
    assert files.progress() == far
    assert progress_path(files).stat().st_size == 2 * SLOT


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("damage", [b"\0" * SLOT, b"\0" * 512, b"X"])
def test_one_slot_torn_or_flipped_costs_what_it_held_and_no_more(
    files: SubscriptionFiles, slot: int, damage: bytes
) -> None:
    write(files, at(1), at(2), at(3))
    overwrite(progress_path(files), damage, slot * SLOT)
    assert files.progress() in (at(2), at(3))
    write(files, at(4))
    assert files.progress() == at(4)


@pytest.mark.parametrize("slot", [0, 1])
def test_either_slot_is_enough_from_the_beginning(files: SubscriptionFiles, slot: int) -> None:
    overwrite(progress_path(files), b"\0" * SLOT, slot * SLOT)
    assert files.progress() == at(0)


def test_what_is_durable_is_not_touched_until_something_newer_is(files: SubscriptionFiles) -> None:
    write(files, at(1), at(2))
    kept = files.keep()
    before = progress_path(files).read_bytes()
    for position in range(3, 30):
        kept.write(at(position))
    after = progress_path(files).read_bytes()
    same = [before[place : place + SLOT] == after[place : place + SLOT] for place in (0, SLOT)]
    kept.close()
    assert same in ([True, False], [False, True])
    durable = after[:SLOT] if same[0] else after[SLOT:]
    assert f",{at(2).position},".encode() in durable


def test_both_slots_damaged_are_told_of_with_the_way_out(files: SubscriptionFiles) -> None:
    for slot in (0, 1):
        overwrite(progress_path(files), b"X", slot * SLOT)
    with pytest.raises(StorageFailed, match=r"subscription mail cannot be read.*evcli on --reset mail"):
        files.progress()
    with pytest.raises(StorageFailed):
        files.keep()
    files.start(at(9))
    assert files.progress() == at(9)


def test_a_file_cut_short_is_no_progress(files: SubscriptionFiles) -> None:
    progress_path(files).write_bytes(b"")
    with pytest.raises(StorageFailed):
        files.progress()


def test_whether_it_is_running_can_be_asked_without_being_in_the_way(files: SubscriptionFiles) -> None:
    assert not files.is_running()
    with files.lock() as free:
        assert free
        assert files.is_running()
        with files.lock() as second:
            assert not second
    assert not files.is_running()


def test_asking_about_one_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    files = SubscriptionFiles(str(tmp_path / "state" / "none"))
    assert not files.exist()
    assert not files.is_running()
    assert files.dead_letters() == []
    assert files.about() == {}
    assert not (tmp_path / "state").exists()


def test_what_is_kept_is_the_users_own(files: SubscriptionFiles) -> None:
    files.bury([DeadLetter.of(LINE, exit=1)])
    assert Path(files.folder).stat().st_mode & 0o077 == 0
    assert Path(files.dead_letter_path).stat().st_mode & 0o077 == 0


def test_dead_letters_hold_the_stored_line_byte_for_byte(files: SubscriptionFiles) -> None:
    files.bury([DeadLetter.of(LINE, exit=1, attempts=4, time="T2")])
    text = Path(files.dead_letter_path).read_bytes()
    assert text == (
        b'{"position":7,"stream":"a","version":3,"type":"t","exit":1,"attempts":4,"time":"T2","event":' + LINE + b"}\n"
    )
    assert json.loads(text)["event"]["data"] == {"n": 1.0}
    [letter] = files.dead_letters()
    assert (letter.line, letter.about["exit"], letter.about["attempts"]) == (LINE, 1, 4)


def test_a_dead_letter_cut_short_does_not_spoil_the_next(files: SubscriptionFiles) -> None:
    files.bury([DeadLetter.of(LINE, exit=1)])
    with open(files.dead_letter_path, "ab") as file:
        file.write(b'{"position":8,"stream":"a","event":{"pos')
    files.bury([DeadLetter.of(LINE, exit=2)])
    assert [letter.about["exit"] for letter in files.dead_letters()] == [1, 2]


def test_an_event_whose_data_looks_like_a_dead_letter_comes_back_as_it_was(files: SubscriptionFiles) -> None:
    line = LINE.replace(b'{"n":1.00}', rb'{"event":{"event":1},"x":"\",\"event\":"}')
    files.bury([DeadLetter.of(line, exit=1)])
    assert [letter.line for letter in files.dead_letters()] == [line]


def test_a_link_in_the_place_of_the_dead_letters_is_not_followed(files: SubscriptionFiles, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"mine")
    os.symlink(tmp_path / "elsewhere", files.dead_letter_path)
    with pytest.raises(OSError, match=r"symbolic|symlink"):
        files.bury([DeadLetter.of(LINE, exit=1)])
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"


def test_what_it_is_to_is_remembered_and_rubbish_there_does_no_harm(files: SubscriptionFiles) -> None:
    files.describe({"pattern": "**", "program": ["x"]})
    assert files.about()["pattern"] == "**"
    Path(files.folder, "subscription.json").write_bytes(b"[\xff")
    assert files.about() == {}
