import json
import os
import pty
import re
import shutil
from pathlib import Path

import pytest

from evcli.api import Store
from evcli.storage.local import LocalStore
from tests.cli.driving import Evcli, Result, start

FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
HOSTILE = '{"a":"\x1b]52;c;eA==\x07"}'.replace("\x1b", "\\u001b").replace("\x07", "\\u0007")


def positions(result: Result) -> list[int]:
    return [event["position"] for event in result.lines]


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store of twenty events, a day apart, in turn in a, b and c, of types even.x and odd.x."""
    root = tmp_path_factory.mktemp("twenty") / "store"
    store = Store(LocalStore(str(root), cache=None))
    for n in range(1, 21):
        event = {"type": f"{'odd' if n % 2 else 'even'}.x", "data": n, "time": f"2026-01-{n:02}T00:00:00Z"}
        store.append("abc"[n % 3], [event])
    return root


@pytest.fixture
def busy(evcli: Evcli, twenty: Path, monkeypatch: pytest.MonkeyPatch) -> Evcli:
    monkeypatch.setenv("EVCLI_STORE", str(twenty))
    return evcli


def test_a_pipe_gets_the_stored_lines_byte_for_byte(evcli: Evcli, store_path: Path) -> None:
    for data in ('{"a":10.00, "b":1e2,"c":"\\u00e9"}', HOSTILE, '"[bold]x[/] :smile:"', '"\u202e\x7f\x9b"'):
        evcli.ok("append", "s", "t\x1b[2J", data)
    stored = (store_path / "streams" / "s.jsonl").read_bytes()
    assert evcli.ok("log", "s").out == stored
    assert evcli.ok("log").out == stored
    assert evcli.ok("log", "-r").out == stored
    assert evcli.ok("log", "-o", "jsonl").out == stored
    assert evcli.ok("log", "-o", "json").json == [json.loads(line) for line in stored.splitlines()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--since", "2026-01-03T00:00:00Z", "--until", "2026-01-05T00:00:00Z"], [3, 4, 5]),
        (["--until", "2026-01-01T23:59:59Z"], [1]),
        (["--until", "2025"], "2"),
        (["--until", "2025-12"], []),
        (["--since", "now"], []),
        (["--after-position", "17"], [18, 19, 20]),
        (["--after-position", "99"], []),
        (["--type", "odd.x", "--limit", "2"], [1, 3]),
        (["--type", "o*", "--limit", "2"], [1, 3]),
        (["--type", "*x", "--limit", "2"], [1, 2]),
        (["--type", "ODD.x"], []),
        (["--type", "odd.?", "--type", "even.?", "--limit", "3"], [1, 2, 3]),
        (["--limit", "0"], []),
        (["--tail", "3"], [18, 19, 20]),
        (["-n", "0"], []),
        (["-n", "99", "--limit", "1"], [1]),
        (["-n", "3", "--type", "odd.*"], [15, 17, 19]),
        (["-n", "2", "--until", "2026-01-10T00:00:00Z"], [9, 10]),
        (["-n", "2", "--reverse"], [20, 19]),
        (["--reverse", "--limit", "3"], [20, 19, 18]),
        (["--reverse", "--after-position", "18"], [20, 19]),
        (["--reverse", "--type", "odd.*", "--since", "2026-01-16"], [19, 17]),
        (["a"], [3, 6, 9, 12, 15, 18]),
        (["a", "--after", "4"], [15, 18]),
        (["a", "--to", "2"], [3, 6]),
        (["a", "--after", "1", "--to", "3"], [6, 9]),
        (["a@2"], [3, 6]),
        (["a@2..3"], [6, 9]),
        (["a@..2"], [3, 6]),
        (["a@5.."], [15, 18]),
        (["a@0..1"], [3]),
        (["a@3..2"], []),
        (["a@6..99"], [18]),
        (["a", "--tail", "2"], [15, 18]),
        (["a", "--tail", "2", "--to", "3"], [6, 9]),
        (["a", "--tail", "1", "--type", "odd.*"], [15]),
        (["a", "--reverse", "--limit", "1"], [18]),
        (["a", "--after-position", "12"], [15, 18]),
        (["a", "--since", "2026-01-06T00:00:00Z", "--until", "2026-01-12T00:00:00Z"], [6, 9, 12]),
        (["a", "--since", "2026-01-06T00:00:00.000001Z", "--until", "2026-01-11T23:59:59Z"], [9]),
        (["a", "--since", "2026-01-06T00:00:00Z", "--reverse", "--to", "3"], [9, 6]),
        (["a", "b", "--limit", "4"], [1, 3, 4, 6]),
        (["b", "a", "--limit", "4"], [1, 3, 4, 6]),
        (["a", "a", "--limit", "2"], [3, 6]),
        (["[ab]", "--limit", "4"], "65"),
        (["*", "--limit", "2"], [1, 2]),
        (["**", "--limit", "2"], [1, 2]),
        (["c*"], [2, 5, 8, 11, 14, 17, 20]),
        (["none*"], []),
        (["none/"], []),
        (["a", "x*", "-n", "1"], [18]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value and isinstance(value[0], str) else "",
)
def test_each_option_selects(busy: Evcli, options: list[str], expected: list[int] | str) -> None:
    if isinstance(expected, str):
        busy.fails(int(expected), "log", *options)
    else:
        assert positions(busy.ok("log", *options)) == expected


def test_reversed_is_the_log_backwards_beyond_one_window(evcli: Evcli) -> None:
    evcli.ok("append", "a", "--from", "-", stdin=b'{"type":"t"}\n' * 2500)
    evcli.ok("append", "b", "t")
    for names in ([], ["a"]):
        lines = evcli.ok("log", *names).out.splitlines()
        assert evcli.ok("log", *names, "--reverse").out.splitlines() == lines[::-1]
        assert evcli.ok("log", *names, "--tail", "1001").out.splitlines() == lines[-1001:]


@pytest.mark.parametrize(
    "options",
    [
        ["a@x"],
        ["a@"],
        ["a@1.2"],
        ["a@-1"],
        ["a@1..2..3"],
        ["a@1", "b"],
        ["a@1", "--to", "2"],
        ["a@2..3", "--after", "1"],
        ["--after", "1"],
        ["--to", "1"],
        ["*", "--after", "1"],
        ["a", "b", "--to", "1"],
        ["--limit", "x"],
        ["--limit", "-1"],
        ["--tail", "-1"],
        ["--until", "11/12/2026"],
        ["--since", ""],
        ["--reverse", "--follow"],
        ["a", "--to", "1", "-f"],
        ["a@1", "-f"],
        ["--nonsense"],
        ["--limit", "9" * 30],
        ["-n", "9" * 30],
        ["a@" + "9" * 5000],
    ],
    ids=lambda options: " ".join(options)[:30],
)
def test_what_makes_no_sense_is_a_usage_error(busy: Evcli, options: list[str]) -> None:
    busy.fails(2, "log", *options)


def test_a_plain_name_that_is_not_there_is_exit_4(busy: Evcli) -> None:
    assert "no stream none; see what there is: evcli streams" in busy.fails(4, "log", "none")
    busy.fails(4, "log", "a", "none")
    busy.fails(4, "log", "none@2")


def test_reading_where_no_store_is_says_how_to_make_one(evcli: Evcli, store_path: Path) -> None:
    assert "evcli init" in evcli.fails(4, "log")
    assert not store_path.exists()


def test_an_empty_store_has_an_empty_log(evcli: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVCLI_STORE")
    monkeypatch.chdir(tmp_path)
    evcli.ok("init")
    assert evcli.ok("log").out == b""
    assert evcli.ok("log", "-o", "json").json == []
    assert evcli.ok("streams").out == b""
    assert evcli.ok("replay").out == b""
    assert evcli.ok("checkpoint").out == b"0:" + b"0" * 64 + b"\n"


def test_csv_has_a_header_and_a_row_for_each_event(busy: Evcli) -> None:
    rows = busy.ok("log", "a@1", "-o", "csv").out.decode().splitlines()
    assert rows == ["position,stream,version,time,type,data,meta,id", "3,a,1,2026-01-03T00:00:00.000000Z,odd.x,3,,"]


def test_a_table_has_no_control_characters_in_a_pipe(evcli: Evcli) -> None:
    evcli.ok("append", "s", "t\x1b[2J", HOSTILE)
    assert not FORBIDDEN.search(evcli.ok("log", "-o", "table").out.decode())


@pytest.mark.parametrize(
    "arguments",
    [
        ["log"],
        ["log", "-o", "jsonl"],
        ["log", "-r"],
        ["log", "-o", "csv"],
        ["replay", "s"],
        ["query", "state", "s", "/a", "-r"],
    ],
    ids=" ".join,
)
def test_escapes_never_reach_a_terminal(evcli: Evcli, arguments: list[str]) -> None:
    evcli.ok("append", "s", "t\x1b[2J\x9b\u202e", '{"a":"\x7f\x9b2J\u202e","b":"\\u001b]0;x\\u0007\\u009b"}')
    ours, theirs = pty.openpty()
    child = start(*arguments, "--color", "never", stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end has gone
            break
        if not read:
            break
        shown += read
    os.close(ours)
    assert child.wait(10) == 0
    assert shown
    assert not FORBIDDEN.search(shown.decode().replace("\r\n", "\n"))


def test_hostile_arguments_are_shown_harmless_in_errors(evcli: Evcli) -> None:
    evcli.ok("append", "s", "t")
    for arguments in (
        ["\x1b[31mx"],
        ["log", "\x1b[31mx"],
        ["log", "--\x1b[31mx"],
        ["replay", "s", "--reducer", "\x1b[31m"],
    ):
        result = evcli(*arguments)
        assert result.code in (2, 65)
        assert not FORBIDDEN.search(result.err)


def test_damage_in_the_middle_is_exit_72_after_what_came_before(evcli: Evcli, twenty: Path, store_path: Path) -> None:
    shutil.copytree(twenty, store_path)
    path = store_path / "streams" / "a.jsonl"
    text = path.read_bytes()
    path.write_bytes(text.replace(b'"data":9', b'"data":8'))
    said = evcli("log", "a")
    assert said.code == 72
    assert said.out == b"".join(text.splitlines(keepends=True)[:2])
    assert "streams/a.jsonl is damaged at byte" in said.err
    assert "evcli verify" in said.err


def test_streams_of_evcli_itself_are_left_out_of_patterns(busy: Evcli) -> None:
    assert busy.ok("log", "evcli/").out == b""
