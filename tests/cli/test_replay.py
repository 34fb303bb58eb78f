from pathlib import Path

import pytest

from tests.cli.driving import Evcli

RAISES = """
initial = 0
def evolve(state, event):
    if event["version"] == 3:
        raise ValueError("no such amount")
    return state + 1
"""
COUNTS = "initial = 0\ndef evolve(state, event):\n    return state + event['data']['amount']\n"


def test_one_stream_prints_its_state(bank: Evcli) -> None:
    assert bank.ok("replay", "accounts/ann").out == b'{"amount":4}\n'


def test_with_version_prints_what_a_script_decides_on(bank: Evcli) -> None:
    found = bank.ok("replay", "accounts/ann", "--with-version").out
    assert found == b'{"stream":"accounts/ann","version":3,"state":{"amount":4}}\n'


@pytest.mark.parametrize(
    ("options", "version"),
    [
        (["--until", "2026-01-01T00:00:00Z"], 1),
        (["--until", "2026-01-03T23:59:59.999999Z"], 2),
        (["--until", "2026-01-04T00:00:00Z"], 3),
        (["--until", "2025-12-31T23:59:59Z"], 0),
        (["--until", "now"], 3),
        (["--to", "0"], 0),
        (["--to", "2"], 2),
        (["--to", "2", "--until", "2026-01-01T12:00:00Z"], 1),
        (["--to", "1", "--until", "now"], 1),
    ],
)
def test_as_of_a_moment_or_a_version(bank: Evcli, options: list[str], version: int) -> None:
    for command in (["replay"], ["query", "state"]):
        assert bank.ok(*command, "accounts/ann", "--with-version", *options).json["version"] == version


def test_a_version_may_stand_behind_the_name(bank: Evcli) -> None:
    assert bank.ok("replay", "accounts/ann@2").json == {"amount": 10}
    assert bank.ok("replay", "accounts/ann@0").json == {}


def test_no_argument_is_the_whole_store_as_it_was(bank: Evcli) -> None:
    assert [line["stream"] for line in bank.ok("replay").lines] == ["accounts/ann", "accounts/bob"]
    then = bank.ok("replay", "--until", "2026-01-02T12:00:00Z").lines
    assert then == [{"stream": "accounts/ann", "version": 2, "state": {"amount": 10}}]
    assert bank.ok("replay", "--until", "2025-12").out == b""


def test_patterns_print_a_line_for_each_stream(bank: Evcli) -> None:
    bank.ok("append", "other", "t")
    for patterns in (["accounts/*"], ["accounts/"], ["accounts/ann", "accounts/bob"], ["**/ann", "accounts/bob"]):
        found = bank.ok("replay", *patterns, "--reducer", "count").lines
        assert [(line["stream"], line["state"]) for line in found] == [("accounts/ann", 3), ("accounts/bob", 2)]
    assert bank.ok("replay", "none*").out == b""


@pytest.mark.parametrize(
    ("reducer", "state"),
    [
        ("merge", {"amount": 4}),
        ("count", 3),
        ("last", {"amount": 4}),
        ("list", [{"amount": 0}, {"amount": 10}, {"amount": 4}]),
        ("sum.py", 14),
        ("exec:awk 'NR == 1 { n = $0 } NR > 1 { n++ } END { print n + 0 }'", 3),
        ("exec:wc -l", 4),
    ],
)
def test_reducers_by_name_file_or_program(
    bank: Evcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reducer: str, state: object
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sum.py").write_text(COUNTS)
    for command in (["replay"], ["query", "state"], ["query", "state"]):
        assert bank.ok(*command, "accounts/ann", "--reducer", reducer).json == state


@pytest.mark.parametrize("command", [["replay"], ["query", "state"]], ids=" ".join)
def test_a_reducer_that_raises_names_the_event_and_nothing_is_cached(
    bank: Evcli, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "raises.py").write_text(RAISES)
    reducer = ["--reducer", str(tmp_path / "raises.py")]
    said = bank.fails(69, *command, "accounts/ann", *reducer)
    assert "accounts/ann@3 (money.withdrawn): ValueError: no such amount" in said
    assert "raises.py:5" in said
    assert not list((tmp_path / "cache").rglob("newest"))
    bank.fails(4, "query", "state", "accounts/ann", "--cached", *reducer)
    assert bank.ok(*command, "accounts/ann@2", *reducer).json == 2
    assert bank.ok(*command, "accounts/bob", *reducer).json == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def evolve(s, e): return s", "does not define initial"),
        ("initial = 0", "does not define evolve"),
        ("initial = 0\nevolve = 1", "not a function"),
        ("initial = 0\ndef evolve(s, e): return s(", "SyntaxError"),
        ("1/0", "ZeroDivisionError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("initial = 0\ndef evolve(s, e): raise SystemExit", "accounts/ann@1"),
        ("initial = {}\ndef evolve(s, e): s['n'] = 1", "does evolve always return the state?"),
        ("initial = 0\ndef evolve(s): return s", "accounts/ann@1"),
    ],
)
def test_a_wrong_reducer_is_told_in_one_line(bank: Evcli, tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "r.py").write_text(text)
    result = bank("replay", "accounts/ann", "--reducer", str(tmp_path / "r.py"))
    assert result.code == 69
    assert problem in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("value", ["{1, 2}", "float('nan')", "object()", "{1: 2}", "b'x'", "[None] * 2 + [...]"])
