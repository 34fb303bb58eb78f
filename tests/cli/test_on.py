import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evcli import Store
from evcli.storage.subscription_files import MOST_AHEAD, Progress
from tests.cli.driving import Evcli, start
from tests.storage.building import mark_of_before, overwrite

FIRST = ("--name", "n", "--start", "first")
ONCE = (*FIRST, "--once")
NO_WAIT = ("--backoff", "1ms")


@pytest.fixture
def said(tmp_path: Path) -> Callable[[], list[str]]:
    """The lines that programs wrote to the file ``said`` so far."""
    path = tmp_path / "said"
    return lambda: path.read_text().splitlines() if path.exists() else []


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def say(text: str, then: str = "") -> tuple[str, ...]:
    """Return the arguments for a program that adds a line to the file ``said``."""
    return ("--", "sh", "-c", f"echo {text} >> said; {then}")


PLACE = "$EVCLI_STREAM@$EVCLI_VERSION"
ALL = ["accounts/ann@1", "accounts/ann@2", "accounts/bob@1", "accounts/ann@3", "accounts/bob@2"]


@contextmanager
def running(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    with start("on", *arguments, start_new_session=True) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def wait_for(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def status(evcli: Evcli, name: str = "n") -> Any:
    return evcli.ok("on", "--status", name).json


def folder(evcli: Evcli) -> Path:
    return Path(status(evcli)["folder"])


# what is handed out


def test_a_program_is_run_for_each_event_in_order_and_each_only_once(
    bank: Evcli, said: Callable[[], list[str]]
) -> None:
    bank.ok("on", "**", *ONCE, *say(PLACE))
    assert said() == ALL
    bank.ok("append", "accounts/ann", "t")
    bank.ok("on", "**", *ONCE, *say(PLACE))
    assert said() == [*ALL, "accounts/ann@4"]


def test_the_event_is_on_standard_input_exactly_as_it_is_stored(bank: Evcli) -> None:
    bank.ok("append", "accounts/ann", "t", '{"b":1.00,  "a":"\\u00e4"}')
    bank.ok("on", "accounts/ann", *ONCE, "--", "sh", "-c", "cat >> got")
    assert Path("got").read_bytes() == bank.ok("log", "accounts/ann").out


def test_the_environment_tells_the_place(bank: Evcli, said: Callable[[], list[str]], store_path: Path) -> None:
    place = "$EVCLI_STREAM $EVCLI_VERSION $EVCLI_POSITION $EVCLI_TYPE $EVCLI_STORE"
    bank.ok("on", "**", "--type", "money.w*", *ONCE, *say(place))
    assert said() == [f"accounts/ann 3 4 money.withdrawn {store_path}"]


def test_a_program_that_calls_evcli_finds_the_store_of_the_option(
    bank: Evcli, tmp_path: Path, said: Callable[[], list[str]]
) -> None:
    (tmp_path / "store").rename(tmp_path / "other")
    bank.ok("on", "**", *ONCE, "--store", str(tmp_path / "other"), *say('"$EVCLI_STORE"'))
    assert set(said()) == {str(tmp_path / "other")}


@pytest.mark.parametrize("type_", ["a\0b", "x" * 300_000, "grün"])
def test_a_type_that_no_environment_can_hold_stops_nothing(evcli: Evcli, type_: str) -> None:
    evcli.ok("append", "a", "--from", "-", stdin=json.dumps({"type": type_}).encode() + b"\n")
    evcli.ok("on", "**", *ONCE, "--", "sh", "-c", 'printf %s "$EVCLI_TYPE" > got')
    assert Path("got").read_text() == type_.replace("\0", "\N{REPLACEMENT CHARACTER}")[:4096]


def test_types_select(bank: Evcli, said: Callable[[], list[str]]) -> None:
    bank.ok("on", "**", "--type", "money.w*", "--type", "opened", *ONCE, *say(PLACE))
    assert said() == ["accounts/ann@1", "accounts/bob@1", "accounts/ann@3"]
    assert status(bank)["position"] == 5


def test_a_batch_is_lines_and_the_environment_is_of_the_last(bank: Evcli, said: Callable[[], list[str]]) -> None:
    bank.ok("on", "**", *ONCE, "--batch", "2", *say('"$EVCLI_POSITION $(wc -l)"'))
    assert [line.split() for line in said()] == [["2", "2"], ["4", "2"], ["5", "1"]]


@pytest.mark.usefixtures("bank")
def test_jobs_run_streams_side_by_side() -> None:
    """Each of the first two waits for the other: one at a time would never end."""
    meet = 'touch "met-${EVCLI_STREAM#*/}"; while ! [ -e met-ann ] || ! [ -e met-bob ]; do sleep 0.01; done'
    with running("**", *ONCE, "--jobs", "2", "--", "sh", "-c", meet) as child:
        assert child.wait(60) == 0


def test_jobs_keep_the_order_of_each_stream(evcli: Evcli, said: Callable[[], list[str]]) -> None:
    store = Store.open()
    for _ in range(8):
        for stream in "abc":
            store.append(stream, [("t", {})])
    evcli.ok("on", "**", *ONCE, "--jobs", "3", *say(PLACE))
    for stream in "abc":
        assert [line for line in said() if line[0] == stream] == [f"{stream}@{n}" for n in range(1, 9)]


def test_a_program_need_not_read_its_input(evcli: Evcli) -> None:
    evcli.ok("append", "a", "--from", "-", stdin=json.dumps({"type": "t", "data": "x" * 900_000}).encode() + b"\n")
    evcli.ok("on", "**", *ONCE, "--", "true")
    assert status(evcli)["position"] == 1


def test_dry_run_prints_what_would_be_handled_and_makes_nothing(bank: Evcli, tmp_path: Path) -> None:
    shown = bank.ok("on", "accounts/bob", *ONCE, "--dry-run", *say("no"))
    assert [event["position"] for event in shown.lines] == [3, 5]
    assert not (tmp_path / "said").exists()
    assert not (tmp_path / "state").exists()
    bank.ok("on", "accounts/bob", *ONCE, "--", "true")
    assert bank.ok("on", "accounts/bob", *ONCE, "--dry-run").lines == []


# where it begins


def test_a_new_name_must_say_where_it_begins(bank: Evcli, tmp_path: Path) -> None:
    err = bank.fails(2, "on", "**", "--name", "n", "--once", "--", "true")
    assert "--start first" in err
    assert "--start now" in err
    assert not (tmp_path / "state").exists()


def test_now_is_what_comes(bank: Evcli, said: Callable[[], list[str]]) -> None:
    bank.ok("on", "**", "--name", "n", "--start", "now", "--once", *say(PLACE))
    bank.ok("append", "accounts/ann", "t")
    bank.ok("on", "**", *ONCE, *say(PLACE))  # a name that is known goes on where it was
    assert said() == ["accounts/ann@4"]


def test_another_pattern_goes_on_and_says_so(bank: Evcli, said: Callable[[], list[str]]) -> None:
    bank.ok("on", "accounts/ann", *ONCE, "--", "true")
    assert "n was to accounts/ann before" in bank.ok("on", "**", *ONCE, *say(PLACE)).err
    assert said() == []


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "evcli on 'orders/*' --name mail --start now -- ./mail.sh"),
        (["**", "--", "true"], "--name mail"),
        (["--name", "n", "--start", "now"], "a pattern is missing"),
        (["**", "--name", "n", "--start", "now"], "./mail.sh"),
        (["**", "--name", "n", "--start", "later", "--", "true"], "--start first"),
        (["**", *ONCE, "--", "no-such-program"], "no-such-program"),
        (["**", *ONCE, "--batch", "0", "--", "true"], "--batch"),
        (["**", *ONCE, "--backoff", "soon", "--", "true"], "soon"),
        (["**", *ONCE, "--at", "now", "--", "true"], "--name and --at do not go together"),
        (["--list", "--name", "n"], "do not go together"),
        (["--list", "**"], "as in: evcli on --list"),
        (["--status", "n", "--once"], "evcli on --status mail"),
        (["--retry", "n", "--jobs", "2"], "evcli on --retry mail"),
        (["--reset", "n", "--at", "now", "--start", "first"], "evcli on --reset mail"),
        (["--reset", "n"], "evcli on --reset mail --at now"),
        (["--at", "now"], "as in: "),
    ],
)
def test_what_is_missing_or_does_not_go_together_is_told_with_an_example(
    bank: Evcli, tmp_path: Path, words: list[str], hint: str
) -> None:
    assert hint in bank.fails(2, "on", *words)
    assert not (tmp_path / "state").exists()


