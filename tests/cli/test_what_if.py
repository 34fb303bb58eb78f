import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.driving import Evcli, lines_of, tree_hash

ANN = "accounts/ann"
LISTED = ("--reducer", "list")


@pytest.fixture
def extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of two events, in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = Path("extra.jsonl")
    path.write_bytes(lines_of({"type": "money.deposited", "data": {"amount": 7}}, {"type": "x", "data": 1}))
    return path


@pytest.mark.parametrize(
    ("options", "state"),
    [
        (["--without", "2"], [0, 4]),
        (["--without", "2..3"], [0]),
        (["--without", "2.."], [0]),
        (["--without", "..2"], [4]),
        (["--without", "1", "--without", "3"], [10]),
        (["--without", "type=money.*"], [0]),
        (["--without", "type=opened", "--without", "3"], [10]),
        (["--without", "type=none"], [0, 10, 4]),
        (["--set", "2/data/amount:=11"], [0, 11, 4]),
        (["--set", "2/data/amount=11"], [0, "11", 4]),
        (["--set", '2/data:={"amount":[1]}', "--set", "1/data/amount:=5"], [5, [1], 4]),
        (["--to", "2", "--without", "1"], [10]),
        (["--until", "2026-01-02", "--without", "1"], [10]),
    ],
    ids=str,
)
def test_another_history_is_folded(bank: Evcli, options: list[str], state: list[Any]) -> None:
    found = bank.ok("replay", ANN, *LISTED, *options).json
    assert [data["amount"] for data in found] == state


def test_events_of_a_file_are_put_in(bank: Evcli, extra: Path) -> None:
    two = [{"amount": 7}, 1]
    zero, ten, four = ({"amount": n} for n in (0, 10, 4))
    for version, state in (
        (0, [*two, zero, ten, four]),
        (2, [zero, ten, *two, four]),
        (3, [zero, ten, four, *two]),
    ):
        assert bank.ok("replay", ANN, *LISTED, "--insert", f"{extra}@{version}").json == state
    twice = ["--insert", "extra.jsonl@1", "--insert", "-@1", "--without", "2.."]
    assert bank.ok("replay", ANN, *LISTED, *twice, stdin=b'{"type":"y","data":2}\n').json == [zero, *two, 2]


def test_lines_of_log_can_be_put_in(bank: Evcli, extra: Path) -> None:
    extra.write_bytes(bank.ok("log", "accounts/bob").out)
    found = bank.ok("replay", ANN, "--reducer", "count", "--insert", f"{extra}@1", "--with-version").json
    assert found == {"stream": ANN, "version": 3, "state": 5}


def test_diff_is_what_differs_from_reality(bank: Evcli) -> None:
    result = bank("replay", ANN, "--without", "3", "--diff")
    assert (result.code, result.lines) == (1, [{"op": "replace", "path": "/amount", "value": 10}])
    result = bank("replay", ANN, "--without", "3", "--diff", "-o", "table")
    assert (result.code, result.out.decode()) == (1, "~ /amount  4 → 10\n")
    result = bank("replay", ANN, "--without", "2", "--diff", "-o", "json")
    assert (result.code, result.out) == (0, b"[]\n")
    result = bank("replay", f"{ANN}@2", "--without", "2", "--diff", *LISTED)
    assert (result.code, result.lines) == (1, [{"op": "remove", "path": "/1"}])


def test_a_patch_of_diff_makes_the_one_state_of_the_other(bank: Evcli, extra: Path) -> None:
    from evcli.domain.patches import apply_patch

    change = ["--insert", f"{extra}@1", "--set", '3/data:=["x"]', "--without", "1", *LISTED]
    patch = json.loads(bank("replay", ANN, *change, "--diff", "-o", "json").out)
    real = bank.ok("replay", ANN, *LISTED).json
    assert apply_patch(real, patch) == bank.ok("replay", ANN, *change).json


def test_nothing_is_written(bank: Evcli, tmp_path: Path) -> None:
    bank.ok("query", "state", ANN)
    before = tree_hash(tmp_path)
    bank.ok("replay", ANN, "--without", "3")
    bank("replay", ANN, "--without", "3", "--diff")
    assert tree_hash(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["accounts/*", "--without", "3"],
        ["--without", "3"],
        [ANN, "accounts/bob", "--without", "1"],
        [ANN, "--diff"],
        [ANN, "--without", "0"],
        [ANN, "--without", "3..1"],
        [ANN, "--without", ".."],
        [ANN, "--without", "x"],
        [ANN, "--without", "-1"],
        [ANN, "--without", "type="],
        [ANN, "--insert", "extra.jsonl"],
        [ANN, "--insert", "@1"],
        [ANN, "--insert", "extra.jsonl@x"],
        [ANN, "--set", "2/data/amount"],
        [ANN, "--set", "data/amount=1"],
        [ANN, "--set", "0/data=1"],
        [ANN, "--set", "2/version:=1"],
        [ANN, "--set", "2=1"],
        [ANN, "--set", "2/data/amount/x:=1"],
        [ANN, "--set", "2/data:=1", "--without", "2"],
        [ANN, "--without", "2", "--profile"],
        [ANN, "--without", "2", "--against", "count"],
        [ANN, "--without", "2", "--diff", "--with-version"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_a_usage_error(bank: Evcli, extra: Path, arguments: list[str]) -> None:
    assert extra.exists()
    bank.fails(2, "replay", *arguments)


def test_a_version_or_a_stream_that_is_not_there_is_exit_4(bank: Evcli, extra: Path) -> None:
    for change in (["--without", "4"], ["--without", "2..4"], ["--insert", f"{extra}@4"], ["--set", "4/data:=1"]):
        assert "no version 4 here: it is folded up to version 3" in bank.fails(4, "replay", ANN, *change)
    assert "up to version 2" in bank.fails(4, "replay", f"{ANN}@2", "--without", "3")
    bank.fails(4, "replay", "none", "--without", "1")
    bank.fails(4, "replay", "none", "--without", "1", "--with-version")


def test_what_could_not_be_stored_is_refused_and_its_line_named(bank: Evcli, extra: Path) -> None:
    extra.write_bytes(b'{"type":"x"}\n\n{"type":"x","data":NaN}\n')
    assert "extra.jsonl, line 3: " in bank.fails(65, "replay", ANN, "--insert", f"{extra}@1")
    assert "2/type: type is not a text" in bank.fails(65, "replay", ANN, "--set", "2/type:=1")
    bank.fails(65, "replay", ANN, "--set", "2/data:=NaN")
    bank.fails(65, "replay", ANN, "--set", "2/data:=1", "--set", "2/data:=2")
    bank.fails(74, "replay", ANN, "--insert", "none.jsonl@1")


def test_standard_input_is_inserted_once(bank: Evcli, extra: Path) -> None:
    asked = ("replay", ANN, *LISTED, "--insert", "-@1", "--insert", "-@2")
    assert "can be inserted once" in bank.fails(2, *asked, stdin=extra.read_bytes())


def test_where_the_reducer_fails_on_what_was_supposed_that_is_said(bank: Evcli, tmp_path: Path) -> None:
    Path(tmp_path / "sum.py").write_text(
        'initial = 0\ndef evolve(state, event):\n    return state + event["data"]["amount"]\n'
    )
    asked = ("replay", ANN, "--reducer", str(tmp_path / "sum.py"), "--without", "1", "--set", "2/data/amount=11")
    assert "the history was changed" in bank.fails(69, *asked)
