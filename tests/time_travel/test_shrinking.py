"""The fewest events that still fail: they fail, and without any single one of them they do not."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evcli.domain.events import Event
from evcli.time_travel.shrinking import renumbered, shrink
from tests.cli.deciding import open_bank
from tests.cli.driving import Evcli, tree_hash


def history(numbers: Sequence[int]) -> list[Event]:
    time = "2026-11-23T08:00:00.000000Z"
    return [
        {"position": 2 * n, "stream": "a", "version": n, "time": time, "type": "added", "data": {"n": number}}
        for n, number in enumerate(numbers, 1)
    ]


@given(st.lists(st.integers(-9, 9), max_size=40), st.integers(-20, 20), st.sampled_from(["low", "has", "odd"]))
def test_what_is_left_fails_and_nothing_of_it_can_be_left_out(numbers: list[int], limit: int, kind: str) -> None:
    def fails(events: Sequence[Event]) -> bool:
        found: list[int] = [event["data"]["n"] for event in events]
        if kind == "low":
            return sum(found) < limit
        if kind == "has":
            return {1, 5} <= set(found) and len(found) % 3 != 1
        return any(one > other + abs(limit) for one, other in pairwise(found))

    events = history(numbers)
    if not fails(events):
        return
    left = shrink(events, fails)
    assert fails(left)
    assert [event for event in events if event in left] == left
    assert not [n for n in range(len(left)) if fails(left[:n] + left[n + 1 :])]


def test_events_are_renumbered_as_if_they_were_all_that_there_is() -> None:
    events = history([1, 2, 3])[1:]
    events[0]["seal"] = "…"
    assert [(event["version"], event["position"], "seal" in event) for event in renumbered(events)] == [
        (1, 1, False),
        (2, 2, False),
    ]
    assert events[0]["version"] == 2


@pytest.fixture
def bank(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    bank = open_bank(evcli, tmp_path, monkeypatch)
    for amount in (5, 450, 3):
        bank.ok("append", "accounts/ann", "money.withdrawn", f"amount:={amount}")
    return bank


def test_the_spec_it_prints_fails_until_what_is_wrong_is_mended(bank: Evcli, tmp_path: Path, store_path: Path) -> None:
    before = tree_hash(store_path)
    printed = bank.ok("shrink", "accounts/ann", "--check", "balance > -100").out
    spec = json.loads(printed)
    assert [event["data"]["amount"] for event in spec["given"]] == [450]
    assert (spec["stream"], spec["then"]) == ("accounts/ann", {"check": "balance > -100"})
    (tmp_path / "failing.jsonl").write_bytes(printed)
    assert bank("test", "failing.jsonl").json["actual"]["state"]["balance"] == -450.0
    code = (tmp_path / "bank.py").read_text()
    (tmp_path / "bank.py").write_text(code.replace('event["data"]["amount"], 2', 'min(event["data"]["amount"], 50), 2'))
    bank.ok("test", "failing.jsonl")
    assert tree_hash(store_path) == before


def test_a_program_may_say_what_fails_and_then_the_state_is_expected_as_it_is(bank: Evcli) -> None:
    program = "python3 -c 'import json, sys; sys.exit(json.load(sys.stdin)[\"balance\"] < -100)'"
    spec = bank.ok("shrink", "accounts/ann@4", "--run", program).json
    assert spec["then"]["state"]["balance"] == -450.0
    assert len(spec["given"]) == 1


def test_where_nothing_fails_there_is_nothing_to_shrink(bank: Evcli) -> None:
    assert "the check holds" in bank.fails(1, "shrink", "accounts/ann@3", "--check", "balance > -100")
    bank.fails(2, "shrink", "accounts/ann")
    bank.fails(2, "shrink", "accounts/ann", "--check", "1", "--run", "true")
    bank.fails(2, "shrink", "accounts/*", "--check", "1")
    bank.fails(4, "shrink", "accounts/nobody", "--check", "1")


def test_the_parameters_of_a_check_go_into_the_spec(bank: Evcli, tmp_path: Path) -> None:
    bank.ok("append", "accounts/ann", "x", "balance:=-200", "-q")
    asked = ["--check", "balance > :least and :name is null", "--param", "least:=-100", "--param", "name:=null"]
    spec = bank.ok("shrink", "accounts/ann", "--reducer", "merge", *asked)
    assert spec.json["then"]["params"] == {"least": -100, "name": None}
    (tmp_path / "failing.jsonl").write_bytes(spec.out)
    assert bank("test", str(tmp_path / "failing.jsonl"), "--reducer", "merge").json["ok"] is False


def test_a_program_that_can_judge_nothing_is_told_of(bank: Evcli) -> None:
    assert "could judge none" in bank.fails(69, "shrink", "accounts/ann", "--run", "exit 125")
