"""``undo``: what would compensate an event is printed as lines to append, and stored once."""

from pathlib import Path

import pytest

from tests.cli.deciding import balance, configure, open_bank
from tests.cli.driving import Evcli, tree_hash


@pytest.fixture
def bank(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    return open_bank(evcli, tmp_path, monkeypatch)


def test_the_deciders_undo_says_what_compensates_and_append_takes_it(bank: Evcli) -> None:
    bank.ok("do", "accounts/ann", "withdraw", "amount=5", "--correlation", "c-1")
    printed = bank.ok("undo", "accounts/ann@3")
    assert printed.json == {
        "stream": "accounts/ann",
        "type": "money.deposited",
        "data": {"amount": 5.0, "note": "undoes accounts/ann@3"},
        "meta": {"cause": "accounts/ann@3", "correlation": "c-1"},
        "id": "undo:accounts/ann@3",
        "expect": 3,
    }
    assert bank.ok("append", "--from", "-", stdin=printed.out).json["version"] == 4
    assert balance(bank, "ann") == 20.0


def test_an_event_is_compensated_once_however_often_it_is_undone(bank: Evcli) -> None:
    for _ in range(2):
        bank.ok("append", "--from", "-", stdin=bank.ok("undo", "accounts/ann@2").out)
    assert balance(bank, "ann") == 0.0


def test_a_transfer_is_undone_on_both_sides(bank: Evcli) -> None:
    bank.ok("do", "accounts/ann", "transfer", "amount=5", "to=accounts/bob")
    lines = bank.ok("undo", "accounts/ann@3").out
    bank.ok("append", "--from", "-", "--atomic", stdin=lines)
    assert (balance(bank, "ann"), balance(bank, "bob")) == (20.0, 0.0)


def test_what_was_decided_on_an_older_state_is_not_stored(bank: Evcli) -> None:
    lines = bank.ok("undo", "accounts/ann@2").out
    bank.ok("do", "accounts/ann", "withdraw", "amount=20")
    bank.fails(3, "append", "--from", "-", stdin=lines)


def test_rules_come_before_the_decider_and_need_no_code(bank: Evcli, tmp_path: Path) -> None:
    configure(
        tmp_path,
        '[streams."accounts/*".undo]\n"money.*" = { type = "money.adjusted", data = { by = { negate = "/data/amount" } } }\n',
    )
    assert bank.ok("undo", "accounts/ann@2").json["data"] == {"by": -20.0}
    configure(tmp_path, '[streams."accounts/*".undo]\n"money.*" = { type = "x", data = { by = "/amount" } }\n')
    assert "evcli.toml:2" in bank.fails(78, "undo", "accounts/ann@2")


def test_where_nothing_says_how_it_says_what_to_declare(bank: Evcli, store_path: Path) -> None:
    before = tree_hash(store_path)
    said = bank.fails(4, "undo", "accounts/ann@1")
    assert "nothing says how account.opened is undone (accounts/ann@1)" in said
    assert '[streams."accounts/*".undo] "account.opened" =' in said
    bank.fails(4, "undo", "accounts/ann@9")
    bank.fails(2, "undo", "accounts/ann")
    bank.fails(2, "undo", "accounts/ann@1..2")
    assert tree_hash(store_path) == before


def test_an_undo_that_fails_or_refuses_is_told(bank: Evcli, tmp_path: Path) -> None:
    code = (tmp_path / "bank.py").read_text()
    (tmp_path / "bank.py").write_text(code + "\n\ndef undo(event, state):\n    raise KeyError('x')\n")
    assert "undoing accounts/ann@2 (money.deposited) failed: KeyError: 'x'" in bank.fails(69, "undo", "accounts/ann@2")
    (tmp_path / "bank.py").write_text(code + "\n\ndef undo(event, state):\n    raise Rejected('too late')\n")
    assert "too late" in bank.fails(5, "undo", "accounts/ann@2")


def test_what_was_not_there_before_cannot_be_brought_back(bank: Evcli, tmp_path: Path) -> None:
    configure(
        tmp_path,
        '[streams."accounts/*".undo]\n"money.*" = { type = "note.set", data = { note = "/before/note" } }\n',
    )
    assert '"money.*".data.note: /before/note leads nowhere' in bank.fails(69, "undo", "accounts/ann@2")