def test_what_can_be_no_name_no_pattern_or_no_store_is_told(bank: Evcli, tmp_path: Path) -> None:
    bank.fails(65, "on", "**", "--name", "../n", "--start", "now", "--", "true")
    bank.fails(65, "on", "a//b", *ONCE, "--", "true")
    for option in ("--status", "--retry", "--reset"):
        assert "evcli on --list" in bank.fails(4, "on", option, "none", *(["--at", "now"] * (option == "--reset")))
    assert bank.ok("on", "--list").lines == []
    shutil.rmtree(tmp_path / "store")
    bank.fails(4, "on", "**", *ONCE, "--", "true")
    assert not (tmp_path / "state").exists()


def test_a_file_that_is_no_program_handles_nothing(bank: Evcli) -> None:
    Path("x.sh").write_text("echo no\n")
    Path("x.sh").chmod(0o755)
    assert "#!/bin/sh" in bank.fails(2, "on", "**", *ONCE, "--", "./x.sh")
    assert (status(bank)["position"], status(bank)["dead"]) == (0, 0)


def test_a_program_that_goes_away_meanwhile_ends_it_before_the_next_event(bank: Evcli) -> None:
    Path("x.sh").write_text('#!/bin/sh\nrm "$0"\n')
    Path("x.sh").chmod(0o755)
    bank.fails(74, "on", "**", *ONCE, "--", "./x.sh")
    assert (status(bank)["position"], status(bank)["dead"]) == (1, 0)


