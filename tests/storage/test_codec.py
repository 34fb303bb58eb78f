"""What may be stored, and that it is stored as it was written."""

import json
import math
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evcli.domain.events import Write
from evcli.domain.values import same_json
from evcli.errors import Refused
from evcli.storage.codec import (
    Split,
    check_json,
    decode,
    encode_value,
    input_line,
    line_splitter,
    new_event,
    object_members,
    with_meta,
)
from evcli.storage.memory import MemoryStore
from tests.storage.building import event, write

BLANK = st.text(" \t\n\r", max_size=3)
DIGITS = st.text("0123456789", min_size=1, max_size=12)
NUMBER = st.builds(
    lambda sign, whole, fraction, exponent: sign + (whole.lstrip("0") or "0") + fraction + exponent,
    st.sampled_from(["", "-"]),
    DIGITS,
    st.just("") | DIGITS.map(lambda digits: "." + digits),
    st.sampled_from(["", "e2", "E+2", "e-2", "e00", "E-007"]),
)
STRING = st.lists(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters='"\\')
    | st.sampled_from(
        ['\\"', "\\\\", "\\/", "\\b", "\\n", "\\t", "\\u0000", "\\u00e9", "\\uD83D\\uDE00", "\\u2028", "\x7f"]
    )
).map(lambda parts: '"' + "".join(parts) + '"')


def _containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    spaced = st.builds(lambda before, value, after: before + value + after, BLANK, inner, BLANK)
    arrays = st.lists(spaced, max_size=4).map(lambda items: "[" + ",".join(items) + "]")
    members = st.dictionaries(st.text("abcé/~ ", max_size=3), spaced, max_size=4)
    objects = members.map(lambda found: "{" + ",".join(f'"{key}" :{value}' for key, value in found.items()) + "}")
    return arrays | objects


JSON_TEXT = st.recursive(NUMBER | STRING | st.sampled_from(["true", "false", "null"]), _containers, max_leaves=12)


@given(JSON_TEXT)
def test_the_callers_text_is_kept_but_for_newlines_between_tokens(text: str) -> None:
    kept = check_json(f" {text}\n")
    assert kept == text.replace("\n", " ").replace("\r", " ")
    assert orjson.loads(kept) == json.loads(text)


@given(JSON_TEXT)
def test_a_stored_line_holds_the_callers_bytes_and_reads_as_their_value(text: str) -> None:
    store = MemoryStore()
    line = f'{{"data":{text},"type":"tested"}}'.encode()
    store.append([Write("a", [input_line(line).event])])
    [[stored]] = store.read_all(end=1)
    assert b'"data":' + text.replace("\n", " ").replace("\r", " ").encode() + b',"seal":' in stored
    assert orjson.loads(stored)["data"] == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "10.00",
        "1e2",
        "-0",
        "-0.0",
        "1E+2",
        "0e99999999999999999999",
        "1e-400",
        "18446744073709551615",
        "-9223372036854775808",
        "1.7976931348623157e308",
        "123456789012345678901234567890.0",
        r'"\u00e9"',
        r'"\ud83d\ude00"',
        r'"\\ud800"',
        '{"b":1,"a":2}',
        "[" * 200 + "]" * 200,
        '{"a":' * 200 + "1" + "}" * 200,
        '"' + "[" * 500 + '"',
    ],
)
def test_what_can_be_carried_safely_is_kept_as_it_is(text: str) -> None:
    assert check_json(text) == text
    assert orjson.loads(text) == json.loads(text)
    assert input_line(f'{{"type":"t","data":{text}}}'.encode()).event.data == text


