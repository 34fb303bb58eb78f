import contextlib
import csv
import io
import json
import os
import pty
import re
import termios
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from evcli.cli.output import Format, Output, check_field, error_record
from evcli.domain.patches import Change
from evcli.domain.pointers import MISSING
from evcli.errors import NotFound, StorageFailed, Usage, WrongExpectedVersion

SECOND = (
    b'{"position":2,"stream":"accounts/ann","version":2,"time":"2026-11-23T08:00:00.000001Z",'
    b'"type":"money.deposited","data":{"amount":10.00, "note":"caf\\u00e9"},"meta":{"actor":"ann","tries":2},'
    b'"id":"k-91","seal":"00"}'
)
HOSTILE_TEXT = "\x1b]52;c;ZXZpbA==\x07 \x9b2J \u202eelif\u2066 \x7f [bold]x[/] :smile:"
HOSTILE = (
    b'{"position":1,"stream":"accounts/ann","version":1,"time":"2026-11-23T07:00:00.000000Z","type":'
    + json.dumps("[bold]x[/]\x1b[2J\x9b\u202e").encode()
    + b',"data":'
    + json.dumps({"text": HOSTILE_TEXT}, ensure_ascii=False).encode()
    + b',"seal":"00"}'
)
RAW_C1 = (
    '{"position":1,"stream":"s","version":1,"time":"2026-11-23T07:00:00.000000Z","type":"a\x9bb\x7f","data":"\u202ex"}'
)
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
PLAIN = {"TERM": "xterm"}


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the local zone an hour ahead of UTC."""
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def in_a_pipe(act: Callable[[Output], None], **options: Any) -> tuple[bytes, str]:
    """Return what ``act`` writes to standard output and standard error, both pipes."""
    (out_read, out_write), (err_read, err_write) = os.pipe(), os.pipe()
    with open(out_write, "w") as stdout, open(err_write, "w") as stderr:
        given: dict[str, Any] = {"env": PLAIN, "stdout": stdout, "stderr": stderr}
        output = Output(**given | options)
        act(output)
        output.close()
    with open(out_read, "rb") as out, open(err_read) as err:
        return out.read(), err.read()


def on_a_terminal(act: Callable[[Output], None], *, columns: int = 80, **options: Any) -> str:
    """Return what ``act`` makes a real terminal show, standard output and standard error together."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    shown = bytearray()

    def read() -> None:
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while chunk := os.read(master, 65536):
                shown.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    with open(slave, "w") as stdout, open(os.dup(slave), "w") as stderr:
        given: dict[str, Any] = {"env": PLAIN | {"NO_COLOR": "1"}, "stdout": stdout, "stderr": stderr}
        output = Output(**given | options)
        act(output)
        output.close()
    reader.join()
    os.close(master)
    return shown.decode().replace("\r\n", "\n")


def test_events_in_a_pipe_are_the_stored_bytes() -> None:
    lines = [HOSTILE, SECOND, RAW_C1.encode()]
    expected = b"".join(line + b"\n" for line in lines)
    for requested in (None, "jsonl", "raw"):
        assert in_a_pipe(lambda out: out.events(lines), requested=requested) == (expected, "")


def test_events_as_json_are_one_array_of_the_stored_texts() -> None:
    printed, _ = in_a_pipe(lambda out: out.events([HOSTILE, SECOND]), requested="json")
    assert printed == b"[" + HOSTILE + b",\n" + SECOND + b"]\n"
    assert in_a_pipe(lambda out: out.events([]), requested="json")[0] == b"[]\n"


def test_events_as_csv_keep_data_and_meta_as_json_text() -> None:
    printed, _ = in_a_pipe(lambda out: out.events([SECOND, HOSTILE]), requested="csv")
    header, second, hostile = csv.reader(io.StringIO(printed.decode()))
    assert header == ["position", "stream", "version", "time", "type", "data", "meta", "id"]
    assert second == [
        "2",
        "accounts/ann",
        "2",
        "2026-11-23T08:00:00.000001Z",
        "money.deposited",
        '{"amount":10.00, "note":"caf\\u00e9"}',
        '{"actor":"ann","tries":2}',
        "k-91",
    ]
    assert json.loads(hostile[5]) == {"text": HOSTILE_TEXT}
    assert hostile[6:] == ["", ""]


