import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.driving import SCRIPT, Evcli, start

WRONG = [
    ["nonsense"],
    ["lgo"],
    ["--nonsense"],
    ["--store"],
    ["--store", "x"],
    ["--store=x"],
    ["-q"],
    ["-o"],
    ["query"],
    ["query", "nonsense"],
    ["query", "state"],
    ["append"],
    ["append", "s"],
    ["append", "s", "t", "--nonsense"],
    ["append", "s", "t", "--expect"],
    ["append", "s", "t", "-o", "nonsense"],
    ["append", "s", "t", "--color", "nonsense"],
    ["append", "s", "t", "--lock-wait", "soon"],
    ["append", "s", "t", "--time", "11/12/2026"],
    ["log", "--until", "11/12/2026"],
    ["log", "--limit", "many"],
    ["streams", "--nonsense"],
    ["verify", "nonsense"],
    ["checkpoint", "nonsense"],
    ["help", "nonsense"],
    ["init", "a", "b"],
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_a_command_line_that_is_wrong_is_exit_2_with_something_to_try(evcli: Evcli, arguments: list[str]) -> None:
    said = evcli.fails(2, *arguments)
    assert re.search(r"; (for example|try|did you mean|write|topics)\b", said), said


@pytest.mark.parametrize("arguments", [words for words in WRONG if words[:1] != ["-o"]], ids=" ".join)
def test_errors_are_json_only_where_it_was_asked_for(evcli: Evcli, arguments: list[str]) -> None:
    for options in (["-o", "json"], ["--json"], ["-ojsonl"], ["--output=json"]):
        if "-o" in arguments or arguments[-1] in ("--store", "--expect"):
            continue
        result = evcli(*options, *arguments)
        error = json.loads(result.err)["error"]
        assert (error["exit"], result.code) == (2, 2)
        assert list(error)[:4] == ["code", "exit", "message", "hint"]
        assert result.out == b""


def test_a_conflict_has_its_facts(bank: Evcli) -> None:
    result = bank("append", "accounts/ann", "t", "--expect", "1", "-o", "json")
    error = json.loads(result.err)["error"]
    facts = {name: error[name] for name in ("code", "exit", "stream", "expected", "actual")}
    assert facts == {
        "code": "wrong_expected_version",
        "exit": 3,
        "stream": "accounts/ann",
        "expected": "1",
        "actual": 3,
    }


def test_near_names_of_commands_are_suggested(evcli: Evcli) -> None:
    assert "did you mean 'evcli append'?" in evcli.fails(2, "apend")
    assert "'evcli query' takes one of: state" in evcli.fails(2, "query", "stat")


def test_options_stand_before_the_command_or_behind_it(evcli: Evcli, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    evcli.ok("--store", other, "append", "s", "t")
    assert evcli.ok("--store", other, "-o", "csv", "log").out == evcli.ok("log", "-o", "csv", f"--store={other}").out
    assert evcli.ok("--json", "--store", other, "log").json == evcli.ok("log", "--json", "--store", other).json
    assert evcli.ok("-ojson", f"--store={other}", "log").json == evcli.ok("log", "--json", "--store", other).json
    assert evcli.ok("-q", "--store", other, "append", "s", "t").out == b""
    assert evcli.ok("--store", other, "query", "state", "s").json == {}
    assert evcli.ok("-r", "--color", "never", "--store", other, "query", "state", "s").json == {}


def test_the_module_and_the_script_are_the_same(evcli: Evcli) -> None:
    evcli.ok("append", "s", "t")
    log = evcli.ok("log").out
    assert subprocess.run([*SCRIPT, "log"], capture_output=True, check=True).stdout == log
    script = Path(sys.executable).with_name("evcli")
    if script.exists():
        assert subprocess.run([script, "log"], capture_output=True, check=True).stdout == log


@pytest.mark.parametrize(
    "arguments",
    [
        ["log"],
        ["log", "-o", "table"],
        ["replay", "s"],
        ["verify"],
        ["help"],
        ["--help"],
        ["log", "--help"],
    ],
    ids=" ".join,
)
def test_output_that_cannot_be_written_is_no_traceback(evcli: Evcli, arguments: list[str]) -> None:
    evcli.ok("append", "s", "t")
    with open("/dev/full", "wb") as full:
        child = start(*arguments, stdout=full)
        _, err = child.communicate(timeout=10)
    assert child.returncode == 74
    assert err.count(b"\n") == 1
    read, write = os.pipe()
    os.close(read)
    child = start(*arguments, stdout=write)
    os.close(write)
    _, err = child.communicate(timeout=10)
    assert (child.returncode, err) == (-13, b"")


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_are_no_traceback(evcli: Evcli, redirection: str, tmp_path: Path) -> None:
    evcli.ok("append", "s", "t")
    for arguments in ("log none", "append s --from -", "log --help"):
        command = f"{' '.join(SCRIPT)} {arguments} {redirection}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, cwd=tmp_path, check=False)
        assert done.returncode in (0, 4, 74), (arguments, done)
        assert b"Traceback" not in done.stderr
        assert b"bug" not in done.stderr


def test_an_error_that_nobody_foresaw_is_exit_70_and_says_where_to_report(
    evcli: Evcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evcli.api import Store

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("surprise")

    monkeypatch.setattr(Store, "streams", fail)
    assert "a bug in evcli: RuntimeError: surprise" in evcli.fails(70, "streams")


def test_a_store_that_is_a_file_or_no_store_is_told_in_one_line(evcli: Evcli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for command in (["log"], ["append", "s", "t"], ["verify"]):
        result = evcli(*command, "--store", str(tmp_path / "file"))
        assert result.code in (4, 72, 74, 77), result
        assert result.err.count("\n") == 1
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "store.json").write_text("{")
    for command in (["log"], ["append", "s", "t"]):
        result = evcli(*command, "--store", str(tmp_path / "strange"))
        assert result.code in (72, 74), result
        assert result.err.count("\n") == 1
