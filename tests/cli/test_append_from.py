import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.driving import Evcli, lines_of, start, tree_hash

MIXED = lines_of(
    {"stream": "a", "type": "t", "data": {"n": 1}},
    {"stream": "b", "type": "t", "data": {"n": 2}},
    {"stream": "a", "type": "t", "data": {"n": 3}},
)


def write(path: Path, text: bytes) -> str:
    path.write_bytes(text)
    return str(path)


def numbered(count: int) -> bytes:
    return b"".join(b'{"type":"t","data":%d}\n' % n for n in range(1, count + 1))


def test_a_file_is_committed_in_parts_of_a_thousand(evcli: Evcli, tmp_path: Path) -> None:
    receipts = evcli.ok("append", "s", "--from", write(tmp_path / "f", numbered(2345))).lines
    assert [(receipt["version"], receipt["count"]) for receipt in receipts] == [(1000, 1000), (2000, 1000), (2345, 345)]
    assert [event["data"] for event in evcli.ok("log", "s").lines] == list(range(1, 2346))


@pytest.mark.parametrize(
    ("bad", "code", "reason"),
    [
        ({"type": "t", "data": 0, "id": "first", "v": 0}, 65, "v is 0"),
        ({"type": "u", "data": 0, "id": "first"}, 65, "other content"),
        ({"type": "t", "data": 1, "expect": 1}, 3, "expected 1"),
    ],
)
def test_among_many_lines_the_one_at_fault_is_named(
    evcli: Evcli, tmp_path: Path, bad: dict[str, object], code: int, reason: str
) -> None:
    evcli.ok("append", "s", "t", "n:=1", "--id", "first")
    lines = numbered(900).splitlines(keepends=True)
    lines[700] = lines_of(bad)
    path = write(tmp_path / "f", b"".join(lines))
    said = evcli.fails(code, "append", "s", "--from", path)
    assert "line 701: " in said
    assert reason in said
    assert len(evcli.ok("log", "s").lines) == 1


def test_among_many_lines_a_bad_one_is_set_aside_and_the_others_stored(evcli: Evcli, tmp_path: Path) -> None:
    evcli.ok("append", "s", "t", "n:=1", "--id", "first")
    lines = numbered(900).splitlines(keepends=True)
    lines[700] = lines_of({"type": "u", "data": 0, "id": "first"})
    path = write(tmp_path / "f", b"".join(lines))
    evcli.fails(1, "append", "s", "--from", path, "--rejects", str(tmp_path / "bad"))
    assert (tmp_path / "bad").read_bytes() == lines[700]
    stored = [event["data"] for event in evcli.ok("log", "s").lines[1:]]
    assert stored == [n for n in range(1, 901) if n != 701]


def test_blank_lines_among_many_count_in_the_numbers_of_lines(evcli: Evcli, tmp_path: Path) -> None:
    evcli.ok("append", "elsewhere", "t")
    lines = numbered(1500).splitlines(keepends=True)
    lines[100:100] = [b"\n", b"  \n", b"\r\n"]
    lines[1400] = b"{}\n"
    said = evcli.fails(65, "append", "s", "--from", write(tmp_path / "f", b"".join(lines)))
    assert "line 1401: no type" in said
    assert "lines 1-1000 are stored" in said


def test_a_part_is_at_most_a_mebibyte(evcli: Evcli, tmp_path: Path) -> None:
    text = lines_of(*({"type": "t", "data": "x" * 400_000} for _ in range(5)))
    receipts = evcli.ok("append", "s", "--from", write(tmp_path / "f", text)).lines
    assert [receipt["count"] for receipt in receipts] == [2, 2, 1]


