import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.driving import Evcli, start, tree_hash


def test_a_receipt_tells_where_the_event_stands(evcli: Evcli) -> None:
    evcli.ok("append", "a", "opened")
    receipt = evcli.ok("append", "accounts/ann", "money.deposited", "amount:=1").json
    assert list(receipt) == ["stream", "version", "position", "count", "time"]
    assert receipt | {"time": ""} == {"stream": "accounts/ann", "version": 1, "position": 2, "count": 1, "time": ""}


def test_the_first_append_says_where_it_made_the_store(evcli: Evcli, store_path: Path) -> None:
    assert evcli.ok("append", "a", "b").err == f"evcli: new store in {store_path}\n"
    assert evcli.ok("append", "a", "b").err == ""


def test_a_refused_first_append_makes_no_store(evcli: Evcli, store_path: Path) -> None:
    evcli.fails(65, "append", "a", "b", "{bad")
    assert not store_path.exists()


def test_no_data_is_an_empty_object(evcli: Evcli) -> None:
    evcli.ok("append", "s", "t")
    assert b'"data":{}' in evcli.ok("log", "s").out


@pytest.mark.parametrize(
    "text",
    ['{"a":10.00,"b":1e2,"c":"\\u00e9"}', "[1, 2]", '"text"', "5", "-0.50", "null", "true", '{"a=b":1}', '"a=b"'],
)
def test_one_json_text_is_stored_as_it_was_written(evcli: Evcli, text: str) -> None:
    evcli.ok("append", "s", "t", "--", text)
    assert b'"data":' + text.encode() + b"," in evcli.ok("log", "s").out


def test_newlines_between_the_tokens_of_json_become_spaces(evcli: Evcli) -> None:
    evcli.ok("append", "s", "t", '{\n "a":1\n}')
    assert b'"data":{  "a":1 },' in evcli.ok("log", "s").out


def test_fields_are_text_json_or_files(evcli: Evcli, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("first\nsecond\n")
    (tmp_path / "spec").write_text('{"n": 1.0}\n')
    evcli.ok(
        "append", "s", "t", "a=x=y", "e=", "at=@note", "n:=2.50", "o:={}", f"f@={tmp_path}/note", f"j:@={tmp_path}/spec"
    )
    line = evcli.ok("log", "s").out.decode()
    expected = '{"a":"x=y","e":"","at":"@note","n":2.50,"o":{},"f":"first\\nsecond\\n","j":{"n": 1.0}}'
    assert f'"data":{expected},' in line


def test_a_dash_reads_one_json_text_from_standard_input(evcli: Evcli) -> None:
    evcli.ok("append", "s", "t", "-", stdin=b' {"a": 1.0}\n')
    assert b'"data":{"a": 1.0},' in evcli.ok("log", "s").out


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("{bad", "not valid JSON"),
        ('{"a":1', "not valid JSON"),
        ("[1] 2", "something follows"),
        ('{"a":NaN}', "NaN"),
        ("NaN", "NaN"),
        ("-Infinity", "Infinity"),
        ('{"a":1,"a":2}', "twice"),
        ("18446744073709551616", "2^64"),
        ("-9223372036854775809", "2^63"),
        ("1e999", "double"),
        ('"\\ud800"', "surrogate"),
        ("[" * 201 + "]" * 201, "200 levels"),
        (json.dumps("x" * (1 << 20)), "1 MiB"),
    ],
)
def test_what_cannot_be_carried_safely_is_refused_with_its_reason(
    evcli: Evcli, store_path: Path, data: str, reason: str
) -> None:
    evcli.ok("append", "s", "t")
    before = tree_hash(store_path)
    assert reason in evcli.fails(65, "append", "s", "t", "--", data)
    assert tree_hash(store_path) == before


@pytest.mark.parametrize("text", ["NaN=1", "a:=NaN", "a:=", "a:=x", "a:=1e999", "a=1 a=2", "a=1 a:=2"])
def test_a_bad_field_is_named(evcli: Evcli, text: str) -> None:
    result = evcli("append", "s", "t", *text.split())
    if text == "NaN=1":  # a field like any other
        assert result.code == 0
    else:
        assert result.code == 65
        assert "field 'a'" in result.err


@pytest.mark.parametrize("text", ["a b", "hello", "=x", ":=1", "@=f", "a:::=1"])
def test_what_is_neither_field_nor_json_shows_the_forms(evcli: Evcli, text: str) -> None:
    assert "key:=json" in evcli.fails(2, "append", "s", "t", text)


def test_text_that_is_not_utf8_is_refused(evcli: Evcli) -> None:
    for arguments in (["t", "a=\udcff"], ["t\udcff"], ["t", "--id", "\udcff"], ["t", "--actor", "\udcff"]):
        assert "UTF-8" in evcli.fails(65, "append", "s", *arguments)
    assert "UTF-8" in evcli.fails(65, "append", "s", "t", "-", stdin=b'"\xff"')