# failures


def test_a_failure_is_retried_and_the_next_event_waits(bank: Evcli, said: Callable[[], list[str]]) -> None:
    bank.ok("on", "accounts/bob", *ONCE, *NO_WAIT, *say(PLACE, "[ $(wc -l < said) -ge 3 ]"))
    assert said() == ["accounts/bob@1"] * 3 + ["accounts/bob@2"]


def test_the_pause_doubles(bank: Evcli) -> None:
    began = time.monotonic()
    bank("on", "accounts/bob", "--type", "opened", *ONCE, "--backoff", "50ms", "--retries", "3", "--", "false")
    assert 0.35 <= time.monotonic() - began < 5


def test_what_fails_too_often_goes_to_the_dead_letters_and_the_next_is_handled(
    bank: Evcli, said: Callable[[], list[str]]
) -> None:
    handle = say(PLACE, '[ "$EVCLI_VERSION" != 2 ] || exit 7')
    result = bank("on", "accounts/ann", *ONCE, *NO_WAIT, "--retries", "2", *handle)
    assert result.code == 1
    assert "accounts/ann@2 went to the dead letters: exit 7 after 3 attempts" in result.err
    assert "1 event went to the dead letters of n; see why, then handle them again: evcli on --retry n" in result.err
    assert said() == ["accounts/ann@1"] + ["accounts/ann@2"] * 3 + ["accounts/ann@3"]
    [letter] = [json.loads(line) for line in (folder(bank) / "dead-letters.jsonl").read_text().splitlines()]
    assert list(letter) == ["position", "stream", "version", "type", "exit", "attempts", "time", "event"]
    assert (letter["position"], letter["version"], letter["exit"], letter["attempts"]) == (2, 2, 7, 3)
    assert letter["event"] == bank.ok("log", "accounts/ann@2..2").json
    bank.ok("on", "accounts/ann", *ONCE, *handle)  # what lies there is no news


