"""``replay --decide``: recorded commands are judged again, in another history or by another decider."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.deciding import open_bank
from tests.cli.driving import Evcli, tree_hash


@pytest.fixture
def bank(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    """Ann: opened, 20 deposited, 5 withdrawn (3), 12 sent to bob (4), 3 withdrawn without a command (5)."""
    bank = open_bank(evcli, tmp_path, monkeypatch)
    bank.ok("do", "accounts/ann", "withdraw", "amount=5")
    bank.ok("do", "accounts/ann", "transfer", "amount=12", "to=accounts/bob")
    bank.ok("append", "accounts/ann", "money.withdrawn", "amount:=3")
    return bank


def again(bank: Evcli, *options: str) -> tuple[float, list[Any]]:
    """Judge again; return the balance that comes of it, and what is told."""
    result = bank("replay", "accounts/ann", "--decide", *options, "-o", "json")
    return result.json["balance"], [json.loads(line)["decide"] for line in result.err.splitlines()]


def test_in_the_history_as_it_is_every_command_comes_to_the_same(bank: Evcli, store_path: Path) -> None:
    before = tree_hash(store_path)
    assert again(bank) == (0.0, [])
    assert tree_hash(store_path) == before


def test_what_would_now_be_rejected_is_told_and_left_out(bank: Evcli) -> None:
    balance, told = again(bank, "--set", "2/data/amount:=10")
    assert told == [{"version": 4, "command": "transfer", "outcome": "rejected", "reason": "insufficient funds: 5.00"}]
    assert balance == 2.0  # 10 - 5 - 3: the transfer has not happened, what no command asked for has


def test_a_command_before_the_account_is_open_is_rejected_with_all_after_it(bank: Evcli) -> None:
    balance, told = again(bank, "--without", "1")
    assert [(judged["version"], judged["outcome"]) for judged in told] == [
        (2, "rejected"),
        (3, "rejected"),
        (4, "rejected"),
    ]
    assert balance == -3.0


def test_what_would_come_to_other_events_is_told_and_kept(bank: Evcli, tmp_path: Path) -> None:
    code = (tmp_path / "bank.py").read_text()
    (tmp_path / "bank.py").write_text(
        code.replace('[("money.withdrawn", {"amount": amount})]', '[("money.withdrawn", {"amount": amount + 1})]')
    )
    balance, told = again(bank)
    assert told == [{"version": 3, "command": "withdraw", "outcome": "otherwise", "reason": "money.withdrawn"}]
    assert balance == 0.0


def test_what_is_put_in_between_belongs_to_no_command(bank: Evcli, tmp_path: Path) -> None:
    (tmp_path / "fee.jsonl").write_text('{"type":"fee.charged","data":{"amount":4}}\n')
    balance, told = again(bank, "--insert", "fee.jsonl@3")
    assert [judged["version"] for judged in told] == [4]
    assert balance == 8.0


def test_a_decider_that_fails_on_a_command_is_told(bank: Evcli, tmp_path: Path) -> None:
    with (tmp_path / "bank.py").open("a") as file:
        file.write("\n\ncommands['withdraw'] = lambda state, **given: state['none']\n")
    _, told = again(bank)
    assert [(judged["version"], judged["outcome"]) for judged in told] == [(3, "failed")]
    assert "KeyError" in told[0]["reason"]


def test_what_does_not_go_together_is_a_usage_error(bank: Evcli) -> None:
    bank.fails(2, "replay", "accounts/*", "--decide")
    bank.fails(2, "replay", "accounts/ann", "--decide", "--profile")
    bank.fails(4, "replay", "orders/1", "--decide")