def test_events_as_a_table_show_the_local_time_and_the_data_as_written() -> None:
    printed, _ = in_a_pipe(lambda out: out.events([SECOND]), requested="table")
    assert printed.decode() == (
        "accounts/ann@2    2026-11-23 09:00:00  money.deposited   "
        '{"amount":10.00, "note":"caf\\u00e9"}  actor=ann tries=2\n'
    )


def test_events_on_a_terminal_are_cropped_to_its_width() -> None:
    shown = on_a_terminal(lambda out: out.events([SECOND]), columns=60)
    assert shown == 'accounts/ann@2    2026-11-23 09:00:00  money.deposited   {"…\n'


@pytest.mark.parametrize("requested", [None, "table", "json", "jsonl", "csv", "raw"])
def test_no_event_can_command_a_terminal(requested: Format | None) -> None:
    lines = [HOSTILE, RAW_C1.encode()]
    shown = on_a_terminal(lambda out: out.events(lines), columns=500, requested=requested)
    assert not FORBIDDEN.search(shown)
    assert "[bold]x[/]" in shown
    assert ":smile:" in shown


def test_jsonl_on_a_terminal_is_still_json_of_the_same_value() -> None:
    shown = on_a_terminal(lambda out: out.events([RAW_C1.encode()]), requested="jsonl")
    assert json.loads(shown) == json.loads(RAW_C1)


def test_a_coloured_event_reads_the_same_without_its_colours() -> None:
    lines = [SECOND, HOSTILE]
    colored = on_a_terminal(lambda out: out.events(lines), columns=70, env=PLAIN)
    assert "\x1b[36m" in colored
    plain = re.sub(r"\x1b\[[0-9]*m", "", colored)
    assert [row.rstrip() for row in plain.splitlines()] == on_a_terminal(
        lambda out: out.events(lines), columns=70
    ).splitlines()


def test_a_live_event_reaches_the_reader_at_once() -> None:
    read, write = os.pipe()
    seen = []

    def lines() -> Iterator[bytes]:
        yield SECOND
        seen.append(os.read(read, 65536))

    with open(write, "w") as stdout:
        Output(env=PLAIN, stdout=stdout, stderr=None).events(lines(), live=True)
    os.close(read)
    assert seen == [SECOND + b"\n"]


def test_events_are_taken_one_by_one_until_the_reader_has_gone() -> None:
    read, write = os.pipe()
    os.close(read)
    taken = []

    def lines() -> Iterator[bytes]:
        for number in range(1_000_000):
            taken.append(number)
            yield SECOND

    stdout = open(write, "w")  # noqa: SIM115 (closing it fails)
    with pytest.raises(BrokenPipeError):
        Output(env=PLAIN, stdout=stdout, stderr=None).events(lines())
    assert len(taken) < 1000
    with contextlib.suppress(BrokenPipeError):
        stdout.close()


ROWS = [
    {"stream": "accounts/ann", "version": 12, "last": "2026-11-23T08:00:00.000001Z", "note": None},
    {"stream": "b[bold]x[/]", "version": 3, "last": "2026-11-23T09:30:00.000000Z", "note": {"a": 1.5}},
]
COLUMNS = ("stream", "version", "last", "note")


def print_rows(out: Output) -> None:
    out.rows(COLUMNS, iter(ROWS), times=("last",))


def test_rows_in_a_pipe_are_json_lines() -> None:
    printed, _ = in_a_pipe(print_rows)
    assert [json.loads(line) for line in printed.splitlines()] == ROWS


def test_rows_as_json_are_one_array() -> None:
    printed, _ = in_a_pipe(print_rows, requested="json")
    assert json.loads(printed) == ROWS


def test_rows_as_csv_have_a_header_and_bare_strings() -> None:
    printed, _ = in_a_pipe(print_rows, requested="csv")
    assert printed.decode() == (
        "stream,version,last,note\n"
        "accounts/ann,12,2026-11-23T08:00:00.000001Z,\n"
        'b[bold]x[/],3,2026-11-23T09:30:00.000000Z,"{""a"":1.5}"\n'
    )


