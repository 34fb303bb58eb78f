"""Lines that are read all at once are stored as they would be one by one, or not read so at all."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evcli.domain.events import NewEvent, Write
from evcli.errors import IdReused, Refused
from evcli.storage.canonical_json import group_lines
from evcli.storage.codec import input_line
from evcli.storage.commit import EMPTY, build_commit
from evcli.storage.event_texts import Group, line_of
from evcli.storage.local import LocalStore
from evcli.storage.memory import MemoryStore
from tests.storage.building import stored_lines

ORDER = ("stream", "type", "data", "meta", "id")
NOW = "2026-11-23T08:00:00.000000Z"
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=4)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
LINES = st.fixed_dictionaries(
    {"type": st.text(max_size=3) | SCALARS, "data": VALUES},
    optional={
        "meta": st.dictionaries(st.text(max_size=3), VALUES, max_size=2) | VALUES,
        "id": st.text(max_size=3) | SCALARS,
    },
)
PLAIN = st.fixed_dictionaries(
    {"type": st.text(min_size=1, max_size=3), "data": VALUES},
    optional={"meta": st.dictionaries(st.text(max_size=3), VALUES, min_size=1, max_size=2), "id": st.text(min_size=1)},
)


def spell(*values: Any) -> list[bytes]:
    """Spell each with its members in the order in which they are stored."""
    return [orjson.dumps({name: value[name] for name in ORDER if name in value}) for value in values]


def stored(writes: Sequence[Write]) -> list[bytes]:
    return [b"".join(part.pieces()) for part in build_commit(EMPTY, {}, writes, now=NOW).parts]


def one_by_one(lines: Sequence[bytes], stream: str | None) -> list[Write]:
    found: dict[str, list[NewEvent]] = {}
    for line in lines:
        named, event = input_line(line)
        found.setdefault(stream or named or "", []).append(event)
    return [Write(name, events) for name, events in found.items()]


def writes_of(groups: dict[str, Group]) -> list[Write]:
    return [Write(name, group.events) for name, group in groups.items()]


@given(st.lists(LINES | PLAIN, min_size=1, max_size=6))
def test_what_is_read_all_at_once_is_stored_as_line_by_line(values: list[Any]) -> None:
    lines = spell(*values)
    groups = group_lines(lines, "s")
    if groups is not None:
        assert stored(writes_of(groups)) == stored(one_by_one(lines, "s"))
        assert list(groups["s"].events) == one_by_one(lines, "s")[0].events


@given(st.lists(PLAIN, min_size=1, max_size=6))
def test_plain_lines_are_read_all_at_once(values: list[Any]) -> None:
    assert group_lines(spell(*values), "s") is not None


@given(st.lists(st.tuples(st.sampled_from(["a", "b/c", "d"]), PLAIN), min_size=1, max_size=9))
def test_lines_that_name_their_streams_are_grouped_by_them(pairs: list[tuple[str, Any]]) -> None:
    lines = spell(*({"stream": stream, **value} for stream, value in pairs))
    groups = group_lines(lines, None)
    assert groups is not None
    assert stored(writes_of(groups)) == stored(one_by_one(lines, None))
    places = [place for group in groups.values() for place in group.places]
    assert [line_of(groups, index) for index in range(len(lines))] == places


@given(st.lists(st.binary(max_size=20) | st.text('{}[]:,"ae1 ', max_size=12).map(str.encode), min_size=1, max_size=4))
def test_whatever_the_bytes_what_is_refused_is_not_read_all_at_once(texts: list[bytes]) -> None:
    lines = [b'{"type":"t","data":%b}' % text for text in texts]
    groups = group_lines(lines, "s")
    if groups is not None:
        assert stored(writes_of(groups)) == stored(one_by_one(lines, "s"))


@pytest.mark.parametrize(
    "lines",
    [
        [b'{"type":"t","data":[{}', b"{}]}", b'{"type":"t","data":1},{"type":"t","data":2}'],
        [b'{"type":"t","data":1},{"type":"t","data":2}'],
        [b' {"type":"t","data":1}'],
        [b'{"type":"t","data":1}\r'],
        [b'{"type":"t","data":1.0e0}'],
        [b'{"type":"t","data":{"a":1,"a":1}}'],
        [b'{"type":"t","data":18446744073709551616}'],
        [b'{"type":"t","data":"\\u00e9"}'],
        [b'{"type":"t","data":%b}' % (b"[" * 201 + b"]" * 201)],
        [b'{"type":"t","data":"%b"}' % (b"x" * (1 << 20))],
        [b'{"type":"t","data":1,"meta":{}}'],
        [b'{"type":"t","data":1,"meta":null}'],
        [b'{"type":"t","data":1,"id":null}'],
        [b'{"type":"t","data":1,"time":"2026-01-01T00:00:00Z"}'],
        [b'{"type":"t","data":1,"v":2}'],
        [b'{"type":"t","data":1,"expect":0}'],
        [b'{"type":"t"}'],
        [b'{"data":1,"type":"t"}'],
        [b'{"type":"","data":1}'],
        [b'{"type":["t"],"data":1}'],
        [b'{"stream":"","type":"t","data":1}'],
        [b'{"stream":null,"type":"t","data":1}'],
        [b'{"stream":["a"],"type":"t","data":1}'],
        [b'{"stream":"\xc3\xa9","type":"t","data":1}'],
        [b'{"stream":"a","type":"t","data":1}', b'{"type":"t","data":1}'],
        [b'{"stream":"a","type":"t","data":1}', b'{"stream":"bb","type":"t","data":1}'],
        [b"{}"],
        [b"[]"],
        [b"5"],
    ],
)
def test_lines_that_have_to_be_looked_at_by_themselves_are_not_read_all_at_once(lines: list[bytes]) -> None:
    assert group_lines([*lines, b'{"type":"t","data":1}'], "s") is None
    assert group_lines([b'{"type":"t","data":1}', *lines], "s") is None


def test_lines_without_a_stream_are_not_read_all_at_once_where_none_is_given() -> None:
    assert group_lines([b'{"type":"t","data":1}'], None) is None


def test_ids_are_looked_up_and_left_out_where_they_are_stored_already() -> None:
    store = MemoryStore()

    def append(*values: Any) -> tuple[int, int]:
        groups = group_lines(spell(*values), "s")
        assert groups is not None
        receipt = store.append(writes_of(groups))
        return receipt.count, receipt.repeated

    events = [{"type": "t", "data": number, "id": f"k{number}"} for number in range(4)]
    assert append(*events[:2], {"type": "t", "data": 9}) == (3, 0)
    assert append(*events) == (2, 2)
    assert append({"type": "t", "data": 7, "id": "k7"}, {"type": "t", "data": 7, "id": "k7"}) == (1, 1)
    with pytest.raises(IdReused) as caught:
        append({"type": "t", "data": 0, "id": "new"}, {"type": "u", "data": 1, "id": "k1"})
    assert caught.value.index == 1
    stored_ids = [json.loads(line).get("id") for chunk in store.read_stream("s", end=99) for line in chunk.lines]
    assert stored_ids == ["k0", "k1", None, "k2", "k3", "k7"]


def test_a_line_that_gets_too_long_with_its_front_is_refused_by_its_place() -> None:
    lines = [b'{"type":"t","data":1}', b'{"type":"t","data":"%b"}' % (b"x" * ((1 << 20) - 30))]
    groups = group_lines(lines, "s")
    assert groups is not None
    with pytest.raises(Refused, match="over 1 MiB") as caught:
        stored(writes_of(groups))
    assert caught.value.index == 1


def test_events_read_at_once_get_the_time_of_a_stream_that_is_ahead_of_the_clock() -> None:
    groups = group_lines([b'{"type":"t","data":1}'] * 2, "s")
    assert groups is not None
    tip = build_commit(EMPTY, {}, [Write("s", [NewEvent("t")])], now="2026-12-01T00:00:00.000000Z").parts[0].tip
    by_line = [Write("s", list(groups["s"].events))]
    both = [build_commit(EMPTY, {"s": tip}, writes, now=NOW) for writes in (writes_of(groups), by_line)]
    assert both[0] == both[1]


def test_a_commit_of_very_many_events_is_the_same_line_by_line_and_names_the_one_at_fault() -> None:
    lines = [b'{"type":"t","data":%d}' % number for number in range(2500)]
    groups = group_lines(lines, "s")
    assert groups is not None
    assert list(groups["s"].places) == list(range(2500))
    whole = stored([*writes_of(groups), Write("z", [NewEvent("t")])])
    assert whole == stored([*one_by_one(lines, "s"), Write("z", [NewEvent("t")])])
    assert whole[0].count(b"\n") == 2500
    assert group_lines([*lines, b"{}"], "s") is None
    assert group_lines([*lines, b'{"stream":"s","type":"t","data":1}'], "s") is None
    late = list(groups["s"].events)
    late[2100] = late[2100]._replace(time="2027-01-01T00:00:00.000000Z")
    with pytest.raises(Refused, match="future") as caught:
        stored([Write("s", late)])
    assert caught.value.index == 2100


def test_a_commit_of_very_many_events_is_sealed_as_a_whole(store_path: Path) -> None:
    store = LocalStore(str(store_path))
    groups = group_lines([b'{"type":"t","data":%d}' % number for number in range(2500)], "s")
    assert groups is not None
    store.append(writes_of(groups))
    assert store.verify().events == 2500
    assert [json.loads(line)["data"] for line in stored_lines(store, "s")] == list(range(2500))