def test_a_field_from_a_file_that_is_not_there_names_it(evcli: Evcli, tmp_path: Path) -> None:
    assert f"{tmp_path}/none" in evcli.fails(74, "append", "s", "t", f"a@={tmp_path}/none")


@pytest.mark.parametrize("options", [["", "t"], ["s", ""], ["s", "t", "--id", ""]])
def test_an_empty_name_type_or_id_is_refused(evcli: Evcli, options: list[str]) -> None:
    evcli.fails(65, "append", *options)


def test_append_at_a_stale_version_writes_nothing(bank: Evcli, store_path: Path) -> None:
    before = tree_hash(store_path)
    said = bank.fails(3, "append", "accounts/ann", "t", "--expect", "2")
    assert "accounts/ann is at version 3, expected 2; read what came since (evcli log accounts/ann --after 2)" in said
    assert tree_hash(store_path) == before


@pytest.mark.parametrize(
    ("stream", "expect", "code"),
    [
        ("accounts/ann", "3", 0),
        ("accounts/ann", "4", 3),
        ("accounts/ann", "none", 3),
        ("accounts/ann", "0", 3),
        ("accounts/ann", "exists", 0),
        ("accounts/ann", "any", 0),
        ("new", "none", 0),
        ("new", "0", 0),
        ("new", "exists", 3),
        ("new", "1", 3),
        ("new", "any", 0),
    ],
)
def test_expected_versions(bank: Evcli, stream: str, expect: str, code: int) -> None:
    assert bank("append", stream, "t", "--expect", expect).code == code


@pytest.mark.parametrize("text", ["foo", "-1", "1.0", "", "\u0661"])
def test_what_is_no_expected_version_is_a_usage_error(evcli: Evcli, text: str) -> None:
    assert "none, exists or any" in evcli.fails(2, "append", "s", "t", f"--expect={text}")


def test_a_repeat_under_the_same_id_prints_the_first_receipt_and_stores_nothing(evcli: Evcli, store_path: Path) -> None:
    first = evcli.ok("append", "s", "t", "a:=1.0", "--id", "k").out
    evcli.ok("append", "s", "t")
    before = tree_hash(store_path)
    assert evcli.ok("append", "s", "t", "a:=1", "--id", "k", "--expect", "0").out == first
    assert tree_hash(store_path) == before
    assert evcli.ok("append", "s", "t", "a:=1", "--id", "k", "--print", "version").out == b"1\n"


@pytest.mark.parametrize("other", [["t", "a:=2"], ["u", "a:=1"]])
def test_an_id_used_before_with_other_content_is_refused(evcli: Evcli, store_path: Path, other: list[str]) -> None:
    evcli.ok("append", "s", "t", "a:=1", "--id", "k")
    before = tree_hash(store_path)
    assert "'k' stands in s@1" in evcli.fails(65, "append", "s", *other, "--id", "k")
    assert tree_hash(store_path) == before
    evcli.ok("append", "elsewhere", *other, "--id", "k")


