"""What is read and written without orjson is what orjson would have read and written, to the byte."""

import json
import math
import subprocess
import sys
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evcli.storage import codec
from evcli.storage.plain_json import NotPlain, parse_plain, plain_text

PLAIN = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS
integers = st.one_of(st.integers(), st.sampled_from([2**63, -(2**63), 2**64 - 1, 2**64, -(2**63) - 1, 10**40]))
texts = st.one_of(st.text(), st.text(st.characters(exclude_categories=[])))
scalars = st.one_of(st.none(), st.booleans(), integers, st.floats(), texts, st.sampled_from([1e15, 1e-4, 9e-5, -0.0]))
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
numbers = st.from_regex(r"\A-?(?:0|[1-9][0-9]{0,25})(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?\Z")
pieces = st.sampled_from(
    ["{", "}", "[", "]", ",", ":", '"', '"a"', '"\\ud800"', '"\\u00e9"', '"\\n"', "\n", "\t", " ", "\x00", "\ufeff"]
)
json_texts = st.one_of(
    st.builds(lambda value: json.dumps(value, ensure_ascii=False), values),
    st.builds(lambda value: json.dumps(value, indent=1), values),
    numbers,
    st.lists(st.one_of(pieces, numbers, st.sampled_from(["NaN", "-Infinity", "true", "nul"]))).map("".join),
)


def same(one: Any, other: Any) -> bool:
    """Compare values with their types, and the signs of zeros."""
    return type(one) is type(other) and repr(one) == repr(other)


@given(values)
@example([1.0, -0.0, 1e15, 1e14, 0.0001, 0.00009999, 5e-324, 2**64 - 1, '\x7f\u2028/\\"\b\f'])
def test_what_is_written_plainly_is_what_orjson_writes(value: Any) -> None:
    text = plain_text(value)
    assert text is None or text == orjson.dumps(value, option=PLAIN)


@given(st.recursive(st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.text()), st.lists))
def test_what_is_plain_is_written_so(value: Any) -> None:
    assert plain_text(value) is not None


@given(json_texts)
@example("-0")
@example("1e999")
@example("[" * 2000)
@example("18446744073709551616")
@example('{"a":1,"a":2}')
def test_what_is_read_plainly_is_what_orjson_reads(text: str) -> None:
    for given_text in (text, text.encode("utf-8", "surrogatepass")):
        try:
            found = parse_plain(given_text)
        except (ValueError, RecursionError):
            continue
        assert same(found, orjson.loads(given_text))


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, 2**64, (1,), {1: 2}, {"a": {1, 2}}, "\ud800", [[]] * 2000, b"x", 1e-9, 1e300]
)
def test_what_is_not_plain_is_left_to_orjson(value: Any) -> None:
    assert plain_text(value) is None


def test_too_many_levels_are_left_to_orjson() -> None:
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    assert plain_text(deep) is None


@pytest.mark.parametrize("text", ["1e999", "NaN", '"\\ud800"', '"\\u00e9"', "18446744073709551616", " " * 20000 + "1"])
def test_a_text_that_is_not_plain_is_left_to_orjson(text: str) -> None:
    with pytest.raises(NotPlain):
        parse_plain(text)


def test_the_codec_gives_the_same_with_orjson_and_without_it() -> None:
    values = [{"a": [1, 2.5, -0.0, None, True, "é\n"]}, [1e-9, 1e16, 2**64 - 1], {"deep": [[[{}]]]}, 2**64, (1, 2)]
    code = (
        "import sys; from evcli.storage.codec import dump, freeze, loads\n"
        f"values = {values!r}\n"
        "for value in values: print(dump(value), freeze(value), loads(dump(value)))\n"
        "print('orjson' in sys.modules)"
    )
    without = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    expected = [f"{codec.dump(value)!r} {codec.freeze(value)!r} {codec.loads(codec.dump(value))!r}" for value in values]
    assert without.splitlines() == [*expected, "True"]
