import json
from pathlib import Path

import pytest

from tests.cli.driving import Evcli, tree_hash


def test_the_state_goes_to_standard_output_and_the_profile_beside_it(bank: Evcli) -> None:
    result = bank.ok("replay", "accounts/ann", "--profile", "-o", "jsonl")
    assert result.out == bank.ok("replay", "accounts/ann").out
    rows = [json.loads(line)["profile"] for line in result.err.splitlines()]
    assert [row["part"] for row in rows[:3]] == ["read", "parse", "fold"]
    types = {row["type"]: row for row in rows[3:6]}
    assert types.keys() == {"opened", "money.deposited", "money.withdrawn"}
    lines = bank.ok("log", "accounts/ann").out.splitlines(keepends=True)
    assert [types[json.loads(line)["type"]]["bytes"] for line in lines] == [len(line) for line in lines]
    assert {row["slowest"] for row in rows[6:]} == {f"accounts/ann@{n}" for n in (1, 2, 3)}


def test_people_get_tables(bank: Evcli) -> None:
    said = bank.ok("replay", "--profile").err
    heads = [line.split() for line in said.splitlines() if line.split()[0] in ("part", "type", "slowest")]
    assert heads == [
        ["part", "us", "percent"],
        ["type", "events", "bytes", "us", "percent", "ns_each"],
        ["slowest", "type", "bytes", "us"],
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["accounts/*", "--reducer", "count"],
        ["accounts/ann@2", "--with-version"],
        ["accounts/ann", "--until", "2026-01-03"],
        ["--until", "2026-01-03"],
        ["accounts/ann@0"],
        ["accounts/ann", "--reducer", "exec:wc -l"],
        ["accounts/*", "--reducer", "sum.py"],
        ["none*"],
    ],
    ids=" ".join,
)
def test_the_answer_is_that_of_replay_and_nothing_is_written(
    bank: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sum.py").write_text("initial = 0\ndef evolve(state, event):\n    return state + event['data']['amount']\n")
    before = tree_hash(tmp_path)
    assert bank.ok("replay", *arguments, "--profile", "-o", "jsonl").out == bank.ok("replay", *arguments).out
    assert tree_hash(tmp_path) == before


def test_what_is_wrong_is_told_as_replay_does(bank: Evcli) -> None:
    bank.fails(4, "replay", "none", "--profile")
    bank.fails(4, "replay", "accounts/ann", "none", "--profile")
    bank.fails(2, "replay", "accounts/*", "--to", "1", "--profile")
    bank.fails(69, "replay", "accounts/ann", "--reducer", "exec:false", "--profile")
