import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evcli import Store
from evcli.cli.step_commands import VERBS
from evcli.domain.patches import apply_patch
from tests.cli.driving import SCRIPT, Evcli, Result, tree_hash

ANN = "accounts/ann"


def told(evcli: Evcli, *commands: str, options: tuple[str, ...] = ()) -> Result:
    return evcli("step", ANN, *options, pipe="\n".join(commands).encode())


def places(result: Result) -> list[int]:
    assert result.code == 0, result.err
    return [line["version"] for line in result.lines]


@pytest.mark.parametrize(
    ("commands", "versions"),
    [
        (["next"], [1]),
        (["n", "n", "n"], [1, 2, 3]),
        (["next", "next", "back", "back"], [1, 2, 1, 0]),
        (["next 2", "back 1", "n"], [2, 1, 2]),
        (["next 9", "back 9"], [3, 0]),
        (["go 3", "go 1", "g 0", "go last"], [3, 1, 0, 3]),
        (["go 2026-01-02", "go 2026-01-03T00:00Z", "go 2025-12", "go now"], [2, 2, 0, 3]),
        (["", "  next  ", "   ", "n"], [1, 2]),
        (["next", "quit", "next"], [1]),
        (["next", "q"], [1]),
        ([], []),
    ],
    ids=str,
)
def test_it_goes_where_it_is_told(bank: Evcli, commands: list[str], versions: list[int]) -> None:
    assert places(told(bank, *commands)) == versions


def test_a_step_shows_the_event_as_it_is_stored_and_what_has_changed(bank: Evcli) -> None:
    lines = bank.ok("log", ANN).out.splitlines()
    result = told(bank, "next", "next", "go 0", "go 3")
    shown = result.out.splitlines()
    assert shown[0].startswith(b'{"version":1,"event":%b,"diff":[' % lines[0])
    assert shown[3].startswith(b'{"version":3,"event":%b,"diff":[' % lines[2])
    assert result.lines[2] == {
        "version": 0,
        "event": None,
        "diff": [{"op": "remove", "path": "/amount"}],
        "watch": {},
    }
    assert [line["diff"] for line in result.lines[:2]] == [
        [{"op": "add", "path": "/amount", "value": 0}],
        [{"op": "replace", "path": "/amount", "value": 10}],
    ]


def test_the_patches_of_a_walk_lead_to_the_states_of_replay(bank: Evcli) -> None:
    state: Any = bank.ok("replay", f"{ANN}@0", "--reducer", "list").json
    walk = ("next", "n", "back", "go 3", "back 2", "continue", "go last", "go 0")
    result = told(bank, *walk, options=("--reducer", "list"))
    assert len(result.lines) == len(walk)
    for line in result.lines:
        state = apply_patch(state, line["diff"])
        assert state == bank.ok("replay", f"{ANN}@{line['version']}", "--reducer", "list").json


def test_the_state_can_be_printed_whole_or_in_part(bank: Evcli) -> None:
    assert told(bank, "state", "next", "state", "state /amount", "s").lines[0::2] == [{}, {"amount": 0}, {"amount": 0}]
    assert told(bank, "go 2", "state /amount", options=("-r",)).out.splitlines()[-1] == b"10"
    assert told(bank, "go 2", "event").out.splitlines()[-1] == bank.ok("log", f"{ANN}@2..2").out.rstrip()


def test_what_is_watched_is_shown_at_each_step(bank: Evcli) -> None:
    result = told(bank, "watch /amount", "next", "w /none", "next", "watch", "unwatch /amount", "next", "unwatch")
    assert [line["watch"] for line in result.lines] == [
        {},
        {"/amount": 0},
        {"/amount": 0},
        {"/amount": 10},
        {"/amount": 10},
        {},
        {},
        {},
    ]


def test_continue_goes_to_the_next_change(bank: Evcli) -> None:
    bank.ok("append", ANN, "owner.named", "owner=Ann")
    bank.ok("append", ANN, "noted", "owner=Ann")
    assert places(told(bank, "continue", "c", "c", "c")) == [1, 2, 3, 4]
    result = told(bank, "watch /owner", "continue", "c")
    assert [line.get("version") for line in result.lines] == [None, 4, 5]
    assert result.err == "evcli: the last event, and nothing watched has changed\n"