def test_meta_comes_from_options_and_the_environment(evcli: Evcli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVCLI_ACTOR", "env")
    monkeypatch.setenv("TRACEPARENT", "00-abc")
    evcli.ok("append", "s", "t", "--meta", "a=b", "--meta", "n:=1.0")
    evcli.ok("append", "s", "t", "--actor", "option")
    evcli.ok("append", "s", "t", "--meta", "actor=meta")
    texts = [line.partition(b'"meta":')[2].partition(b',"seal"')[0] for line in evcli.ok("log", "s").out.splitlines()]
    assert texts == [
        b'{"actor":"env","traceparent":"00-abc","a":"b","n":1.0}',
        b'{"actor":"option","traceparent":"00-abc"}',
        b'{"actor":"meta","traceparent":"00-abc"}',
    ]


def test_a_time_in_the_past_is_kept_beside_when_it_was_recorded(evcli: Evcli) -> None:
    evcli.ok("append", "s", "t", "--time", "2026-01-02T03:04:05+01:00")
    event = evcli.ok("log", "s").json
    assert event["time"] == "2026-01-02T02:04:05.000000Z"
    assert event["recorded"] > event["time"]


@pytest.mark.parametrize("text", ["2025-12-31T00:00:00Z", "2126-01-01T00:00:00Z"])
def test_a_time_before_the_last_event_or_in_the_future_is_refused(bank: Evcli, store_path: Path, text: str) -> None:
    before = tree_hash(store_path)
    bank.fails(65, "append", "accounts/ann", "t", "--time", text)
    assert tree_hash(store_path) == before


@pytest.mark.parametrize("text", ["11/12/2026", "soon", "", "2026-13"])
def test_a_bad_time_is_exit_2_with_three_examples(evcli: Evcli, text: str) -> None:
    said = evcli.fails(2, "append", "s", "t", "--time", text)
    assert "2026-11-23T08:00, 'yesterday 15:00' or 2h (ago)" in said


def test_a_dry_run_shows_the_event_and_the_state_and_writes_nothing(bank: Evcli, store_path: Path) -> None:
    before = tree_hash(store_path)
    plan = bank.ok("append", "accounts/ann", "t", "amount:=9", "--dry-run").json
    assert [(event["position"], event["version"]) for event in plan["events"]] == [(6, 4)]
    assert plan["states"] == [{"stream": "accounts/ann", "version": 4, "state": {"amount": 9}}]
    bank.fails(3, "append", "accounts/ann", "t", "--expect", "1", "--dry-run")
    bank.fails(65, "append", "accounts/ann", "t", "{bad", "--dry-run")
    assert tree_hash(store_path) == before


def test_a_dry_run_where_no_store_is_makes_none(evcli: Evcli, store_path: Path) -> None:
    plan = evcli.ok("append", "s", "t", "a:=1", "--dry-run")
    assert plan.json["states"] == [{"stream": "s", "version": 1, "state": {"a": 1}}]
    assert plan.err == ""
    assert not store_path.exists()


def test_a_dry_run_of_a_repeat_would_store_nothing(evcli: Evcli) -> None:
    evcli.ok("append", "s", "t", "--id", "k")
    assert evcli.ok("append", "s", "t", "--id", "k", "--dry-run").json == {"events": [], "states": []}


def test_print_gives_one_bare_value(evcli: Evcli) -> None:
    assert evcli.ok("append", "s", "t", "--print", "version").out == b"1\n"
    assert evcli.ok("append", "s", "t", "--print", "position").out == b"2\n"
    assert evcli.ok("append", "s", "t", "--print", "stream").out == b"s\n"
    assert evcli.ok("append", "s", "t", "--print", "repeated").out == b"0\n"
    assert evcli.ok("append", "s", "t", "--print", "writes").json == [{"stream": "s", "version": 5, "count": 1}]


def test_a_field_that_no_receipt_has_is_told_before_anything_is_stored(evcli: Evcli, store_path: Path) -> None:
    assert "version, position" in evcli.fails(2, "append", "s", "t", "--print", "nonsense")
    assert not store_path.exists()


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        (["-q"], ""),
        (["-o", "table"], "s@1  t  position 1\n"),
        (["-o", "csv"], "stream,version,position,count,time\ns,1,1,1,"),
        (["-o", "json"], '{"stream":"s",'),
        (["--json"], '{"stream":"s",'),
        (["-r"], '{"stream":"s",'),
    ],
)
def test_receipts_in_each_format(evcli: Evcli, options: list[str], printed: str) -> None:
    out = evcli.ok("append", "s", "t", *options).out.decode()
    assert out.startswith(printed)
    assert bool(out) == bool(printed)


def test_a_lock_that_does_not_come_free_is_exit_75(evcli: Evcli, store_path: Path) -> None:
    import fcntl

    evcli.ok("append", "s", "t")
    with (store_path / "lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        begun = time.monotonic()
        said = evcli.fails(75, "append", "s", "t", "--lock-wait", "50ms")
        assert time.monotonic() - begun < 2
    assert "again" in said
    evcli.ok("append", "s", "t", "--lock-wait", "0")


@pytest.mark.parametrize("arguments", [[], ["s"]])
def test_a_missing_argument_shows_an_example(evcli: Evcli, arguments: list[str]) -> None:
    assert "for example: evcli append" in evcli.fails(2, "append", *arguments)


def test_a_store_that_may_not_be_written_to_is_exit_77(evcli: Evcli, store_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    evcli.ok("append", "s", "t")
    for path in [store_path, *store_path.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    evcli.fails(77, "append", "s", "t")


def test_a_closed_pipe_ends_by_sigpipe_after_the_event_is_stored(evcli: Evcli) -> None:
    read, write = os.pipe()
    os.close(read)
    child = start("append", "s", "t", stdout=write)
    os.close(write)
    assert child.wait(10) == -13
    assert child.stderr is not None
    assert b"Traceback" not in child.stderr.read()
    child.stderr.close()
    assert len(evcli.ok("log", "s").lines) == 1


def test_a_full_standard_output_is_exit_74_and_says_that_the_event_stays(evcli: Evcli) -> None:
    with open("/dev/full", "wb") as full:
        child = start("append", "s", "t", stdout=full)
        _, err = child.communicate(timeout=10)
    assert child.returncode == 74
    assert b"what was appended stays" in err
    assert len(evcli.ok("log", "s").lines) == 1


def test_a_closed_standard_input_is_no_traceback(evcli: Evcli, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from evcli.cli.main import run

    for arguments in (["append", "s", "t", "-"], ["append", "s", "--from", "-"]):
        monkeypatch.setattr(sys, "stdin", None)
        assert run(arguments) == 74
    assert "standard input is closed" in evcli("append", "s", "t").err


def test_events_of_types_in_any_script_come_back(evcli: Evcli) -> None:
    kinds: list[Any] = ["geld.eingezahlt", "入金", "два слова", "a\tb"]
    for kind in kinds:
        evcli.ok("append", "s", kind)
    assert [event["type"] for event in evcli.ok("log", "s").lines] == kinds