def test_a_bad_line_stops_with_its_number_and_the_way_to_go_on(evcli: Evcli, tmp_path: Path) -> None:
    lines = numbered(2500).splitlines(keepends=True)
    lines[1499] = b"{bad\n"
    path = write(tmp_path / "f", b"".join(lines))
    evcli.ok("append", "elsewhere", "t")
    said = evcli.fails(65, "append", "s", "--from", path)
    assert "line 1500: not valid JSON" in said
    assert f"lines 1-1000 are stored; go on with: tail -n +1001 {path} | evcli append … --from -" in said
    assert len(evcli.ok("log", "s").lines) == 1000
    lines[1499] = b'{"type":"t","data":1500}\n'
    Path(path).write_bytes(b"".join(lines))
    rest = subprocess.run(["tail", "-n", "+1001", path], capture_output=True, check=True).stdout
    evcli.ok("append", "s", "--from", "-", stdin=rest)
    assert [event["data"] for event in evcli.ok("log", "s").lines] == list(range(1, 2501))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{}", "no type"),
        (b"[]", "not a JSON object"),
        (b"5", "not a JSON object"),
        (b'"x"', "not a JSON object"),
        (b'{"type":5}', "type"),
        (b'{"type":""}', "type"),
        (b'{"type":"t","typ":1}', "unknown member 'typ'"),
        (b'{"type":"t","type":"u"}', "twice"),
        (b'{"type":"t"} {"type":"t"}', "follows"),
        (b'{"type":"t","meta":5}', "meta"),
        (b'{"type":"t","id":5}', "id"),
        (b'{"type":"t","v":0}', "v is 0"),
        (b'{"type":"t","v":true}', "v is True"),
        (b'{"type":"t","time":"yesterday"}', "RFC 3339"),
        (b'{"type":"t","time":"2126-01-01T00:00:00Z"}', "future"),
        (b'{"type":"t","time":"2001-01-01T00:00:00Z"}', "before"),
        (b'{"type":"t","data":{"a":1e999}}', "double"),
        (b'{"type":"t","data":"\xff"}', "UTF-8"),
    ],
)
@pytest.mark.parametrize("by", ["stdin", "pipe"])
def test_each_bad_line_is_refused_by_number_and_its_commit_stores_nothing(
    evcli: Evcli, store_path: Path, line: bytes, reason: str, by: str
) -> None:
    evcli.ok("append", "s", "t")
    before = tree_hash(store_path)
    text = b'{"type":"good"}\n\n' + line + b'\n{"type":"good"}\n'
    said = evcli.fails(65, "append", "s", "--from", "-", **{by: text})
    assert "line 3: " in said
    assert reason in said
    assert "nothing was stored" in said
    assert tree_hash(store_path) == before


@pytest.mark.parametrize("text", [b"", b"\n", b"\n \r\n\t\n"])
def test_an_input_without_events_is_done_at_once(evcli: Evcli, store_path: Path, text: bytes) -> None:
    result = evcli.ok("append", "s", "--from", "-", stdin=text)
    assert (result.out, result.err) == (b"", "")
    assert not store_path.exists()


@pytest.mark.parametrize(
    "text",
    [
        b'{"type":"a"}\n{"type":"b"}',
        b'{"type":"a"}\r\n{"type":"b"}\r\n',
        b'\n\n {"type":"a"} \n\n{"type":"b"}\n\n',
        b'{"type":"a","data":null,"id":null,"meta":null,"time":null,"v":null}\n{"type":"b","meta":{}}\n',
    ],
)
@pytest.mark.parametrize("by", ["stdin", "pipe"])
def test_endings_blank_lines_and_nulls_do_not_matter(evcli: Evcli, text: bytes, by: str) -> None:
    evcli.ok("append", "s", "--from", "-", **{by: text})
    assert [event["type"] for event in evcli.ok("log", "s").lines] == ["a", "b"]


def test_a_bad_last_line_without_newline_is_refused(evcli: Evcli) -> None:
    assert "line 2: " in evcli.fails(65, "append", "s", "--from", "-", stdin=b'{"type":"a"}\n{"type":"b"')


def test_data_of_lines_is_stored_as_it_was_written(evcli: Evcli) -> None:
    evcli.ok("append", "s", "--from", "-", stdin=b'{"type":"t", "data" : {"a": 10.00, "b":1e2} , "meta":{"x": 1.0}}')
    assert b'"type":"t","data":{"a": 10.00, "b":1e2},"meta":{"x": 1.0},' in evcli.ok("log", "s").out