def test_diff_is_from_a_version_or_from_where_one_was(bank: Evcli) -> None:
    result = told(bank, "go 3", "diff", "diff 2", "diff 3", "back", "diff", "next", "diff last")
    change = {"op": "replace", "path": "/amount"}
    assert result.lines[1:4] == [[{"op": "add", "path": "/amount", "value": 4}], [{**change, "value": 4}], []]
    assert result.lines[5] == [{**change, "value": 10}]
    assert result.lines[6]["version"] == 3


def test_it_begins_as_of_a_version_or_a_time(bank: Evcli) -> None:
    for start in (
        [f"{ANN}@2"],
        [ANN, "--to", "2"],
        [ANN, "--until", "2026-01-03"],
        [ANN, "--until", "now", "--to", "2"],
    ):
        assert [line["version"] for line in bank("step", *start, pipe=b"next\nback\nback\n").lines] == [3, 2, 1]
    assert bank("step", f"{ANN}@9", pipe=b"back\n").lines[0]["version"] == 2


def test_help_lists_every_command(bank: Evcli) -> None:
    text = told(bank, "help").out.decode()
    assert [verb.name for verb in VERBS if f"{verb.letter}, {verb.name}" not in text] == []
    assert len({verb.letter for verb in VERBS}) == len(VERBS)


@pytest.mark.parametrize(
    ("command", "code", "problem"),
    [
        ("nxt", 2, "did you mean 'next'?"),
        ("frobnicate", 2, "'help' lists"),
        ("next x", 2, "'x' is no whole number"),
        ("next -1", 2, "no whole number"),
        ("go", 2, "write: go VERSION"),
        ("go soon", 2, "not a time"),
        ("go 4", 4, "no version 4; it ends at version 3"),
        ("go 9999999999999999999", 2, "not a time"),
        ("diff 4", 4, "no version 4"),
        ("diff x", 2, "not a time"),
        ("back", 4, "before the first event"),
        ("event", 4, "before the first event"),
        ("watch amount", 2, "not a JSON pointer"),
        ("unwatch /amount", 4, "not watched"),
        ("state /none", 4, "nothing at /none"),
        ("quit now", 2, "takes nothing after it"),
        ("continue 3", 2, "takes nothing after it"),
    ],
)
def test_in_a_pipe_the_first_error_ends_it_and_names_the_line(
    bank: Evcli, command: str, code: int, problem: str
) -> None:
    result = told(bank, "", command, "next")
    assert (result.code, result.out) == (code, b"")
    assert result.err.startswith("evcli: line 2: ")
    assert problem in result.err
    assert result.err.count("\n") == 1


def test_beyond_the_last_event_there_is_nothing(bank: Evcli) -> None:
    for command in ("next", "next 3", "continue"):
        result = told(bank, "go last", command)
        assert (result.code, len(result.lines)) == (4, 1)
        assert "accounts/ann" in result.err


def test_a_reducer_that_fails_on_an_event_is_told_and_named(bank: Evcli) -> None:
    result = told(bank, "next", "next", options=("--reducer", "exec:grep -q deposited && exit 1 || echo 1"))
    assert (result.code, len(result.lines)) == (69, 1)
    assert "line 2: " in result.err
    assert "accounts/ann@2" in result.err


def test_what_makes_no_sense_is_refused(bank: Evcli) -> None:
    bank.fails(2, "step", "accounts/*")
    bank.fails(2, "step")
    bank.fails(2, "step", ANN, "-o", "csv")
    bank.fails(2, "step", f"{ANN}@1..2")
    bank.fails(2, "step", f"{ANN}@1", "--to", "2")
    bank.fails(2, "step", ANN, "--reducer", "none")
    bank.fails(4, "step", "none")
    bank.fails(65, "step", ANN, pipe=b"\xff\n")


def test_nothing_is_written(bank: Evcli, tmp_path: Path, store_path: Path) -> None:
    (store_path / "evcli.toml").write_text('[streams."**"]\nreducer = "sum.py"\n')
    (store_path / "sum.py").write_text("initial = 0\ndef evolve(state, event):\n    return state + 1\n")
    bank.ok("trust", str(store_path))
    bank.ok("query", "state", ANN)
    (store_path / "sum.py").write_text("initial = 0\ndef evolve(state, event):\n    return state + 2\n")
    before = tree_hash(tmp_path)
    assert told(bank, "go last", "state").lines[-1] == 6
    bank("replay", ANN, "--without", "2", "--diff")
    bank("replay", "--against", "count")
    bank("replay", "--profile")
    (tmp_path / "standard-input").unlink(missing_ok=True)
    assert tree_hash(tmp_path) == before