def test_rows_as_a_table_are_aligned_and_their_times_local() -> None:
    printed, _ = in_a_pipe(print_rows, requested="table")
    assert printed.decode() == (
        "stream        version  last                 note\n"
        "accounts/ann       12  2026-11-23 09:00:00\n"
        'b[bold]x[/]         3  2026-11-23 10:30:00  {"a":1.5}\n'
    )


def test_rows_on_a_narrow_terminal_fit_its_width() -> None:
    shown = on_a_terminal(print_rows, columns=30)
    assert max(map(len, shown.splitlines())) <= 30
    assert "…" in shown


def test_no_row_can_command_a_terminal_or_be_read_as_markup() -> None:
    rows = [{"name": HOSTILE_TEXT, "value": "two\nlines\tand a tab"}]
    for requested in (None, "json", "jsonl", "csv", "raw"):
        shown = on_a_terminal(lambda out: out.rows(("name", "value"), rows), columns=300, requested=requested)
        assert not FORBIDDEN.search(shown)
        assert "[bold]x[/] :smile:" in shown
    assert "two\\u000alines and a tab" in on_a_terminal(lambda out: out.rows(("value",), rows))


def test_a_coloured_table_has_a_bold_header() -> None:
    assert "\x1b[1m" in on_a_terminal(print_rows, env=PLAIN)


def test_an_empty_listing_is_empty_in_every_format() -> None:
    printed = {
        requested: in_a_pipe(lambda out: out.rows(("a", "b"), []), requested=requested)
        for requested in (None, "table", "json", "jsonl", "csv", "raw")
    }
    assert printed.pop("csv") == (b"a,b\n", "")
    assert printed.pop("json") == (b"[]\n", "")
    assert set(printed.values()) == {(b"", "")}
    assert on_a_terminal(lambda out: out.rows(("a",), [], empty="no streams yet")) == "evcli: no streams yet\n"


def test_a_value_is_one_line_in_a_pipe_and_indented_for_people() -> None:
    state = {"balance": 10.5, "tags": ["é\x9b", "a\nb"], "none": {}}
    line = json.dumps(state, ensure_ascii=False, separators=(",", ":")) + "\n"
    for requested in (None, "json", "jsonl", "raw"):
        assert in_a_pipe(lambda out: out.value(state), requested=requested)[0].decode() == line
    shown = on_a_terminal(lambda out: out.value(state))
    assert shown.startswith('{\n  "balance": 10.5,\n  "tags": [\n    "é\\u009b",\n')
    assert json.loads(shown) == state


def test_a_coloured_value_has_coloured_keys_and_nothing_else() -> None:
    state = {"key": '"x": y', "list": ['"x": y', {"deep": None}]}
    shown = on_a_terminal(lambda out: out.value(state), env=PLAIN)
    assert re.findall(r"\x1b\[36m(.*?)\x1b\[0m", shown) == ['"key"', '"list"', '"deep"']
    assert json.loads(re.sub(r"\x1b\[[0-9]*m", "", shown)) == state


def test_raw_prints_a_string_bare() -> None:
    text = "one\ntwo \x1b[2J\n"
    assert in_a_pipe(lambda out: out.value(text), requested="raw")[0].decode() == text + "\n"
    assert on_a_terminal(lambda out: out.value(text), requested="raw") == "one\ntwo \\u001b[2J\n\n"
    assert in_a_pipe(lambda out: out.value(text))[0].decode() == json.dumps(text) + "\n"


def test_a_value_as_csv_is_a_usage_error() -> None:
    with pytest.raises(Usage, match="CSV"):
        in_a_pipe(lambda out: out.value({}), requested="csv")


RECEIPT = {"stream": "accounts/ann", "version": 3, "time": "2026-11-23T08:00:00.000001Z"}


def test_a_record_is_json_in_a_pipe_and_a_sentence_on_a_terminal() -> None:
    line = json.dumps(RECEIPT, separators=(",", ":")) + "\n"
    assert in_a_pipe(lambda out: out.record(RECEIPT, "recorded"))[0].decode() == line
    assert on_a_terminal(lambda out: out.record(RECEIPT, "recorded\x1b[2J")) == "recorded\\u001b[2J\n"


