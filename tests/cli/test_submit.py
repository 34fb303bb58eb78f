"""``submit`` and ``work``: commands wait in the store until a worker handles them, once in effect and in order."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.deciding import CONFIG, balance, configure, open_bank
from tests.cli.driving import Evcli, start, tree_hash


@pytest.fixture
def bank(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    return open_bank(evcli, tmp_path, monkeypatch)


def submit(evcli: Evcli, *words: str) -> str:
    return str(evcli.ok("submit", *words, "--print", "id").out.decode().strip())


def status(evcli: Evcli, key: str) -> tuple[int, Any]:
    result = evcli("submit", "--status", key)
    return result.code, result.json


def work(evcli: Evcli, *options: str) -> list[str]:
    """Handle what is pending; return what was said of commands."""
    return [line for line in evcli("work", "--once", *options).err.splitlines() if " command " in line]


def ended(worker: "subprocess.Popen[bytes]") -> int:
    worker.communicate(timeout=20)
    return worker.returncode


def queue(evcli: Evcli) -> list[Any]:
    return evcli.ok("log", "evcli/commands").lines


def test_a_submitted_command_waits_in_the_store_and_a_worker_executes_it(bank: Evcli) -> None:
    key = submit(bank, "accounts/ann", "withdraw", "amount=5", "--actor", "ann")
    assert balance(bank, "ann") == 20.0
    assert status(bank, key)[1]["status"] == "pending"
    assert [row["id"] for row in bank.ok("submit", "--list").lines] == [key]
    assert work(bank) == [f"evcli: command {key} (withdraw to accounts/ann): accepted, accounts/ann@3"]
    assert balance(bank, "ann") == 15.0
    code, found = status(bank, key)
    assert (code, found["status"]) == (0, "accepted")
    assert found["receipt"]["events"] == [
        {"stream": "accounts/ann", "version": 3, "type": "money.withdrawn", "data": {"amount": 5.0}}
    ]
    assert found["receipt"]["position"] == 5
    stored = bank.ok("log", "accounts/ann@3..3").json
    assert stored["id"] == key
    assert stored["meta"]["actor"] == "ann"
    assert (stored["meta"]["cause"], stored["meta"]["correlation"]) == ("evcli/commands@1", key)
    assert work(bank) == []


def test_what_follows_and_what_became_of_the_command_are_one_commit(bank: Evcli) -> None:
    submit(bank, "accounts/ann", "transfer", "amount=5", "to=accounts/bob")
    work(bank)
    commits = {tuple(event["commit"]) for event in bank.ok("log", "**", "evcli/**").lines if "commit" in event}
    assert commits == {(5, 3)}


def test_the_queue_is_a_stream_out_of_the_way_of_patterns(bank: Evcli) -> None:
    submit(bank, "accounts/ann", "withdraw", "amount=5")
    submit(bank, "accounts/ann", "withdraw", "amount=50")
    work(bank)
    kinds = [event["type"] for event in queue(bank)]
    assert kinds == ["command.submitted", "command.submitted", "command.accepted", "command.rejected"]
    assert [event["stream"] for event in bank.ok("log").lines if event["stream"].startswith("evcli")] == []
    assert {row["stream"] for row in bank.ok("streams").lines} == {"accounts/ann", "accounts/bob"}


def test_a_rejected_command_is_exit_5_with_its_reason(bank: Evcli) -> None:
    key = submit(bank, "accounts/ann", "withdraw", "amount=50")
    work(bank)
    code, found = status(bank, key)
    assert (code, found["status"], found["code"]) == (5, "rejected", "insufficient_funds")
    assert bank("submit", "--status", key).err == "evcli: withdraw rejected: insufficient funds: 20.00\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["accounts/ann", "withdrw"], "usage"),
        (["accounts/ann", "transfer", "amount=1", "to=accounts/eve"], "wrong_expected_version"),
        (["users/2", "register", "email=ann@example.org"], "condition_not_met"),
    ],
)
def test_what_can_never_be_is_rejected(bank: Evcli, words: list[str], code: str) -> None:
    bank.ok("do", "users/1", "register", "email=ann@example.org")
    key = submit(bank, *words)
    work(bank)
    assert status(bank, key)[1]["code"] == code


def test_a_command_is_submitted_once_under_its_id(bank: Evcli) -> None:
    for _ in range(2):
        assert submit(bank, "accounts/ann", "withdraw", "amount=5", "--id", "w-1") == "w-1"
    assert len(queue(bank)) == 1
    assert "was given to another command" in bank.fails(
        65, "submit", "accounts/ann", "withdraw", "amount=6", "--id", "w-1"
    )
    bank.fails(65, "submit", "accounts/ann", "withdraw", "amount=6", "--id", "")
    work(bank)
    submit(bank, "accounts/ann", "withdraw", "amount=5", "--id", "w-1")
    work(bank)
    assert balance(bank, "ann") == 15.0


def test_what_was_done_under_the_same_id_is_not_done_again(bank: Evcli) -> None:
    bank.ok("do", "accounts/ann", "withdraw", "amount=5", "--id", "w-1")
    submit(bank, "accounts/ann", "withdraw", "amount=5", "--id", "w-1")
    submit(bank, "accounts/ann", "withdraw", "amount=6", "--id", "w-2")
    bank.ok("do", "accounts/ann", "withdraw", "amount=7", "--id", "w-2")
    work(bank)
    assert balance(bank, "ann") == 8.0
    assert status(bank, "w-1")[1]["receipt"]["version"] == 3
    assert status(bank, "w-2")[1]["code"] == "id_reused"


def test_a_streams_commands_are_handled_in_their_order_with_any_number_of_jobs(bank: Evcli) -> None:
    keys = [submit(bank, f"accounts/{name}", "deposit", f"amount={n}") for n in (1, 2, 3) for name in ("ann", "bob")]
    work(bank, "--jobs", "3")
    for name in ("ann", "bob"):
        amounts = [event["data"]["amount"] for event in bank.ok("log", f"accounts/{name}", "-n", "3").lines]
        assert amounts == [1.0, 2.0, 3.0]
    assert {status(bank, key)[1]["status"] for key in keys} == {"accepted"}


def test_a_poison_command_is_parked_and_the_others_go_on(bank: Evcli, tmp_path: Path) -> None:
    (tmp_path / "bank.py").write_text(
        "import bank2\n\n\n" + (tmp_path / "bank.py").read_text() + bad("raise KeyError('x')")
    )
    (tmp_path / "bank2.py").write_text("")
    poison = submit(bank, "accounts/ann", "bad")
    good = submit(bank, "accounts/ann", "withdraw", "amount=5")
    result = bank("work", "--once")
    assert result.code == 1
    assert "not all is done" in result.err
    code, found = status(bank, poison)
    assert (code, found["status"]) == (69, "parked")
    assert "bank.py failed on the command bad to accounts/ann@2: KeyError: 'x'" in found["reason"]
    assert status(bank, good)[1]["status"] == "accepted"
    assert [(row["id"], row["status"]) for row in bank.ok("submit", "--list").lines] == [(poison, "parked")]


def bad(body: str) -> str:
    return f"\n\ndef bad(state):\n    {body}\n\n\ncommands['bad'] = bad\n"


def test_a_parked_command_is_taken_up_again_once_the_decider_is_mended(bank: Evcli, tmp_path: Path) -> None:
    original = (tmp_path / "bank.py").read_text()
    (tmp_path / "bank.py").write_text(original + bad("raise KeyError('x')"))
    key = submit(bank, "accounts/ann", "bad")
    work(bank)
    bank.ok("submit", "--retry", key, "--dry-run")
    assert status(bank, key)[1]["status"] == "parked"
    bank.ok("submit", "--retry", key)
    assert status(bank, key)[1]["status"] == "pending"
    work(bank)
    assert status(bank, key)[1]["status"] == "parked"
    (tmp_path / "bank.py").write_text(original + bad("return [('mended', {})]"))
    bank.ok("submit", "--retry", key)
    work(bank)
    assert status(bank, key)[1]["receipt"]["events"][0]["type"] == "mended"
    assert "is accepted, not parked" in bank.fails(2, "submit", "--retry", key)


def test_a_command_that_kills_its_worker_is_parked_in_the_end(bank: Evcli, tmp_path: Path) -> None:
    with (tmp_path / "bank.py").open("a") as file:
        file.write("\n\ndef die(state):\n    import os\n\n    os._exit(9)\n\n\ncommands['die'] = die\n")
    key = submit(bank, "accounts/ann", "die")
    codes = [ended(start("work", "--once")) for _ in range(6)]
    assert codes == [9] * 5 + [1]
    assert status(bank, key)[1]["reason"].endswith("the worker has died 5 times while it was deciding on it")


def test_a_command_can_be_dropped_by_hand(bank: Evcli, tmp_path: Path) -> None:
    with (tmp_path / "bank.py").open("a") as file:
        file.write(bad("raise KeyError('x')"))
    parked, pending = submit(bank, "accounts/ann", "bad"), ""
    work(bank)
    pending = submit(bank, "accounts/ann", "withdraw", "amount=1")
    bank.ok("submit", "--drop", pending, "--dry-run")
    for key in (parked, pending):
        bank.ok("submit", "--drop", key)
        assert status(bank, key)[1]["code"] == "dropped"
        bank.fails(2, "submit", "--drop", key)
    assert bank.ok("work", "--once").err.count(" command ") == 0
    assert balance(bank, "ann") == 20.0
    bank.fails(4, "submit", "--drop", "nobody")


def test_one_field_of_a_status_can_be_printed(bank: Evcli) -> None:
    key = submit(bank, "accounts/ann", "withdraw", "amount=50")
    assert bank.ok("submit", "--status", key, "--print", "position").out == b"null\n"
    work(bank)
    assert bank("submit", "--status", key, "--print", "code").out == b"insufficient_funds\n"
    bank.fails(2, "submit", "--list", "--print", "id")


def test_a_worker_decides_by_the_files_as_they_are_when_a_command_comes(bank: Evcli, tmp_path: Path) -> None:
    worker = start("work")
    try:
        for number in (1, 2, 3, 4):
            (tmp_path / f"{number}.sh").write_text(f'echo \'{{"type":"t{number}"}}\'\n')
            configure(tmp_path, f'[streams."**"]\ndecider = "exec:sh {number}.sh"\n')
            bank.ok("trust", str(tmp_path), "-q")
            key = submit(bank, "meters/1", "read")
            found = bank.ok("submit", "--status", key, "--wait", "20s").json
            assert [event["type"] for event in found["receipt"]["events"]] == [f"t{number}"]
    finally:
        worker.send_signal(signal.SIGTERM)
    assert ended(worker) == 143


def test_commands_wait_for_a_decider_that_cannot_be_had(bank: Evcli, tmp_path: Path) -> None:
    key = submit(bank, "accounts/ann", "withdraw", "amount=5")
    configure(tmp_path, "")
    assert "nothing decides" in work(bank)[0]
    configure(tmp_path, CONFIG)
    bank.ok("trust", str(tmp_path), "--remove", "-q")
    assert "not trusted" in work(bank)[0]
    bank.ok("trust", str(tmp_path), "-q")
    (tmp_path / "bank.py").write_text("def")
    assert "SyntaxError" in work(bank)[0]
    assert status(bank, key)[1]["status"] == "pending"


def test_submitting_to_nobody_is_exit_4_and_stores_nothing(bank: Evcli, store_path: Path) -> None:
    before = tree_hash(store_path)
    bank.fails(4, "submit", "orders/1", "place")
    bank.fails(65, "submit", "evcli/commands", "x")
    bank.fails(65, "submit", "accounts/ann", "")
    bank.fails(4, "submit", "--status", "nobody")
    bank.fails(4, "submit", "--retry", "nobody")
    bank.ok("submit", "accounts/ann", "withdraw", "amount=1", "--dry-run")
    assert tree_hash(store_path) == before


@pytest.mark.parametrize(
    "words",
    [[], ["accounts/ann", "x", "--list"], ["--list", "--status", "a"], ["accounts/ann", "x", "--wait", "1s"]],
)
def test_what_does_not_go_together_is_a_usage_error(bank: Evcli, words: list[str]) -> None:
    bank.fails(2, "submit", *words)


def test_waiting_ends_once_the_command_is_settled(bank: Evcli) -> None:
    key = submit(bank, "accounts/ann", "withdraw", "amount=5")
    assert "evcli work" in bank("submit", "--status", key, "--wait", "50ms").err
    assert bank("submit", "--status", key, "--wait", "50ms").code == 75
    worker = start("work")
    try:
        started = time.monotonic()
        assert bank.ok("submit", "--status", key, "--wait", "20s").json["status"] == "accepted"
        assert time.monotonic() - started < 15
    finally:
        worker.send_signal(signal.SIGTERM)
    assert ended(worker) == 143


def test_two_workers_at_once_execute_each_command_once(bank: Evcli) -> None:
    for number in range(12):
        submit(bank, "accounts/ann", "withdraw", "amount=1", "--id", f"w-{number}")
    workers = [start("work", "--once") for _ in range(2)]
    assert [ended(worker) for worker in workers] == [0, 0]
    events = bank.ok("log", "accounts/ann", "--after", "2").lines
    assert sorted(event["id"] for event in events) == sorted(f"w-{number}" for number in range(12))
    outcomes = [
        json.loads(line)["data"]["id"]
        for line in bank.ok("log", "evcli/commands", "--type", "command.accepted").out.splitlines()
    ]
    assert sorted(outcomes) == sorted(f"w-{number}" for number in range(12))
    assert balance(bank, "ann") == 8.0