REFUSED = [
    ("", "a value is missing"),
    ("{", "not valid JSON"),
    ("{} {}", "something follows"),
    ("[1,]", "not valid JSON"),
    ("{'a':1}", "not valid JSON"),
    ('{"a":1,}', "not valid JSON"),
    ("// no\n1", "no value begins here"),
    ("\ufeff1", "no value begins here"),
    ("\u00a01", "no value begins here"),
    ("01", "something follows"),
    ("1.", "something follows"),
    (".5", "no value begins here"),
    ("+1", "no value begins here"),
    ("0x10", "something follows"),
    ("\u0661", "no value begins here"),
    ("True", "no value begins here"),
    ('"a', "not valid JSON"),
    ('"\t"', "not valid JSON"),
    ('"\n"', "not valid JSON"),
    ('"\0"', "not valid JSON"),
    (r'"\x41"', "not valid JSON"),
    (r'"\u12"', "not valid JSON"),
    ("NaN", "NaN is not JSON"),
    ("[Infinity]", "Infinity is not JSON"),
    ('{"a":-Infinity}', "-Infinity is not JSON"),
    ('{"a":1,"a":1}', "stands twice"),
    ('[{"b":{"a":1,"a":2}}]', "stands twice"),
    (r'{"a":1,"\u0061":2}', "stands twice"),
    ("18446744073709551616", "outside"),
    ("-9223372036854775809", "outside"),
    ('{"a":[1' + "0" * 5000 + "]}", "outside"),
    ("1e999", "beyond a double"),
    ("[-1e999]", "beyond a double"),
    ("1.7976931348623159e308", "beyond a double"),
    (r'"\ud800"', "lone surrogate"),
    (r'"\uDC00\uD800"', "lone surrogate"),
    (r'{"\udfff":1}', "lone surrogate"),
    ('"\ud800"', "lone surrogate"),
    ("[" * 201 + "]" * 201, "nested deeper"),
    ('{"a":' * 201 + "1" + "}" * 201, "nested deeper"),
    ("[" * 100_000, "nested deeper"),
    ('{"a":"]"}' + "[{" * 100_000, "nested deeper"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_what_cannot_be_carried_safely_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason) as failure:
        check_json(text)
    assert failure.value.hint


@pytest.mark.parametrize("member", ["data", "meta"])
@pytest.mark.parametrize("text", [text for text, _ in REFUSED if not text.startswith("{} ")])
def test_a_line_with_such_data_or_meta_is_refused(member: str, text: str) -> None:
    line = f'{{"type":"t","{member}":{{"x":{text}}}}}'.encode("utf-8", "surrogatepass")
    with pytest.raises(Refused):
        input_line(line)


@pytest.mark.parametrize("text", [b"\xff", b'"\xc3"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"'])
def test_what_is_not_utf_8_is_refused(text: bytes) -> None:
    with pytest.raises(Refused, match="not UTF-8 at byte"):
        decode(text)
    with pytest.raises(Refused, match="not UTF-8"):
        input_line(b'{"type":"t","data":' + text + b"}")


@given(st.binary(max_size=40) | st.text('{}[]:,"\\ut 1ed-', max_size=60).map(str.encode))
def test_whatever_the_bytes_a_line_is_read_or_refused(line: bytes) -> None:
    try:
        found = input_line(line)
    except Refused:
        return
    assert orjson.loads(line)["type"] == found.event.type


def _as_read(line: bytes, split: Split) -> object:
    try:
        return repr(input_line(line, split))
    except Refused as error:
        return str(error)


COMPACT = JSON_TEXT.map(lambda text: orjson.dumps(json.loads(text)).decode())


@given(
    COMPACT | JSON_TEXT, COMPACT | JSON_TEXT, st.sampled_from(["meta", "type", "data", "id", "v", "position", "who"])
)
def test_many_lines_are_read_as_a_few_are(data: str, other: str, name: str) -> None:
    line = f'{{"type":"t","data":{data},"{name}":{other}}}'.encode()
    assert _as_read(line, line_splitter(10_000)) == _as_read(line, line_splitter(1))


@pytest.mark.parametrize(
    "text",
    [
        "18446744073709551616",
        "-9223372036854775809",
        "1e400",
        "-0",
        "1.0",
        "1e2",
        "NaN",
        '{"a":1,"a":1}',
        '"\\ud800"',
        '"\x7f"',
        "[" * 200 + "]" * 200,
        "[" * 201 + "]" * 201,
        '"' + "[" * 500 + '"',
        "1,",
        '1}{"type":"t"',
    ],
)
def test_what_is_not_plain_is_read_with_the_same_care_among_many_lines(text: str) -> None:
    line = f'{{"type":"t","data":{text}}}'.encode()
    assert _as_read(line, line_splitter(10_000)) == _as_read(line, line_splitter(1))


@given(st.binary(max_size=40) | st.text('{}[]:,"\\ut 1ed-', max_size=60).map(str.encode))
def test_whatever_the_bytes_many_lines_are_read_as_a_few_are(line: bytes) -> None:
    assert _as_read(line, line_splitter(10_000)) == _as_read(line, line_splitter(1))


def test_a_long_unclosed_string_is_refused_in_no_time() -> None:
    began = time.monotonic()
    with pytest.raises(Refused):
        check_json('"' + '\\"' * 300_000 + "[" * 201)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[]", "not a JSON object"),
        ("", "not a JSON object"),
        ("{}", "no type"),
        ('{"type":null}', "no type"),
        ('{"type":""}', "type is not a text"),
        ('{"type":1}', "type is not a text"),
        ('{"type":"t","meta":[]}', "meta is not an object"),
        ('{"type":"t","id":""}', "id is not a text"),
        ('{"type":"t","id":7}', "id is not a text"),
        ('{"type":"t","stream":7}', "stream is not a text"),
        ('{"type":"t","v":0}', "v is 0"),
        ('{"type":"t","v":1.0}', "v is 1.0"),
        ('{"type":"t","v":true}', "v is True"),
        ('{"type":"t","time":"yesterday"}', "not a time"),
        ('{"type":"t","time":"2026-11-23T08:00:00"}', "not a time"),
        ('{"type":"t","kind":1}', "unknown member 'kind'"),
        ('{"type":"t","type":"t"}', "stands twice"),
        ('{"type":"t","position":1,"position":1}', "stands twice"),
        ('{"type":"t","seal":NaN}', "NaN"),
        ('{"type":"t"} x', "something follows"),
        ('{"type":"t"', "is missing"),
        ('{"type":"t",}', "is missing"),
        ('{"type" "t"}', "is missing"),
        ('{type:"t"}', "is missing"),
        ('{"type":"\\ud800"}', "surrogate"),
    ],
)
def test_a_line_that_is_no_event_is_refused(line: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        input_line(line.encode())


def test_null_means_absent_but_as_data() -> None:
    line = b'{"type":"t","stream":null,"data":null,"meta":null,"id":null,"time":null,"v":null}'
    assert input_line(line) == (None, new_event({"type": "t", "data": None}))
    assert new_event({"type": "t", "data": None, "meta": None}).data == "null"
    assert input_line(b'{"type":"t"}').event.data == "{}"


def test_the_lines_of_a_log_are_accepted_as_they_are() -> None:
    store = MemoryStore()
    first = new_event(
        {"type": "t", "data": {"a": 1}, "meta": {"by": "ann"}, "id": "k", "v": 2, "time": "2020-01-01T00:00:00Z"}
    )
    store.append([Write("a", [first]), write("b", 2)])
    other = MemoryStore()
    for line in [line for lines in store.read_all(end=2) for line in lines]:
        stream, copied = input_line(line)
        assert stream is not None
        other.append([Write(stream, [copied])])
    assert input_line(next(store.read_all(end=1))[0]) == ("a", first)
    kept = ("stream", "version", "time", "type", "data", "meta", "id", "v")
    for stream in ("a", "b"):
        [[ours]], [[theirs]] = ([chunk.lines for chunk in one.read_stream(stream, end=2)] for one in (store, other))
        assert [orjson.loads(ours).get(key) for key in kept] == [orjson.loads(theirs).get(key) for key in kept]


def test_members_keep_their_order_and_their_text() -> None:
    assert object_members(' {"b" : 1.0 ,\n"a":[ 1,\r\n2 ]} ') == [("b", 1.0, "1.0"), ("a", [1, 2], "[ 1,  2 ]")]
    assert object_members("{ }") == []


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, {1, 2}, b"x", 2**64, -(2**63) - 1, "\ud800", {"\udc00": 1}, object()]
)
def test_a_python_value_that_json_cannot_carry_is_refused(value: Any) -> None:
    with pytest.raises(Refused):
        encode_value([value])
    with pytest.raises(Refused):
        new_event({"type": "t", "data": {"x": value}})


