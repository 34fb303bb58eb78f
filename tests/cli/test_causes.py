"""Causes and correlations of commands: what ``do``, ``submit`` and the worker hand on, and what a trace shows of it."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.driving import Evcli

BANK = """
from evcli import Rejected

initial = {"balance": 0}


def evolve(state, event):
    state["balance"] += event["data"]["amount"]
    return state


def deposit(state, amount: int):
    return [("money.deposited", {"amount": amount})]


def transfer(state, amount: int, to: str):
    if state["balance"] < amount:
        raise Rejected("insufficient funds", code="insufficient_funds")
    return [("money.sent", {"amount": -amount}), (to, "money.received", {"amount": amount})]


commands = {"deposit": deposit, "transfer": transfer}
"""


@pytest.fixture
def bank(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    """Make a bank with ten in ann's account, paid in because of her order of conversation o-1."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "bank.py").write_text(BANK)
    (folder / "evcli.toml").write_text('[streams."accounts/*"]\nreducer = "bank.py"\ndecider = "bank.py"\n')
    monkeypatch.setenv("EVCLI_CONFIG", str(folder / "evcli.toml"))
    evcli.ok("trust", str(folder), "-q")
    evcli.ok("append", "orders/1", "order.placed", "--correlation", "o-1", "-q")
    evcli.ok("do", "accounts/ann", "deposit", "amount:=10", "--cause", "orders/1@1", "-q")
    return evcli


def metas(evcli: Evcli, stream: str) -> list[dict[str, Any]]:
    """Return what a stream's events say of their cause and correlation."""
    kept = ("cause", "correlation")
    return [
        {name: meta[name] for name in kept if name in meta}
        for meta in (event.get("meta", {}) for event in evcli.ok("log", stream).lines)
    ]


def places(evcli: Evcli, what: str) -> list[str]:
    """Return the events of a trace: a dot for each step of depth, stream and version."""
    return [
        f"{'.' * line['depth']}{line['event']['stream']}@{line['event']['version']}"
        for line in evcli.ok("trace", what).lines
    ]


def test_do_hands_on_the_correlation_of_its_cause_to_all_that_follows(bank: Evcli) -> None:
    bank.ok("do", "accounts/ann", "transfer", "amount:=4", "to=accounts/bob", "--cause", "accounts/ann@1")
    expected = {"cause": "accounts/ann@1", "correlation": "o-1"}
    assert metas(bank, "accounts/ann") == [{"cause": "orders/1@1", "correlation": "o-1"}, expected]
    assert metas(bank, "accounts/bob") == [expected]
    assert places(bank, "accounts/bob@1") == [
        "orders/1@1",
        ".accounts/ann@1",
        "..accounts/ann@2",
        "..accounts/bob@1",
    ]


def test_do_takes_a_correlation_that_is_given_else_its_id_else_a_new_one(bank: Evcli) -> None:
    bank.ok("do", "accounts/ann", "deposit", "amount:=1", "--cause", "orders/1@1", "--correlation", "other")
    bank.ok("do", "accounts/ann", "deposit", "amount:=1", "--id", "d-1")
    bank.ok("do", "accounts/ann", "transfer", "amount:=1", "to=accounts/bob")
    given, by_id, new = metas(bank, "accounts/ann")[1:]
    assert given == {"cause": "orders/1@1", "correlation": "other"}
    assert by_id == {"correlation": "d-1"}
    assert metas(bank, "accounts/bob") == [new]
    assert new.keys() == {"correlation"}
    assert places(bank, "d-1") == ["accounts/ann@3"]
    assert places(bank, new["correlation"]) == ["accounts/ann@4", "accounts/bob@1"]


@pytest.mark.parametrize("command", ["do", "submit"])
def test_the_cause_of_a_command_must_be_there(bank: Evcli, command: str) -> None:
    before = bank.ok("checkpoint").out
    given = [command, "accounts/ann", "deposit", "amount:=1", "--cause"]
    assert "orders/1 is at version 1" in bank.fails(4, *given, "orders/1@2")
    bank.fails(4, *given, "orders/2@1")
    bank.fails(2, *given, "orders/1")
    bank.fails(2, *given, "orders/1@1..1")
    assert bank.ok("checkpoint").out == before


def test_dry_run_shows_the_cause_and_the_correlation(bank: Evcli) -> None:
    for command in ("do", "submit"):
        [event] = bank.ok(
            command, "accounts/ann", "deposit", "amount:=1", "--cause", "orders/1@1", "--dry-run", "-o", "json"
        ).json["events"]
        meta = event["meta"]
        assert (meta["cause"], meta["correlation"]) == ("orders/1@1", "o-1")


def test_a_rejection_that_is_recorded_tells_what_led_to_the_command(bank: Evcli) -> None:
    transfer = ["transfer", "amount:=99", "to=accounts/bob", "--cause", "accounts/ann@1", "--record-rejections"]
    bank.fails(5, "do", "accounts/ann", *transfer)
    assert places(bank, "o-1") == ["orders/1@1", ".accounts/ann@1", "..evcli/rejections@1"]


def test_what_follows_from_a_submitted_command_has_the_command_as_its_cause(bank: Evcli) -> None:
    transfer = ["transfer", "amount:=4", "to=accounts/bob", "--id", "c-1"]
    bank.ok("submit", "accounts/ann", *transfer, "--cause", "accounts/ann@1")
    assert metas(bank, "evcli/commands") == [{"cause": "accounts/ann@1", "correlation": "o-1"}]
    bank.ok("work", "--once", "-q")
    expected = {"cause": "evcli/commands@1", "correlation": "o-1"}
    assert metas(bank, "accounts/ann")[1:] == metas(bank, "accounts/bob") == [expected]
    assert metas(bank, "evcli/commands")[1:] == [expected]
    tree = [
        "orders/1@1",
        ".accounts/ann@1",
        "..evcli/commands@1",
        "...accounts/ann@2",
        "...accounts/bob@1",
        "...evcli/commands@2",
    ]
    assert places(bank, "o-1") == places(bank, "accounts/bob@1") == tree
    assert places(bank, "c-1") == [place[2:] for place in tree[2:]]


def test_a_submitted_command_without_a_cause_begins_a_conversation_under_its_id(bank: Evcli) -> None:
    bank.ok("submit", "accounts/ann", "transfer", "amount:=99", "to=accounts/bob", "--id", "c-1")
    bank.ok("submit", "accounts/ann", "deposit", "amount:=1", "--id", "c-2", "--correlation", "other")
    bank.ok("work", "--once", "-q")
    assert places(bank, "c-1") == ["evcli/commands@1", ".evcli/commands@3"]
    assert [line["event"]["type"] for line in bank.ok("trace", "c-1").lines] == [
        "command.submitted",
        "command.rejected",
    ]
    assert places(bank, "other") == ["evcli/commands@2", ".accounts/ann@2", ".evcli/commands@4"]