def test_records_as_csv_have_one_header() -> None:
    def act(out: Output) -> None:
        out.record(RECEIPT, "")
        out.record(RECEIPT | {"version": 4}, "")

    assert in_a_pipe(act, requested="csv")[0].decode() == (
        "stream,version,time\naccounts/ann,3,2026-11-23T08:00:00.000001Z\naccounts/ann,4,2026-11-23T08:00:00.000001Z\n"
    )


def test_one_field_of_a_record_is_printed_bare() -> None:
    assert in_a_pipe(lambda out: out.record(RECEIPT, "", field="version"))[0] == b"3\n"
    assert in_a_pipe(lambda out: out.record(RECEIPT, "", field="stream"))[0] == b"accounts/ann\n"
    assert on_a_terminal(lambda out: out.record(RECEIPT, "x", field="stream")) == "accounts/ann\n"


def test_an_unknown_field_is_a_usage_error_that_names_the_fields() -> None:
    with pytest.raises(Usage, match="stream, version, time"):
        in_a_pipe(lambda out: out.record(RECEIPT, "", field="versoin"))
    check_field("version", RECEIPT)


def test_text_ends_in_one_newline() -> None:
    assert in_a_pipe(lambda out: out.text("# Topic\nline"))[0] == b"# Topic\nline\n"
    assert in_a_pipe(lambda out: out.text("# Topic\nline\n"))[0] == b"# Topic\nline\n"
    assert on_a_terminal(lambda out: out.text("a\x9b\nb")) == "a\\u009b\nb\n"


def test_quiet_prints_nothing_but_errors() -> None:
    def act(out: Output) -> None:
        out.events([SECOND])
        out.rows(("a",), [])
        out.value(1)
        out.record(RECEIPT, "recorded")
        out.text("text")
        out.note("note")
        out.error(NotFound("no view v"))

    assert in_a_pipe(act, quiet=True) == (b"", "evcli: no view v\n")
    assert on_a_terminal(act, quiet=True) == "evcli: no view v\n"


def test_a_note_is_one_sanitised_line_on_standard_error() -> None:
    assert in_a_pipe(lambda out: out.note("new store in /tmp/a\nb")) == (
        b"",
        "evcli: new store in /tmp/a\\u000ab\n",
    )


def test_an_error_is_one_line_with_the_next_step() -> None:
    error = NotFound("no stream \x1b[2Jx", "see what there is")
    for requested in (None, "table", "csv", "raw"):
        printed = in_a_pipe(lambda out: out.error(error), requested=requested)
        assert printed == (b"", "evcli: no stream \\u001b[2Jx; see what there is\n")
    assert on_a_terminal(lambda out: out.error(error), env=PLAIN) == (
        "\x1b[31mevcli:\x1b[0m no stream \\u001b[2Jx; see what there is\n"
    )


def test_an_error_is_json_only_where_json_was_asked_for() -> None:
    error = WrongExpectedVersion("accounts/ann", "3", 5)
    for requested in ("json", "jsonl"):
        printed, said = in_a_pipe(lambda out: out.error(error), requested=requested)
        assert printed == b""
        assert said.count("\n") == 1
        assert json.loads(said) == error_record(error)
    assert list(error_record(error)["error"]) == [
        "code", "exit", "message", "hint", "stream", "expected", "actual",
    ]  # fmt: skip


def test_an_error_about_a_path_that_is_not_utf8_can_be_said() -> None:
    error = NotFound("no store in bad\udcff", path="bad\udcff")
    assert in_a_pipe(lambda out: out.error(error))[1] == "evcli: no store in bad\\udcff\n"
    said = in_a_pipe(lambda out: out.error(error), requested="json")[1]
    assert json.loads(said)["error"]["path"] == "bad\udcff"


def test_texts_are_printed_as_they_are() -> None:
    texts = [b'{"a":1.50}', b'{"b": 1e2}']
    for requested in (None, "jsonl", "raw"):
        assert in_a_pipe(lambda out: out.texts(texts), requested=requested) == (b'{"a":1.50}\n{"b": 1e2}\n', "")
    assert in_a_pipe(lambda out: out.texts(texts), requested="json")[0] == b'[{"a":1.50},\n{"b": 1e2}]\n'
    assert not FORBIDDEN.search(on_a_terminal(lambda out: out.texts([HOSTILE]), requested="jsonl"))