def test_a_python_value_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    deep: Any = 1
    for _ in range(201):
        deep = [deep]
    for value in (endless, deep):
        with pytest.raises(Refused):
            encode_value(value)


def test_numbers_are_the_same_by_value_and_never_the_same_as_truth() -> None:
    assert same_json({"a": [1, 10.0]}, {"a": [1.0, 10]})
    assert same_json({"a": 1, "b": 2}, {"b": 2, "a": 1})
    for one, other in (
        (1, True),
        (0, False),
        (1, "1"),
        ([1], [1, 2]),
        ({"a": 1}, {"a": 1, "b": 1}),
        (None, False),
        ([], {}),
    ):
        assert not same_json(one, other)
        assert not same_json([one], [other])


def test_default_meta_yields_to_the_events_own() -> None:
    own = input_line(b'{"type":"t","meta":{"actor":"bob","n":1.0}}').event
    defaults = {"actor": '"ann"', "trace": '"x"'}
    assert with_meta(own, {}) is own
    assert with_meta(own, defaults).meta == '{"actor":"bob","trace":"x","n":1.0}'
    assert with_meta(event(), defaults).meta == '{"actor":"ann","trace":"x"}'
    assert with_meta(event(), {'q"é': "1"}).meta == '{"q\\"é":1}'


def test_an_empty_meta_says_nothing() -> None:
    assert input_line(b'{"type":"t","meta":{}}').event.meta is None