def test_lines_of_log_are_accepted_as_they_are(evcli: Evcli, tmp_path: Path) -> None:
    evcli.ok("append", "b", "t", "x:=1.00", "--time", "2026-01-01", "--id", "k", "--meta", "a=b")
    evcli.ok("append", "--from", "-", "--atomic", stdin=MIXED)
    evcli.ok("append", "b", "t", "--time", "now")
    lines = evcli.ok("log").out
    evcli.ok("append", "--store", str(tmp_path / "copy"), "--from", "-", stdin=lines)
    copied = evcli.ok("log", "--store", str(tmp_path / "copy")).out.splitlines()
    kept = ("stream", "version", "type", "data", "meta", "id", "time", "v")
    original = sorted(lines.splitlines(), key=lambda line: [json.loads(line)[name] for name in ("stream", "version")])
    copied.sort(key=lambda line: [json.loads(line)[name] for name in ("stream", "version")])
    for old, new in zip(original, copied, strict=True):
        assert {name: json.loads(old).get(name) for name in kept} == {name: json.loads(new).get(name) for name in kept}
    assert b'"data":{"x":1.00},' in b"".join(copied)


def test_a_stream_that_is_given_overrides_the_lines(evcli: Evcli) -> None:
    evcli.ok("append", "own", "--from", "-", stdin=MIXED)
    assert [event["data"]["n"] for event in evcli.ok("log", "own").lines] == [1, 2, 3]
    assert len(evcli.ok("streams").lines) == 1


def test_a_line_without_a_stream_says_how_to_name_one(evcli: Evcli) -> None:
    assert '"stream":"accounts/ann"' in evcli.fails(65, "append", "--from", "-", stdin=b'{"type":"t"}')


def test_a_commit_over_several_streams_has_one_receipt(evcli: Evcli) -> None:
    (receipt,) = evcli.ok("append", "--from", "-", "--atomic", stdin=MIXED).lines
    assert list(receipt) == ["position", "count", "time", "writes"]
    assert (receipt["position"], receipt["count"]) == (3, 3)
    assert receipt["writes"] == [{"stream": "a", "version": 2, "count": 2}, {"stream": "b", "version": 1, "count": 1}]
    log = evcli.ok("log").lines
    assert [(event["stream"], event["data"]["n"]) for event in log] == [("a", 1), ("a", 3), ("b", 2)]
    assert [event["commit"] for event in log if "seal" in event] == [[1, 3], [1, 3]]


def test_every_field_of_a_receipt_over_several_streams_can_be_printed(evcli: Evcli) -> None:
    for n, field in enumerate(("stream", "version", "position", "count", "time", "repeated", "writes"), 1):
        evcli.ok("append", "--from", "-", "--atomic", "--print", field, stdin=MIXED)
        assert len(evcli.ok("log", "a").lines) == 2 * n


def test_atomic_is_all_or_nothing_over_several_streams(evcli: Evcli, store_path: Path) -> None:
    evcli.ok("append", "a", "t")
    before = tree_hash(store_path)
    said = evcli.fails(
        65, "append", "--from", "-", "--atomic", stdin=numbered(1500).replace(b"{", b'{"stream":"a",') + b"{"
    )
    assert "line 1501: " in said
    assert "nothing was stored" in said
    assert tree_hash(store_path) == before
    (receipt,) = evcli.ok("append", "a", "--from", "-", "--atomic", stdin=numbered(1500)).lines
    assert receipt["count"] == 1500


def test_expect_holds_for_the_first_commit_and_each_later_one_expects_the_one_before(evcli: Evcli) -> None:
    said = evcli.fails(3, "append", "s", "--from", "-", "--expect", "1", stdin=numbered(10))
    assert "line 1: s is at version 0, expected 1" in said
    evcli.ok("append", "s", "--from", "-", "--expect", "none", stdin=numbered(2500))
    evcli.fails(3, "append", "s", "--from", "-", "--expect", "none", stdin=numbered(2))
    evcli.fails(2, "append", "--from", "-", "--expect", "none", stdin=MIXED)
    assert len(evcli.ok("log", "s").lines) == 2500


def test_ids_of_lines_are_skipped_one_by_one_and_counted(evcli: Evcli) -> None:
    first = lines_of({"type": "t", "id": "1"}, {"type": "t", "id": "2"})
    evcli.ok("append", "s", "--from", "-", stdin=first)
    more = first + lines_of({"type": "t", "id": "3"}, {"type": "t", "id": "3"})
    receipt = evcli.ok("append", "s", "--from", "-", stdin=more).json
    assert (receipt["version"], receipt["count"], receipt["repeated"]) == (3, 1, 3)
    receipt = evcli.ok("append", "s", "--from", "-", stdin=more).json
    assert (receipt["version"], receipt["count"], receipt["repeated"]) == (3, 0, 4)
    again = lines_of({"type": "t"}, {"type": "t", "id": "2", "data": 5})
    assert "line 2: the id '2'" in evcli.fails(65, "append", "s", "--from", "-", stdin=again)
    assert len(evcli.ok("log", "s").lines) == 3


