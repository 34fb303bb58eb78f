"""``do``: a command is decided in the state of its stream, and what follows is stored; or nothing is."""

import json
import time
from pathlib import Path

import pytest

from tests.cli.deciding import balance, configure, open_bank
from tests.cli.driving import Evcli, tree_hash


@pytest.fixture
def bank(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    return open_bank(evcli, tmp_path, monkeypatch)


def test_an_accepted_command_is_stored_as_its_events_and_the_receipt_lists_them(bank: Evcli) -> None:
    receipt = bank.ok("do", "accounts/ann", "withdraw", "amount=5", "--actor", "ann").json
    assert receipt["version"] == 3
    event = {"stream": "accounts/ann", "version": 3, "type": "money.withdrawn", "data": {"amount": 5.0}}
    assert receipt["events"] == [event]
    stored = bank.ok("log", "accounts/ann@3..3").json
    assert stored["data"] == {"amount": 5.0}
    assert stored["meta"]["actor"] == "ann"
    assert stored["meta"]["command"] == {"type": "withdraw", "data": {"amount": "5"}}
    assert len(stored["meta"]["correlation"]) == 32


def test_a_rejected_command_is_exit_5_with_the_reason_and_stores_nothing(bank: Evcli, store_path: Path) -> None:
    before = tree_hash(store_path)
    said = bank.fails(5, "do", "accounts/ann", "withdraw", "amount:=50")
    assert said == "evcli: withdraw rejected: insufficient funds: 20.00\n"
    assert tree_hash(store_path) == before
    result = bank("do", "accounts/ann", "withdraw", "amount:=50", "-o", "json")
    error = json.loads(result.err)["error"]
    assert (error["code"], error["reason"]) == ("insufficient_funds", "insufficient funds: 20.00")


def test_a_rejection_can_be_recorded_beside_the_stream(bank: Evcli) -> None:
    bank.fails(5, "do", "accounts/ann", "withdraw", "amount:=50", "--record-rejections", "--actor", "ann")
    assert bank.ok("streams", "accounts/ann").json["version"] == 2
    stored = bank.ok("log", "evcli/rejections").json
    assert stored["type"] == "command.rejected"
    assert stored["data"] == {
        "stream": "accounts/ann",
        "command": {"type": "withdraw", "data": {"amount": 50}},
        "reason": "insufficient funds: 20.00",
        "code": "insufficient_funds",
    }
    assert stored["meta"]["actor"] == "ann"
    assert bank.ok("log").out.count(b"\n") == 3  # evcli's own streams are out of the way


def test_a_transfer_is_one_commit_over_both_accounts(bank: Evcli) -> None:
    receipt = bank.ok("do", "accounts/ann", "transfer", "amount=5", "to=accounts/bob").json
    assert [write["stream"] for write in receipt["writes"]] == ["accounts/ann", "accounts/bob"]
    assert bank.ok("log", "accounts/bob", "-n", "1").json["commit"] == [4, 2]
    assert (balance(bank, "ann"), balance(bank, "bob")) == (15.0, 5.0)


def test_what_an_event_expects_of_another_stream_must_hold(bank: Evcli, store_path: Path) -> None:
    before = tree_hash(store_path)
    said = bank.fails(3, "do", "accounts/ann", "transfer", "amount=5", "to=accounts/eve")
    assert "accounts/eve is at version 0, expected exists" in said
    assert tree_hash(store_path) == before


def test_a_repeat_with_the_same_id_gives_the_first_receipt(bank: Evcli) -> None:
    transfer = ["do", "accounts/ann", "transfer", "amount=5", "to=accounts/bob", "--id", "t-1"]
    first = bank.ok(*transfer).json
    bank.ok("do", "accounts/ann", "withdraw", "amount=15")  # now there is nothing left to transfer
    assert bank.ok(*transfer).json == first
    assert (balance(bank, "ann"), balance(bank, "bob")) == (0.0, 5.0)


def test_an_id_that_stands_for_something_else_is_refused(bank: Evcli) -> None:
    bank.ok("do", "accounts/ann", "withdraw", "amount=5", "--id", "w-1")
    assert "accounts/ann@3" in bank.fails(65, "do", "accounts/ann", "withdraw", "amount=6", "--id", "w-1")
    bank.ok("append", "accounts/ann", "money.withdrawn", "amount:=1", "--id", "w-2")
    bank.fails(65, "do", "accounts/ann", "withdraw", "amount=1", "--id", "w-2")


def test_dry_run_shows_the_events_and_the_state_after_and_stores_nothing(bank: Evcli, store_path: Path) -> None:
    before = tree_hash(store_path)
    shown = bank.ok("do", "accounts/ann", "withdraw", "amount=5", "--dry-run").json
    assert [event["type"] for event in shown["events"]] == ["money.withdrawn"]
    assert shown["states"][0]["state"]["balance"] == 15.0
    bank.fails(5, "do", "accounts/ann", "withdraw", "amount=50", "--dry-run")
    assert tree_hash(store_path) == before


def test_expect_must_hold_whatever_is_decided(bank: Evcli) -> None:
    assert "at version 2, expected 1" in bank.fails(3, "do", "accounts/ann", "deposit", "amount=1", "--expect", "1")
    bank.ok("do", "accounts/ann", "deposit", "amount=1", "--expect", "2")


def test_wrong_arguments_are_a_usage_error_that_lists_them(bank: Evcli) -> None:
    assert "withdraw misses amount (a number)" in bank.fails(2, "do", "accounts/ann", "withdraw")
    assert "bank.py has deposit, withdraw, transfer" in bank.fails(2, "do", "accounts/ann", "withdrw", "amount=1")


def test_a_stream_without_a_decider_is_exit_4(bank: Evcli) -> None:
    assert 'decider = "bank.py"' in bank.fails(4, "do", "orders/1", "place")


def test_a_decider_runs_only_when_it_is_trusted_or_named(bank: Evcli, tmp_path: Path) -> None:
    bank.ok("trust", str(tmp_path), "--remove", "-q")
    assert "evcli trust" in bank.fails(77, "do", "accounts/ann", "deposit", "amount=1")
    bank.ok("do", "accounts/ann", "deposit", "amount=1", "--decider", "bank.py")


def test_an_address_is_claimed_by_one_user(bank: Evcli) -> None:
    bank.ok("do", "users/1", "register", "email=Ann@example.org")
    assert "users/1@1" in bank.fails(3, "do", "users/2", "register", "email=ann@example.org")
    bank.ok("do", "users/2", "register", "email=bob@example.org")


# Other ways to decide.


def test_a_decider_may_be_one_function_of_command_and_state(bank: Evcli, tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "def decide(command, state):\n"
        "    yield 'seen', {'command': command, 'state': state}\n"
        "    yield {'type': 'seen', 'meta': {'why': 'test'}, 'v': 2}\n"
    )
    receipt = bank.ok("do", "accounts/ann", "look", "at=it", "--decider", "one.py").json
    seen = receipt["events"][0]["data"]
    assert seen["command"] == {"type": "look", "data": {"at": "it"}, "stream": "accounts/ann"}
    assert seen["state"]["balance"] == 20.0  # by the configured reducer, since it has none of its own
    second = bank.ok("log", "accounts/ann", "-n", "1").json
    assert (second["v"], second["meta"]["why"], "command" in second["meta"]) == (2, "test", False)


def test_a_decider_may_be_a_program(bank: Evcli) -> None:
    program = (
        "exec:jq -ce 'if .state.balance < (.command.data.amount|tonumber)"
        ' then ("not so much\\n" | halt_error(5)) else {type: "money.withdrawn", data: {amount: (.command.data.amount|tonumber)}} end\''
    )
    if not bank("do", "accounts/ann", "x", "--decider", "exec:jq --version >&2; exit 5").err.startswith("evcli: x rej"):
        pytest.skip("jq is not installed")
    assert bank.ok("do", "accounts/ann", "withdraw", "amount=5", "--decider", program).json["version"] == 3
    said = bank.fails(5, "do", "accounts/ann", "withdraw", "amount=50", "--decider", program)
    assert said == "evcli: withdraw rejected: not so much\n"


def test_nothing_may_follow(bank: Evcli, store_path: Path) -> None:
    before = tree_hash(store_path)
    receipt = bank.ok("do", "accounts/ann", "ignore", "--decider", "exec:true").json
    assert (receipt["version"], receipt["count"], receipt["events"]) == (2, 0, [])
    assert tree_hash(store_path) == before


def test_the_first_command_to_a_stream_meets_the_initial_state(evcli: Evcli, store_path: Path) -> None:
    result = evcli("do", "a", "begin", "--decider", """exec:echo '{"type":"begun"}'""")
    assert result.json["version"] == 1
    assert "new store in" in result.err
    assert store_path.exists()


def test_what_a_decider_prints_is_talk(bank: Evcli, tmp_path: Path) -> None:
    (tmp_path / "talks.py").write_text("def decide(command, state):\n    print('hm')\n    return []\n")
    result = bank.ok("do", "accounts/ann", "x", "--decider", "talks.py")
    assert result.json["count"] == 0
    assert result.err == "hm\n"


def test_one_field_of_a_commit_over_several_streams_is_the_streams_own(bank: Evcli) -> None:
    printed = bank.ok("do", "accounts/ann", "transfer", "amount=5", "to=accounts/bob", "--print", "version")
    assert printed.out == b"3\n"


def test_an_empty_stream_name_is_no_stream(bank: Evcli, store_path: Path) -> None:
    before = tree_hash(store_path)
    program = """exec:echo '{"type":"a","stream":""}'"""
    assert "cannot be a stream's name" in bank.fails(69, "do", "accounts/ann", "x", "--decider", program)
    bank.fails(5, "do", "accounts/ann", "transfer", "amount=5", "to=")
    assert tree_hash(store_path) == before


@pytest.mark.parametrize("option", [["--meta", "command=1"], ["--correlation", ""], ["--id", ""]])
def test_what_evcli_notes_itself_cannot_be_given(bank: Evcli, option: list[str]) -> None:
    bank.fails(65, "do", "accounts/ann", "deposit", "amount=1", *option)


def test_a_decider_needs_some_time(bank: Evcli) -> None:
    bank.fails(2, "do", "accounts/ann", "deposit", "amount=1", "--timeout", "0")


# Deciders that fail.

BROKEN = {
    "raises": ("raise KeyError('x')", "KeyError: 'x'"),
    "exits": ("raise SystemExit(0)", "SystemExit"),
    "returns nothing": ("pass", "returned None"),
    "returns a text": ("return 'done'", "returned a string"),
    "returns a number": ("return 5", "returned a number"),
    "returns what is no event": ("return [5]", "'5' for an event"),
    "returns an event without a type": ("return [{'data': 1}]", "no type"),
    "returns an event with an unknown member": ("return [{'type': 'x', 'id': '1'}]", "unknown member 'id'"),
    "returns NaN": ("return [('x', float('nan'))]", "not JSON"),
    "returns a set": ("return [('x', {1, 2})]", "not JSON"),
    "writes to evcli's streams": ("return [('evcli/commands', 'x', {})]", "reserved"),
    "expects nonsense": ("return [{'type': 'x', 'expect': -1}]", "expect is -1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_decider_that_fails_is_named_with_its_command_and_nothing_is_stored(
    bank: Evcli, tmp_path: Path, store_path: Path, name: str
) -> None:
    body, problem = BROKEN[name]
    (tmp_path / "broken.py").write_text(f"def decide(command, state):\n    {body}\n")
    before = tree_hash(store_path)
    said = bank.fails(69, "do", "accounts/ann", "withdraw", "--decider", "broken.py")
    assert said.startswith("evcli: broken.py failed on the command withdraw to accounts/ann@2: "), said
    assert problem in said
    assert tree_hash(store_path) == before


PROGRAMS = {
    "exits": ("echo oops >&2; exit 3", "exit 3: oops"),
    "prints no JSON": ("echo hello", "not valid JSON"),
    "prints what is no event": ("echo 5", "'5' for an event"),
    "prints an event without a type": ("echo '{}'", "no type"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_fails_is_named_with_its_command(bank: Evcli, store_path: Path, name: str) -> None:
    program, problem = PROGRAMS[name]
    before = tree_hash(store_path)
    said = bank.fails(69, "do", "accounts/ann", "withdraw", "--decider", f"exec:{program}")
    assert f"{program} failed on the command withdraw to accounts/ann@2: " in said
    assert problem in said
    assert tree_hash(store_path) == before


@pytest.mark.parametrize("decider", ["exec:sleep 20 & sleep 20", "slow.py", "stubborn.py"])
def test_a_decider_that_hangs_is_ended(bank: Evcli, tmp_path: Path, store_path: Path, decider: str) -> None:
    (tmp_path / "slow.py").write_text("import time\n\n\ndef decide(command, state):\n    time.sleep(20)\n")
    (tmp_path / "stubborn.py").write_text(
        "def decide(command, state):\n    while True:\n        try:\n            [*range(1000)]\n        except Exception:\n            pass\n"
    )
    before, started = tree_hash(store_path), time.monotonic()
    said = bank.fails(69, "do", "accounts/ann", "withdraw", "--decider", decider, "--timeout", "200ms")
    assert time.monotonic() - started < 10
    assert "the command withdraw to accounts/ann@2: it took longer than 0.2 s" in said
    assert tree_hash(store_path) == before


def test_a_file_without_a_decider_says_what_it_has_to_define(bank: Evcli, tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("initial = 0\n")
    assert "commands = {…}" in bank.fails(69, "do", "accounts/ann", "x", "--decider", "empty.py")
    assert "no file" in bank.fails(2, "do", "accounts/ann", "x", "--decider", "none.py")
    assert "'exec:PROGRAM'" in bank.fails(2, "do", "accounts/ann", "x", "--decider", "merge")


def test_a_configured_decider_that_is_not_there_is_named_with_its_line(bank: Evcli, tmp_path: Path) -> None:
    configure(tmp_path, '[streams."accounts/*"]\ndecider = "gone.py"\n')
    assert "evcli.toml:2" in bank.fails(78, "do", "accounts/ann", "x")
    bank.ok("query", "state", "accounts/ann")  # states need no decider
    configure(tmp_path, '[streams."accounts/*"]\ndecider = "bank"\n')
    assert "this is no decider" in bank.fails(78, "query", "state", "accounts/ann")


# Rivals.


def test_where_the_stream_moved_on_it_is_decided_again_on_the_new_state(bank: Evcli, tmp_path: Path) -> None:
    """Somebody withdraws while it is decided: from within the decider, the first time."""
    rival = tmp_path / "rival.py"
    rival.write_text(
        "import os, subprocess, sys\nimport bank\nfrom bank import initial, evolve\n\n\ndef withdraw(state, amount: float):\n"
        "    if not os.path.exists('once'):\n        open('once', 'w').close()\n"
        "        subprocess.run([sys.executable, '-m', 'evcli', 'do', 'accounts/ann', 'withdraw', 'amount=15'], check=True, stdout=-3)\n"
        "    return bank.withdraw(state, amount)\n\n\ncommands = {'withdraw': withdraw}\n"
    )
    said = bank.fails(5, "do", "accounts/ann", "withdraw", "amount=10", "--decider", "rival.py")
    assert "insufficient funds: 5.00" in said
    (tmp_path / "once").unlink()
    bank.ok("do", "accounts/ann", "deposit", "amount=15")
    result = bank(
        "do", "accounts/ann", "withdraw", "amount=1", "--decider", "rival.py", "--attempts", "1", "-o", "json"
    )
    assert result.code == 3
    error = json.loads(result.err)["error"]
    assert error["came"] == [{"version": 5, "type": "money.withdrawn"}]
    assert (
        "accounts/ann moved on while withdraw was decided; there came accounts/ann@5 money.withdrawn"
        in error["message"]
    )


def test_a_decision_on_one_stream_for_another_holds_only_while_the_first_stays(bank: Evcli, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(
        "import subprocess, sys\n\n\ndef decide(command, state):\n"
        "    subprocess.run([sys.executable, '-m', 'evcli', 'append', 'accounts/ann', 'x'], check=True, stdout=-3)\n"
        "    return [('accounts/bob', 'noted', {})]\n"
    )
    said = bank.fails(3, "do", "accounts/ann", "note", "--decider", "other.py", "--attempts", "2")
    assert "accounts/ann moved on while note was decided each of 2 times" in said
    assert bank.ok("streams", "accounts/bob").json["version"] == 1


def test_what_is_not_stored_has_no_receipt_to_print_of(bank: Evcli, store_path: Path) -> None:
    before = tree_hash(store_path)
    for words in (("do", "accounts/ann", "deposit", "amount=1"), ("submit", "accounts/ann", "deposit", "amount=1")):
        assert "--dry-run stores nothing" in bank.fails(2, *words, "--dry-run", "--print", "position")
    bank.fails(2, "append", "accounts/ann", "x", "--dry-run", "--print", "version")
    assert tree_hash(store_path) == before
