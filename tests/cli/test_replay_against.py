import os
import signal
import time
from pathlib import Path

import pytest

import evcli.time_travel.comparing
from evcli import Store
from tests.cli.driving import Evcli, Result, start, tree_hash

SUM = """
initial = {"sum": 0}
def evolve(state, event):
    state["sum"] += event["data"]["amount"]
    return state
"""
NO_FEES = SUM.replace("    state", "    if event['type'] != 'money.withdrawn': state", 1)
FAILS_ON_BOB = NO_FEES.replace("    return state", "    assert event['stream'] != 'accounts/bob'\n    return state")
DIES = "import os\nif os.environ.get('TO_DIE'): os._exit(0)\n" + SUM
HANGS = "import os, time\nopen('pids', 'a').write(f'{os.getpid()}\\n')\ntime.sleep(60)\n" + SUM
PAIR = ("--reducer", "old.py", "--against", "new.py")


@pytest.fixture
def code(bank: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    monkeypatch.chdir(tmp_path)
    Path("old.py").write_text(SUM)
    Path("new.py").write_text(NO_FEES)
    return bank


def in_processes(code: Evcli, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """Run as for a large store: in two processes, whatever there is to fold."""
    with monkeypatch.context() as patch:
        patch.setattr(evcli.time_travel.comparing, "_WORTH_IT", 0)
        patch.setattr(evcli.time_travel.comparing, "cores", lambda: 2)
        return code("replay", *arguments)


def test_a_stream_that_differs_is_named_with_the_event_the_place_and_both_values(code: Evcli) -> None:
    expected = {"stream": "accounts/ann", "version": 3, "type": "money.withdrawn", "path": "/sum", "paths": 1}
    for names, count in ((["accounts/ann"], "1 stream"), (["**"], "2 streams"), ([], "2 streams")):
        result = code("replay", *names, *PAIR)
        assert (result.code, result.lines) == (1, [{**expected, "old": 14, "new": 10, "at_end": True}])
        assert result.err == f"evcli: different in the end: 1 of {count}\n"


def test_no_difference_is_exit_0_and_says_nothing(code: Evcli) -> None:
    for arguments in (["accounts/ann@2"], ["accounts/bob"], ["--until", "2026-01-03"], ["none*"]):
        result = code("replay", *arguments, *PAIR)
        assert (result.code, result.out, result.err) == (0, b"", "")
    assert code("replay", *PAIR, "-o", "json", "--until", "2026-01-03").out == b"[]\n"


def test_a_difference_that_has_gone_in_the_end_is_a_difference(code: Evcli) -> None:
    result = code("replay", "accounts/ann", "--reducer", "last", "--against", "merge")
    place = {"stream": "accounts/ann", "version": 0, "type": None, "path": "", "paths": 1}
    assert (result.code, result.lines) == (1, [{**place, "old": None, "new": {}, "at_end": False}])
    assert result.err == "evcli: different in the end: 0 of 1 stream; only on the way: 1\n"


def test_without_reducer_the_configured_one_is_the_old_one(code: Evcli, store_path: Path) -> None:
    (store_path / "evcli.toml").write_text('[streams."accounts/ann"]\nreducer = "count"\n')
    assert code("replay", "--against", "merge").lines[0]["stream"] == "accounts/ann"
    assert code("replay", "accounts/bob", "--against", "merge").code == 0
    assert code("replay", "accounts/ann", "--against", "count").code == 0


def test_programs_can_be_compared(code: Evcli) -> None:
    count = "exec:jq -cn 'input as $s | reduce inputs as $e ($s // 0; . + 1)'"
    result = code("replay", "--reducer", count, "--against", "exec:wc -l")
    assert result.code == 1
    assert [(row["stream"], row["version"]) for row in result.lines] == [("accounts/ann", 1), ("accounts/bob", 1)]
    assert code("replay", "--reducer", count, "--against", count.replace("+ 1", "+ 2 - 1")).code == 0


def test_in_processes_the_answer_is_the_same(code: Evcli, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {f"accounts/s{number:02}": "money.withdrawn" if number % 3 else "x" for number in range(40)}
    Store.open().append_many({stream: [(kind, {"amount": 1})] for stream, kind in kinds.items()})
    before = tree_hash(Path())
    alone = code("replay", *PAIR)
    assert len(alone.lines) == 27
    assert in_processes(code, monkeypatch, *PAIR) == alone
    assert tree_hash(Path()) == before


def test_an_error_in_a_process_is_told_as_any_other(code: Evcli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("new.py").write_text(FAILS_ON_BOB)
    for result in (code("replay", *PAIR), in_processes(code, monkeypatch, *PAIR)):
        assert result.code == 69
        assert result.err.startswith("evcli: the reducer failed on accounts/bob@1 (opened): AssertionError")
        assert [line["stream"] for line in result.lines] == ["accounts/ann"]


def test_a_process_that_is_killed_is_an_error_not_an_answer(code: Evcli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("new.py").write_text(DIES)
    monkeypatch.setenv("TO_DIE", "1")
    result = in_processes(code, monkeypatch, *PAIR)
    assert result.code == 69
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_when_it_is_stopped_its_processes_end_too(code: Evcli, number: signal.Signals) -> None:
    del code
    Path("new.py").write_text(HANGS)
    Store.open().append_many({f"accounts/s{n:03}": [("x", {"amount": 1})] for n in range(200)})
    with start("replay", *PAIR) as child:
        deadline = time.monotonic() + 60
        while not Path("pids").exists() or not (pids := Path("pids").read_text().split()):
            assert time.monotonic() < deadline, "it never began"
            time.sleep(0.02)
        child.send_signal(number)
        out, err = child.communicate(timeout=20)
    assert (child.returncode, out, err) == (130 if number == signal.SIGINT else -number, b"", b"")
    assert str(child.pid) not in pids
    deadline = time.monotonic() + 20
    while any(is_running(int(pid)) for pid in pids):
        assert time.monotonic() < deadline, "a process goes on"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("exit_code", "arguments"),
    [
        (2, ["--against", "none"]),
        (2, ["--against", "none.py"]),
        (2, ["none*", "--against", "none.py"]),
        (2, ["accounts/ann", "--against", "count", "--with-version"]),
        (2, ["accounts/ann", "--against", "count", "--profile"]),
        (2, ["accounts/ann", "--against", "count", "--diff"]),
        (2, ["accounts/*", "--to", "1", "--against", "count"]),
        (2, ["accounts/ann@1", "accounts/bob", "--against", "count"]),
        (4, ["none", "--against", "count"]),
        (4, ["accounts/ann", "none", "--against", "count"]),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_before_anything_is_folded(code: Evcli, exit_code: int, arguments: list[str]) -> None:
    code.fails(exit_code, "replay", *arguments)


def test_a_program_on_the_command_line_begins_as_the_configured_one(bank: Evcli, store_path: Path) -> None:
    program = "sed -n 1p"
    (store_path / "evcli.toml").write_text(f'''[streams."accounts/*"]\nreducer = """exec:{program}"""\ninitial = 5\n''')
    bank.ok("trust", str(store_path), "-q")
    assert bank.ok("replay", "accounts/ann", "--against", f"exec:{program}").out == b""