def test_a_state_that_is_no_json_is_the_reducers_fault(bank: Evcli, tmp_path: Path, value: str) -> None:
    (tmp_path / "r.py").write_text(f"initial = 0\ndef evolve(s, e): return {value}")
    for command in (["replay"], ["query", "state"], ["query", "state"]):
        result = bank(*command, "accounts/ann", "--reducer", str(tmp_path / "r.py"))
        if value == "{1: 2}" and result.code == 0:
            continue
        assert result.code == 69, result.err
        assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["accounts/ann@1..2"],
        ["accounts/ann@2..2"],
        ["accounts/ann@1", "--to", "2"],
        ["accounts/ann", "--to", "x"],
        ["accounts/ann", "--to", "-1"],
        ["accounts/ann@1", "accounts/bob"],
        ["accounts/*", "--to", "1"],
        ["--to", "1"],
        ["accounts/ann", "--reducer", "none"],
        ["accounts/ann", "--reducer", "none.py"],
        ["accounts/ann", "--reducer", "exec:"],
        ["accounts/ann", "--until", "soon"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_a_usage_error(bank: Evcli, arguments: list[str]) -> None:
    bank.fails(2, "replay", *arguments)


def test_a_stream_that_is_not_there_is_exit_4(bank: Evcli) -> None:
    bank.fails(4, "replay", "none")
    bank.fails(4, "replay", "accounts/ann", "none")
    found = bank.ok("replay", "none", "--with-version", "--reducer", "count").json
    assert found == {"stream": "none", "version": 0, "state": 0}


def test_rules_of_an_evcli_toml_are_used_and_code_needs_trust(
    bank: Evcli, store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = store_path / "evcli.toml"
    config.write_text(
        '[streams."accounts/*".reducer]\ninitial = { sum = 0 }\n'
        '[streams."accounts/*".reducer.on]\n"*" = { inc = { sum = "/data/amount" } }\n'
    )
    assert bank.ok("replay", "accounts/ann").json == {"sum": 14}
    assert bank.ok("query", "state", "accounts/ann").json == {"sum": 14}
    config.write_text('[streams."accounts/*"]\nreducer = "sum.py"\n')
    (store_path / "sum.py").write_text(COUNTS)
    for command in (["replay"], ["query", "state"]):
        assert "evcli trust" in bank.fails(77, *command, "accounts/ann")
    bank.ok("trust", str(store_path))
    assert bank.ok("replay", "accounts/ann").json == 14
    assert bank.ok("query", "state", "accounts/ann").json == 14
    bank.ok("trust", "--remove", str(store_path))
    bank.fails(77, "replay", "accounts/ann")
    config.write_text("[streams\n")
    assert "evcli.toml:1" in bank.fails(78, "replay", "accounts/ann")
    assert bank.ok("replay", "accounts/ann", "--reducer", "count").json == 3
    other = tmp_path / "other.toml"
    other.write_text('[streams."**"]\nreducer = "count"\n')
    assert bank.ok("replay", "accounts/ann", "--config", str(other)).json == 3
    monkeypatch.setenv("EVCLI_CONFIG", str(other))
    assert bank.ok("query", "state", "accounts/ann").json == 3
    bank.fails(78, "replay", "accounts/ann", "--config", "none.toml")