def test_meta_of_the_options_yields_to_the_lines(evcli: Evcli) -> None:
    lines = lines_of({"type": "t", "meta": {"actor": "line"}}, {"type": "t"})
    evcli.ok("append", "s", "--from", "-", "--actor", "option", "--meta", "batch=7", stdin=lines)
    metas = [event["meta"] for event in evcli.ok("log", "s").lines]
    assert metas == [{"actor": "line", "batch": "7"}, {"actor": "option", "batch": "7"}]


def test_rejects_sets_bad_lines_aside_and_goes_on(evcli: Evcli, tmp_path: Path) -> None:
    bad = [b"{bad", b'{"type":"t","time":"2126-01-01T00:00:00Z"}', b'{"type":"t","x":1}', b'{"type":"t","data":"\xff"}']
    text = b'{"type":"a"}\n' + b"\n".join(bad) + b'\n{"type":"b"}\n'
    result = evcli("append", "s", "--from", "-", "--rejects", str(tmp_path / "bad"), stdin=text)
    assert result.code == 1
    assert "4 of 6 lines were set aside" in result.err
    assert sorted((tmp_path / "bad").read_bytes().splitlines()) == sorted(bad)
    assert sorted(record["error"]["line"] for record in result.lines[:-1]) == [2, 3, 4, 5]
    assert result.lines[-1]["count"] == 2
    assert [event["type"] for event in evcli.ok("log", "s").lines] == ["a", "b"]


def test_rejects_without_bad_lines_is_exit_0(evcli: Evcli, tmp_path: Path) -> None:
    evcli.ok("append", "s", "--from", "-", "--rejects", str(tmp_path / "bad"), stdin=numbered(3))
    assert (tmp_path / "bad").read_bytes() == b""


def test_rejects_may_not_be_the_input_itself(evcli: Evcli, tmp_path: Path) -> None:
    path = write(tmp_path / "f", b"{bad\n")
    evcli.fails(2, "append", "s", "--from", path, "--rejects", path)
    assert (tmp_path / "f").read_bytes() == b"{bad\n"


def test_a_dry_run_sets_nothing_aside_and_builds_part_upon_part(evcli: Evcli, tmp_path: Path, store_path: Path) -> None:
    bad = tmp_path / "bad"
    text = numbered(1500) + b"{bad\n"
    result = evcli("append", "s", "--from", "-", "--dry-run", "--expect", "0", "--rejects", str(bad), stdin=text)
    assert result.code == 1
    plans = [line for line in result.lines if "events" in line]
    assert [plan["states"][0]["version"] for plan in plans] == [1000, 1500]
    assert plans[1]["events"][-1]["position"] == 1500
    assert not bad.exists()
    assert not store_path.exists()


def test_a_dry_run_stops_at_a_bad_line_too(evcli: Evcli, store_path: Path) -> None:
    said = evcli.fails(65, "append", "s", "--from", "-", "--dry-run", stdin=numbered(1500) + b"{bad\n")
    assert "line 1501: " in said
    assert "nothing was stored" in said
    assert not store_path.exists()


def test_a_line_too_long_for_an_event_is_refused_behind_the_ones_before(evcli: Evcli) -> None:
    evcli.ok("append", "s", "t")
    text = b'{"type":"t"}\n{"type":"t","data":"' + b"x" * (1 << 20) + b'"}\n'
    said = evcli.fails(65, "append", "s", "--from", "-", stdin=text)
    assert "line 2: a line of over 1 MiB" in said
    assert "line 1 is stored; line 2 comes next" in said
    assert len(evcli.ok("log", "s").lines) == 2


@pytest.mark.parametrize("atomic", [False, True])
def test_a_line_without_end_is_refused_with_its_number(evcli: Evcli, tmp_path: Path, *, atomic: bool) -> None:
    path = write(tmp_path / "f", b'{"type":"a"}\n' + b"x" * (9 << 20) + b'\n{"type":"b"}\n')
    said = evcli("append", "s", "--from", path, *(["--atomic"] if atomic else [])).err.splitlines()[-1]
    assert "line 2: a line of over 8 MiB" in said
    assert ("nothing was stored" if atomic else "line 1 is stored; go on with: tail -n +2") in said


