import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cli.driving import Evcli, start

Child = subprocess.Popen[bytes]


@contextmanager
def following(*arguments: str, **options: Any) -> Iterator[Child]:
    with start("log", "--follow", *arguments, **options) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def read(child: Child) -> Any:
    assert child.stdout is not None
    assert select.select([child.stdout], [], [], 60)[0], "nothing came"
    return json.loads(child.stdout.readline())


def test_history_comes_first_then_what_is_recorded(bank: Evcli) -> None:
    with following("accounts/ann") as child:
        assert [read(child)["version"] for _ in range(3)] == [1, 2, 3]
        bank.ok("append", "accounts/bob", "t")
        bank.ok("append", "accounts/ann", "t")
        assert read(child)["version"] == 4


def test_a_tail_of_history_comes_first(bank: Evcli) -> None:
    with following("-n", "1") as child:
        assert read(child)["position"] == 5
        bank.ok("append", "accounts/bob", "t")
        assert read(child)["position"] == 6


def test_filters_hold_for_what_comes(bank: Evcli) -> None:
    with following("accounts/*", "-n", "1", "--type", "money.*") as child:
        assert read(child)["type"].startswith("money.")
        bank.ok("append", "accounts/ann", "closed")
        bank.ok("append", "other", "money.x")
        bank.ok("append", "accounts/new", "money.x")
        assert read(child)["stream"] == "accounts/new"


def test_a_stream_that_is_not_there_yet_is_waited_for(bank: Evcli) -> None:
    with following("accounts/new") as child:
        time.sleep(0.3)
        assert child.poll() is None
        bank.ok("append", "accounts/new", "t")
        assert read(child)["stream"] == "accounts/new"


def test_limit_ends_it_after_so_many(bank: Evcli) -> None:
    with following("accounts/bob", "--limit", "3") as child:
        assert [read(child)["version"] for _ in range(2)] == [1, 2]
        bank.ok("append", "accounts/bob", "t")
        assert read(child)["version"] == 3
        assert child.wait(60) == 0


def test_a_limit_that_history_fills_ends_at_once(bank: Evcli) -> None:
    assert len(bank.ok("log", "-f", "--limit", "2").lines) == 2


def test_the_lines_are_those_of_log(bank: Evcli) -> None:
    with following() as child:
        assert child.stdout is not None
        for _ in range(5):
            child.stdout.readline()
        bank.ok("append", "--from", "-", "--atomic", stdin=b'{"stream":"a","type":"t"}\n{"stream":"b","type":"t"}\n')
        came = [child.stdout.readline() for _ in range(2)]
    assert b"".join(came) == b"".join(bank.ok("log", "--after-position", "5").out.splitlines(keepends=True))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_a_signal_ends_it_quietly(bank: Evcli, number: signal.Signals, code: int) -> None:
    assert bank
    with following("accounts/bob") as child:
        read(child)
        child.send_signal(number)
        assert child.wait(60) == code
        assert child.stderr is not None
        assert child.stderr.read() == b""


def test_a_closed_pipe_ends_it_within_a_second_while_idle(bank: Evcli) -> None:
    assert bank
    with following("accounts/bob") as child:
        read(child)
        read(child)
        assert child.stdout is not None
        child.stdout.close()
        begun = time.monotonic()
        assert child.wait(60) == -13
        assert time.monotonic() - begun < 3  # a second, and a loaded machine
        assert child.stderr is not None
        assert child.stderr.read() == b""


def test_head_ends_a_log_by_sigpipe(evcli: Evcli) -> None:
    evcli.ok("append", "s", "--from", "-", stdin=b'{"type":"t"}\n' * 3000)
    for command in (["log"], ["log", "--reverse"], ["log", "-o", "csv"], ["log", "-f"]):
        with start(*command) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            child.stdout.readline()
            child.stdout.close()
            assert child.wait(60) == -13
            assert child.stderr.read() == b""


def test_on_a_terminal_it_shows_rows_as_they_come(bank: Evcli) -> None:
    ours, theirs = pty.openpty()
    child = start("log", "-f", "-n", "1", "--color", "never", stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"\n" not in shown:
        shown += os.read(ours, 4096)
    bank.ok("append", "accounts/bob", "came.later")
    while b"came.later" not in shown:
        shown += os.read(ours, 4096)
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 130
    os.close(ours)
    assert b'{"position"' not in shown