def test_death_by_a_signal_is_a_failure(bank: Evcli) -> None:
    result = bank("on", "accounts/bob", *ONCE, "--retries", "0", "--", "sh", "-c", "kill -9 $$")
    assert result.code == 1
    assert "exit 137 after 1 attempt\n" in result.err
    assert status(bank)["dead"] == 2


def test_a_batch_that_fails_is_dead_whole(bank: Evcli) -> None:
    assert bank(
        "on", "**", *ONCE, "--retries", "0", "--batch", "3", "--", "sh", "-c", '[ "$EVCLI_POSITION" != 3 ]'
    ).code
    assert [event["position"] for event in bank.ok("on", "--retry", "n", "--dry-run").lines] == [1, 2, 3]


def test_a_dead_letter_is_written_before_the_progress_passes_it(bank: Evcli) -> None:
    bank.ok("on", "**", "--type", "none", *ONCE, "--", "true")
    bank.ok("on", "--reset", "n", "--at", "first")
    letters = folder(bank) / "dead-letters.jsonl"
    letters.mkdir()  # so that none can be written
    assert bank("on", "**", *ONCE, "--retries", "0", "--", "false").code == 74
    letters.rmdir()
    assert status(bank)["position"] == 0


def test_a_reader_that_has_gone_is_no_events_fault(bank: Evcli) -> None:
    with running("**", *FIRST, "--", "sh", "-c", "while ! [ -e go ]; do sleep 0.01; done; cat") as child:
        assert child.stdout is not None
        child.stdout.close()
        Path("go").touch()
        assert child.wait(60) == -signal.SIGPIPE
    assert (status(bank)["position"], status(bank)["dead"]) == (0, 0)


# dead letters again, reset, list


def all_dead(bank: Evcli) -> None:
    assert bank("on", "**", *ONCE, "--retries", "0", "--", "false").code == 1


def test_retry_keeps_what_fails_again(bank: Evcli, said: Callable[[], list[str]]) -> None:
    all_dead(bank)
    handle = say(PLACE, '[ "$EVCLI_STREAM" = accounts/ann ]')
    result = bank("on", "--retry", "n", "--retries", "0", *handle)
    assert result.code == 1
    assert result.json == {"name": "n", "handled": 3, "left": 2}
    assert "2 dead letters of n could not be handled" in result.err
    assert said() == ALL
    assert [event["position"] for event in bank.ok("on", "--retry", "n", "--dry-run").lines] == [3, 5]
    assert bank.ok("on", "--retry", "n", "--", "true").json == {"name": "n", "handled": 2, "left": 0}
    assert bank.ok("on", "--retry", "n").json == {"name": "n", "handled": 0, "left": 0}


def test_retry_without_a_program_runs_the_one_of_before(bank: Evcli, said: Callable[[], list[str]]) -> None:
    assert bank("on", "accounts/bob", *ONCE, "--retries", "0", *say(PLACE, "[ -e up ]")).code == 1
    Path("up").touch()
    bank.ok("on", "--retry", "n")
    assert said() == ["accounts/bob@1", "accounts/bob@2"] * 2


@pytest.mark.parametrize(("at", "handled"), [("first", 5), ("now", 0), ("3", 2), ("0", 5), ("5", 0)])
def test_reset_goes_on_elsewhere(bank: Evcli, said: Callable[[], list[str]], at: str, handled: int) -> None:
    bank.ok("on", "**", *ONCE, "--", "true")
    assert bank.ok("on", "--reset", "n", "--at", at).json["position"] == 5 - handled
    bank.ok("on", "**", *ONCE, *say(PLACE))
    assert said() == ALL[5 - handled :]