def test_people_get_the_event_a_tree_and_a_table(bank: Evcli) -> None:
    result = told(bank, "watch", "watch /amount", "next", "back", options=("-o", "table"))
    shown = result.out.decode().splitlines()
    assert shown[:2] == ["watched  value", "/amount  (nothing)"]
    assert shown[2].startswith("accounts/ann@1 ")
    assert shown[2].endswith('opened            {"amount":0}')
    assert shown[3:] == [
        "+ /amount  0",
        "watched  value",
        "/amount      0",
        "accounts/ann@0  before the first event",
        "- /amount  0",
        "watched  value",
        "/amount  (nothing)",
    ]


# on a terminal


class Terminal:
    """A terminal on which ``evcli step`` runs."""

    def __init__(self, ours: int, child: "subprocess.Popen[bytes]") -> None:
        self._ours = ours
        self.child = child
        self.shown = ""

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, text: str) -> str:
        """Return what was shown up to and including ``text``, and begin anew after it."""
        deadline = time.monotonic() + 30
        while text not in self.shown:
            if not select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
                pytest.fail(f"{text!r} did not come; there is {self.shown!r}")
            try:
                new = os.read(self._ours, 65536)
            except OSError:
                new = b""
            if not new:
                pytest.fail(f"it ended before {text!r}; there is {self.shown!r}")
            self.shown += new.decode().replace("\r\n", "\n")
        found, _, self.shown = self.shown.partition(text)
        return found + text


@contextmanager
def on_terminal(*arguments: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    env = os.environ | {"TERM": "dumb", "NO_COLOR": "1"}
    with subprocess.Popen(
        [*SCRIPT, "step", *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    ) as child:
        os.close(theirs)
        try:
            yield Terminal(ours, child)
        finally:
            if child.poll() is None:
                child.kill()
            os.close(ours)


def test_on_a_terminal_it_asks_and_goes_on_after_errors(bank: Evcli) -> None:
    del bank
    with on_terminal(ANN) as terminal:
        assert "before the first event" in terminal.wait_for("accounts/ann@0> ")
        terminal.type("next\n")
        assert "+ /amount  0" in terminal.wait_for("accounts/ann@1> ")
        terminal.type("\n")
        assert "~ /amount  0 → 10" in terminal.wait_for("accounts/ann@2> ")
        terminal.type("nxt\n")
        assert "did you mean 'next'?" in terminal.wait_for("accounts/ann@2> ")
        terminal.type("\n")
        terminal.wait_for("accounts/ann@3> ")
        terminal.type("quit\n")
        assert terminal.child.wait(20) == 0


def test_it_is_left_cleanly_by_ctrl_d(bank: Evcli) -> None:
    del bank
    with on_terminal(ANN) as terminal:
        terminal.wait_for("accounts/ann@0> ")
        terminal.type("\x04")
        assert terminal.wait_for("\n") == "\n"
        assert terminal.child.wait(20) == 0


def test_it_is_left_cleanly_by_ctrl_c(bank: Evcli) -> None:
    del bank
    with on_terminal(ANN) as terminal:
        terminal.wait_for("accounts/ann@0> ")
        deadline = time.monotonic() + 20
        while terminal.child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)  # a signal that comes just before readline waits is heeded only with the next one
            terminal.child.send_signal(signal.SIGINT)
        assert terminal.child.wait(1) == 130
        assert terminal.wait_for("\n").strip("^C") == "\n"


def test_what_a_terminal_would_obey_is_spelled_out(bank: Evcli) -> None:
    Store.open().append(ANN, [("evil\x1b[2J", {"amount": "\x1b]0;x\x07"})])
    bank.ok("verify")
    with on_terminal(f"{ANN}@3") as terminal:
        terminal.wait_for("accounts/ann@3> ")
        for command in ("next", "watch /amount", "state", "event"):
            terminal.type(f"{command}\n")
            shown = terminal.wait_for("accounts/ann@4> ")
            assert "\x1b[2J" not in shown
            assert "\x07" not in shown
            assert "\\u001b" in shown
        terminal.type("watch \x16\x1b[2J\n")
        assert "\x1b[2J" not in terminal.wait_for("accounts/ann@4> ").partition("evcli:")[2]