EXPLAINED = [
    {"view": "stock", "position": 12, "rebuilt": ""},
    {"view": "x\x1b[2J", "position": 3, "rebuilt": "damaged"},
]


def print_explained(out: Output) -> None:
    out.explain(("view", "position", "rebuilt"), EXPLAINED)


def test_what_an_answer_covers_is_a_table_on_standard_error() -> None:
    table = "view        position  rebuilt\nstock             12\nx\\u001b[2J         3  damaged\n"
    for requested in (None, "table", "csv", "raw"):
        assert in_a_pipe(print_explained, requested=requested) == (b"", table)
    assert on_a_terminal(print_explained) == table
    assert max(map(len, on_a_terminal(print_explained, columns=20).splitlines())) <= 20


def test_what_an_answer_covers_is_json_only_where_json_was_asked_for() -> None:
    for requested in ("json", "jsonl"):
        printed, said = in_a_pipe(print_explained, requested=requested)
        assert printed == b""
        assert not FORBIDDEN.search(said)
        assert [json.loads(line) for line in said.splitlines()] == [{"explain": row} for row in EXPLAINED]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("evcli.cli.output.time", SimpleNamespace(monotonic=lambda: self.now))


def test_progress_is_one_line_of_a_terminal_that_is_taken_away_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    def act(out: Output) -> None:
        with out.progress("folding stock") as progress:
            assert progress is not None
            for now, done in ((100.4, 300_000), (100.5, 400_000), (100.55, 450_000), (100.7, 1_000_000)):
                clock.now = now
                progress(done, 1_000_000)

    first = "\revcli: folding stock 40% (400,000 of 1,000,000 events)"
    second = "\revcli: folding stock 100% (1,000,000 of 1,000,000 events)"
    assert on_a_terminal(act) == first + second + "\r" + " " * (len(second) - 1) + "\r"
    clock.now = 100.0
    narrow = on_a_terminal(act, columns=30)
    assert max(map(len, narrow.split("\r"))) == 29


def test_nothing_is_printed_beside_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    def act(out: Output) -> None:
        with out.progress("one\x1b") as one, out.progress("two") as two:
            assert one is not None
            assert two is not None
            clock.now = 101.0
            one(1, 2)
            two(1, 4)
            out.note("note")
            clock.now = 102.0
            one(2, 2)
            out.text("text")
            out.text("more")

    def line(text: str) -> str:
        return "\r" + text

    def gone(text: str) -> str:
        return "\r" + " " * len(text) + "\r"

    half, quarter, whole = (
        "evcli: one\\u001b 50% (1 of 2 events)",
        "evcli: two 25% (1 of 4 events)",
        "evcli: one\\u001b 100% (2 of 2 events)",
    )
    assert on_a_terminal(act) == (
        line(half) + gone(half) + line(quarter) + gone(quarter) + "evcli: note\n" + line(whole) + gone(whole)
        + "text\nmore\n"
    )  # fmt: skip


def test_progress_is_shown_on_a_terminal_only_and_not_when_it_is_to_be_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)

    def act(out: Output) -> None:
        with out.progress("x") as progress:
            assert progress is None

    assert in_a_pipe(act) == (b"", "")
    assert on_a_terminal(act, quiet=True) == ""


def test_progress_is_taken_away_before_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    def act(out: Output) -> None:
        with contextlib.suppress(KeyboardInterrupt), out.progress("x") as progress:
            assert progress is not None
            clock.now = 101.0
            progress(0, 0)
            raise KeyboardInterrupt
        out.note("stopped")

    line = "evcli: x 0% (0 of 0 events)"
    assert on_a_terminal(act) == f"\r{line}\r{' ' * len(line)}\revcli: stopped\n"


@pytest.mark.parametrize(
    ("color", "env", "colored"),
    [
        ("auto", {"TERM": "xterm"}, True),
        ("auto", {}, True),
        ("auto", {"TERM": "dumb"}, False),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ("auto", {"NO_COLOR": ""}, True),
        ("auto", {"TERM": "dumb", "CLICOLOR_FORCE": "1"}, True),
        ("never", {"FORCE_COLOR": "1"}, False),
        ("always", {"NO_COLOR": "1", "TERM": "dumb"}, True),
    ],
)
def test_colour_is_decided_by_option_then_environment_then_terminal(
    color: str, env: dict[str, str], *, colored: bool
) -> None:
    shown = on_a_terminal(lambda out: out.value({"a": 1}), color=color, env=env)
    assert ("\x1b[" in shown) is colored