def test_reset_beyond_the_end_or_as_a_dry_run_changes_nothing(bank: Evcli) -> None:
    bank.ok("on", "**", *ONCE, "--", "true")
    assert "up to 5" in bank.fails(2, "on", "--reset", "n", "--at", "6")
    assert bank.ok("on", "--reset", "n", "--at", "first", "--dry-run").json == {
        "name": "n",
        "position": 0,
        "reset": False,
    }
    assert status(bank)["position"] == 5


def test_list_and_status_tell_how_it_stands(bank: Evcli) -> None:
    bank.ok("on", "accounts/*", "--type", "money.*", *ONCE, "--", "sh", "-c", "true")
    bank.ok("append", "other", "t")
    found = {"name": "n", "position": 5, "lag": 1, "dead": 0, "running": False}
    found |= {"to": "accounts/* --type money.*", "program": "sh -c true"}
    assert status(bank) == found | {"folder": str(folder(bank))}
    assert bank.ok("on", "--list").lines == [status(bank)]
    header, row = bank.ok("on", "--list", "-o", "table").out.decode().splitlines()
    assert header.split() == ["name", "position", "lag", "dead", "running", "to", "program"]
    assert row.split()[:5] == ["n", "5", "1", "0", "false"]


def test_damaged_progress_is_told_and_nothing_is_handled_until_it_is_reset(
    bank: Evcli, said: Callable[[], list[str]]
) -> None:
    bank.ok("on", "**", *ONCE, "--", "true")
    bank.ok("on", "**", "--name", "m", "--start", "now", "--once", "--", "true")
    path = folder(bank) / "progress"
    overwrite(path, b"\0" * 8192)
    assert "evcli on --reset n" in bank.fails(74, "on", "**", *ONCE, *say(PLACE))
    assert said() == []
    listed = bank.ok("on", "--list")
    assert [(row["name"], row["position"]) for row in listed.lines] == [("m", 5), ("n", None)]
    bank.ok("on", "--reset", "n", "--at", "4")
    bank.ok("on", "**", *ONCE, *say(PLACE))
    assert said() == ["accounts/bob@2"]


def test_another_history_is_72_until_it_is_reset(bank: Evcli, tmp_path: Path, said: Callable[[], list[str]]) -> None:
    shutil.copytree(tmp_path / "store", tmp_path / "backup")
    bank.ok("append", "accounts/ann", "t")
    bank.ok("on", "**", *ONCE, "--", "true")
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "backup").rename(tmp_path / "store")
    for _ in range(2):
        bank.ok("append", "accounts/ann", "other")
    assert "evcli on --reset n" in bank.fails(72, "on", "**", *ONCE, *say(PLACE))
    assert said() == []
    bank.ok("on", "--reset", "n", "--at", "6")
    bank.ok("on", "**", *ONCE, *say(PLACE))
    assert said() == ["accounts/ann@5"]


# while it runs


def test_what_comes_is_handled_and_a_second_run_keeps_off(bank: Evcli, said: Callable[[], list[str]]) -> None:
    with running("**", *FIRST, *say(PLACE)) as child:
        wait_for(lambda: said() == ALL)
        bank.ok("append", "accounts/ann", "t")
        wait_for(lambda: said()[5:] == ["accounts/ann@4"])
        assert "another run" in bank.fails(75, "on", "**", *FIRST, "--", "true")
        assert "another run" in bank.ok("on", "**", *ONCE, "--", "true").err
        bank.fails(75, "on", "--reset", "n", "--at", "first")
        bank.fails(75, "on", "--retry", "n", "--", "true")
        assert status(bank)["running"] is True
        child.terminate()
        assert child.wait(60) == 143
    assert (status(bank)["running"], status(bank)["position"]) == (False, 6)


