"""What was found about subscriptions from outside; each of these fails without its mend."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from evcli.storage.subscription_files import SubscriptionFiles
from tests.cli.driving import SCRIPT, Evcli

ONCE = ("on", "**", "--name", "n", "--start", "first", "--once")


def status(evcli: Evcli) -> dict[str, object]:
    found: dict[str, object] = evcli.ok("on", "--status", "n").json
    return found


def files_of(evcli: Evcli) -> SubscriptionFiles:
    return SubscriptionFiles(str(status(evcli)["folder"]))


def test_a_failure_is_one_where_evcli_was_started_with_children_ignored(bank: Evcli) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        child = os.posix_spawn(SCRIPT[0], [*SCRIPT, *ONCE, "--retries", "0", "--", "false"], os.environ)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert (status(bank)["position"], status(bank)["dead"]) == (5, 5)


def test_an_interrupt_that_was_ignored_from_the_start_stays_so(bank: Evcli, tmp_path: Path) -> None:
    touch = f"touch {tmp_path}/begun"
    command = [*SCRIPT, "on", "**", "--name", "n", "--start", "first", "--", "sh", "-c", touch]
    with subprocess.Popen(["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command]) as child:
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert child.poll() is None
        child.terminate()
        assert child.wait(60) == 143
    assert status(bank)["position"] == 5


def test_a_dead_letter_that_cannot_be_read_is_told_of_and_not_thrown_away(bank: Evcli) -> None:
    assert bank(*ONCE, "--retries", "0", "--", "false").code == 1
    path = Path(files_of(bank).dead_letter_path)
    path.write_bytes(path.read_bytes().replace(b'{"position":2,', b'{"positon":2,', 1))
    kept = path.read_bytes()
    assert "dead-letters.jsonl:2 is no dead letter" in bank.fails(74, "on", "--retry", "n", "--", "true")
    assert path.read_bytes() == kept


def test_lost_progress_is_no_new_subscription(bank: Evcli, tmp_path: Path) -> None:
    bank.ok(*ONCE, "--", "true")
    folder = Path(files_of(bank).folder)
    (folder / "progress").unlink()
    assert "evcli on --reset n" in bank.fails(74, *ONCE, "--", "touch", str(tmp_path / "again"))
    assert not (tmp_path / "again").exists()
    bank.ok("on", "--reset", "n", "--at", "now")
    bank.ok(*ONCE, "--", "false")


@pytest.mark.parametrize("arguments", [["--json"], ["-o", "json"]])
def test_options_of_the_program_are_not_evclis(bank: Evcli, arguments: list[str]) -> None:
    assert "no program" in bank.fails(2, *ONCE, "--", "no-such-program", *arguments)


def test_a_stream_does_not_wait_for_the_program_of_another(bank: Evcli, tmp_path: Path) -> None:
    script = f'case $EVCLI_STREAM in slow/*) sleep 2;; esac; echo $EVCLI_STREAM >> "{tmp_path}/said"'
    command = [*SCRIPT, "on", "**", "--name", "n", "--start", "now", "--jobs", "2", "--", "sh", "-c", script]
    bank.ok("on", "**", "--name", "n", "--start", "now", "--once", "--", "true")
    with subprocess.Popen(command) as child:
        bank.ok("append", "slow/a", "x")
        time.sleep(0.8)
        bank.ok("append", "quick/b", "x")
        while not (tmp_path / "said").exists() or len((tmp_path / "said").read_text().splitlines()) < 2:
            time.sleep(0.01)
        child.terminate()
        assert child.wait(60) == 143
    assert (tmp_path / "said").read_text().splitlines() == ["quick/b", "slow/a"]
    assert status(bank)["lag"] == 0