def test_missing_files_and_folders_are_input_errors(evcli: Evcli, tmp_path: Path) -> None:
    assert f"{tmp_path}/none" in evcli.fails(74, "append", "s", "--from", f"{tmp_path}/none")
    assert str(tmp_path) in evcli.fails(74, "append", "s", "--from", str(tmp_path))


@pytest.mark.parametrize("options", [["t"], ["t", "a=b"], ["--id", "k"], ["--time", "now"]])
def test_what_belongs_into_the_lines_is_not_taken_from_options(evcli: Evcli, options: list[str]) -> None:
    evcli.fails(2, "append", "s", *options, "--from", "-")


def test_atomic_and_rejects_need_from(evcli: Evcli) -> None:
    for option in (["--atomic"], ["--rejects", "x"]):
        assert "--from" in evcli.fails(2, "append", "s", "t", *option)


def test_a_pipe_serves_as_a_coprocess(evcli: Evcli) -> None:
    child = start("append", "s", "--from", "-", stdin=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    for n in range(1, 21):
        child.stdin.write(b'{"type":"t","data":%d}\n' % n)
        child.stdin.flush()
        assert json.loads(child.stdout.readline())["version"] == n
    child.stdin.write(b"{bad\n")
    child.stdin.flush()
    assert child.wait(10) == 65
    child.communicate()
    assert len(evcli.ok("log", "s").lines) == 20


def test_a_coprocess_with_rejects_answers_each_line_in_its_turn(evcli: Evcli, tmp_path: Path) -> None:
    child = start("append", "s", "--from", "-", "--rejects", str(tmp_path / "bad"), stdin=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    for line, member in ((b'{"type":"t"}', "version"), (b"{bad", "error"), (b'{"type":"t"}', "version")):
        child.stdin.write(line + b"\n")
        child.stdin.flush()
        assert member in json.loads(child.stdout.readline())
    child.communicate()
    assert child.returncode == 1
    assert len(evcli.ok("log", "s").lines) == 2


def test_what_waits_on_a_pipe_is_committed_together(evcli: Evcli) -> None:
    (receipt,) = evcli.ok("append", "s", "--from", "-", pipe=numbered(50)).lines
    assert receipt["count"] == 50


def test_an_interrupted_coprocess_is_130_and_keeps_what_was_acknowledged(evcli: Evcli) -> None:
    child = start("append", "s", "--from", "-", stdin=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    os.write(child.stdin.fileno(), b'{"type":"t"}\n')
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    assert child.wait(10) == 130
    _, err = child.communicate()
    assert err.decode().count("\n") == 1  # the new store
    assert len(evcli.ok("log", "s").lines) == 1


def test_a_part_that_may_not_be_written_says_what_is_stored_before_it(evcli: Evcli, store_path: Path) -> None:
    evcli.ok("append", "b", "t")
    os.link(store_path / "streams" / "b.jsonl", store_path / "other-name")
    lines = b'{"stream":"a","type":"t"}\n' * 1000 + b'{"stream":"b","type":"t"}\n'
    failed = evcli("append", "--from", "-", "-o", "json", stdin=lines)
    assert failed.code == 77
    assert json.loads(failed.err)["error"]["next_line"] == 1001


def test_ids_make_a_retry_safe_that_says_what_it_expected_at_first(evcli: Evcli) -> None:
    lines = [b'{"type":"t","id":"k%d"}\n' % number for number in range(1500)]
    evcli.ok("append", "a", "--from", "-", "--expect", "none", stdin=b"".join(lines[:1000]))
    evcli.ok("append", "a", "--from", "-", "--expect", "none", stdin=b"".join(lines))
    assert len(evcli.ok("log", "a").lines) == 1500


def test_lines_are_set_aside_only_with_the_part_they_came_in(evcli: Evcli, tmp_path: Path) -> None:
    rejects = tmp_path / "bad.jsonl"
    evcli.fails(
        3, "append", "a", "--from", "-", "--expect", "5", "--rejects", str(rejects), stdin=b'bad\n{"type":"t"}\n'
    )
    assert rejects.read_bytes() == b""


def test_a_key_of_meta_that_is_no_text_is_refused(evcli: Evcli) -> None:
    evcli.fails(65, "append", "a", "t", "--meta", "\udcff=1")