def test_a_commit_in_doubt_is_handed_out_once_it_is_out_of_it(
    bank: Evcli, said: Callable[[], list[str]], store_path: Path
) -> None:
    with mark_of_before(store_path):
        bank.ok("append", "accounts/ann", "t")
    with open(store_path / "lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as its writer, who is not through yet
        with running("**", *FIRST, *say(PLACE)):
            wait_for(lambda: said() == ALL)
            time.sleep(0.2)
            assert said() == ALL
            fcntl.flock(lock, fcntl.LOCK_UN)
            wait_for(lambda: said()[5:] == ["accounts/ann@4"])


def test_what_was_handled_out_of_turn_leaves_room_for_the_rest(evcli: Evcli, said: Callable[[], list[str]]) -> None:
    """As many as there may be, behind an event that another pattern leaves out."""
    store = Store.open()
    store.append("slow", [("t", {})])
    store.append("quick", [("t", {})] * (MOST_AHEAD + 2))
    files, head = store.subscription("n"), store.head()
    with files.lock():
        files.start(Progress(0, tuple(range(2, MOST_AHEAD + 2)), head.position, head.hash))
    evcli.ok("on", "quick", *ONCE, *say(PLACE))
    assert said() == [f"quick@{MOST_AHEAD + 1}", f"quick@{MOST_AHEAD + 2}"]
    assert status(evcli)["lag"] == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_lets_the_program_end_and_what_it_came_to_is_remembered(
    bank: Evcli, said: Callable[[], list[str]], number: int, code: int
) -> None:
    with running("**", *FIRST, *say(PLACE, "while ! [ -e go ]; do sleep 0.01; done")) as child:
        wait_for(said)
        child.send_signal(number)
        time.sleep(0.05)
        assert child.poll() is None
        Path("go").touch()
        assert child.wait(60) == code
    assert said() == ALL[:1]
    assert status(bank)["position"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_reaches_the_program_too_buries_nothing(
    bank: Evcli, said: Callable[[], list[str]], number: int
) -> None:
    with running("**", *FIRST, "--retries", "0", *say(PLACE, "exec sleep 60")) as child:
        wait_for(said)
        os.killpg(child.pid, number)
        assert child.wait(60) == 128 + number
    assert (status(bank)["position"], status(bank)["dead"]) == (0, 0)


def test_a_signal_ends_a_back_off(bank: Evcli, said: Callable[[], list[str]]) -> None:
    with running("**", *FIRST, "--backoff", "1h", *say(PLACE, "false")) as child:
        wait_for(said)
        time.sleep(0.05)
        child.terminate()
        assert child.wait(60) == 143
    assert (status(bank)["position"], status(bank)["dead"]) == (0, 0)


def test_a_kill_between_the_run_and_its_progress_repeats_just_that_event(
    bank: Evcli, said: Callable[[], list[str]]
) -> None:
    kill_at_third = say(PLACE, '[ "$EVCLI_POSITION" != 3 ] || { [ -e killed ] || { touch killed; kill -9 $PPID; }; }')
    with running("**", *ONCE, *kill_at_third) as child:
        assert child.wait(60) == -9
    bank.ok("on", "**", *ONCE, *kill_at_third)
    assert said() == [*ALL[:3], *ALL[2:]]


def test_kills_at_any_moment_skip_nothing(evcli: Evcli, said: Callable[[], list[str]]) -> None:
    chance = random.Random(5)
    store = Store.open()
    for _ in range(15):
        for stream in "abc":
            store.append(stream, [("t", {}), ("t", {})])
        before = len(said())
        with running("**", *FIRST, "--jobs", "2", *say(PLACE)) as child:
            wait_for(lambda before=before: len(said()) > before)  # type: ignore[misc]  # mypy knows no such default
            time.sleep(chance.uniform(0, 0.015))
            child.kill()
    evcli.ok("on", "**", *ONCE, "--jobs", "2", *say(PLACE))
    for stream in "abc":
        reached = 0
        for version in (int(line.split("@")[1]) for line in said() if line.startswith(stream)):
            assert version <= reached + 1
            reached = max(reached, version)
        assert reached == 30