def test_a_pipe_is_coloured_only_where_that_is_forced() -> None:
    def act(out: Output) -> None:
        out.events([SECOND])

    for env, colored in (({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "0"}, False)):
        assert (b"\x1b[" in in_a_pipe(act, requested="table", env=env)[0]) is colored
    assert in_a_pipe(act, color="always")[0] == SECOND + b"\n"


def test_the_columns_variable_goes_before_the_terminal_width() -> None:
    shown = on_a_terminal(lambda out: out.events([SECOND]), env={"NO_COLOR": "1", "COLUMNS": "30"})
    assert shown == "accounts/ann@2    2026-11-23 …\n"


def test_a_wide_character_counts_for_two_cells() -> None:
    line = SECOND.replace(b'{"amount":10.00, "note":"caf\\u00e9"}', '"北京北京北京"'.encode())
    shown = on_a_terminal(lambda out: out.events([line]), columns=64)
    assert shown == 'accounts/ann@2    2026-11-23 09:00:00  money.deposited   "北京…\n'


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("count", [1, 1000])
def test_a_full_disk_is_an_input_output_error_and_is_told_once(count: int) -> None:
    stdout = open("/dev/full", "w")  # noqa: SIM115 (closed below)
    output = Output(env=PLAIN, stdout=stdout, stderr=None)

    def act() -> None:
        output.events([SECOND] * count)
        output.close()

    with pytest.raises(StorageFailed, match="standard output") as caught:
        act()
    assert caught.value.exit_code == 74
    stdout.close()  # what was left in the buffer does not fail again


def test_an_error_of_the_reading_side_is_not_taken_for_one_of_standard_output() -> None:
    def lines() -> Iterator[bytes]:
        yield SECOND
        raise PermissionError(13, "Permission denied", "streams/a.jsonl")

    with pytest.raises(PermissionError):
        in_a_pipe(lambda out: out.events(lines()))


def test_a_closed_standard_output_is_an_error_only_when_something_is_to_be_printed() -> None:
    with pytest.raises(StorageFailed, match="closed"):
        in_a_pipe(lambda out: out.text("x"), stdout=None)
    assert in_a_pipe(lambda out: out.text("x"), stdout=None, quiet=True) == (b"", "")
    in_a_pipe(lambda out: out.error(NotFound("x")), stdout=None, stderr=None)


def test_a_follower_sees_without_writing_that_its_reader_has_gone() -> None:
    read, write = os.pipe()
    with open(write, "w") as stdout:
        output = Output(env=PLAIN, stdout=stdout, stderr=None)
        assert not output.stdout_closed()
        os.close(read)
        assert output.stdout_closed()
    with open(os.devnull, "w") as stdout:
        assert not Output(env=PLAIN, stdout=stdout, stderr=None).stdout_closed()
    assert not Output(env=PLAIN, stdout=None, stderr=None).stdout_closed()


def test_changes_are_a_patch_in_a_pipe_and_a_tree_for_people() -> None:
    changes = [Change(("a", "b"), 1, 2), Change(("c",), MISSING, "x")]
    patch = [{"op": "replace", "path": "/a/b", "value": 2}, {"op": "add", "path": "/c", "value": "x"}]
    lines, _ = in_a_pipe(lambda out: out.changes(changes))
    assert [json.loads(line) for line in lines.splitlines()] == patch
    array, _ = in_a_pipe(lambda out: out.changes(changes), requested="json")
    assert json.loads(array) == patch
    tree, _ = in_a_pipe(lambda out: out.changes(changes), requested="table")
    assert tree.decode() == '~ /a/b  1 → 2\n+ /c  "x"\n'
    sheet, _ = in_a_pipe(lambda out: out.changes(changes), requested="csv")
    assert sheet == b"op,path,value\nreplace,/a/b,2\nadd,/c,x\n"


def test_no_changes_are_an_empty_patch() -> None:
    assert in_a_pipe(lambda out: out.changes([]), requested="json") == (b"[]\n", "")
    assert in_a_pipe(lambda out: out.changes([]), requested="table") == (b"", "")
