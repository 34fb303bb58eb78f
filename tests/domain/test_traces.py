import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evcli.domain.events import Event, parse_place, place_of
from evcli.domain.traces import Traced, flat_texts, grow, nested_text, tell_broken, walk
from tests.domain.growing import chain, event

Found = list[tuple[Event, bytes]]


def by_recursion(traced: Traced) -> dict[str, Any]:
    return {"event": traced.event, "children": [by_recursion(child) for child in traced.children]}


# A cause before the event, the event itself, one after it, one that is not there, none.
histories = st.lists(st.none() | st.integers(1, 14), max_size=12).map(
    lambda causes: [event(n, cause and f"s@{cause}") for n, cause in enumerate(causes, 1)]
)


@pytest.mark.parametrize(
    "text", ["", "a", "@1", "a@", "a@0", "a@01", "a@-1", "a@1..2", "a/@1", "a@ 1", "a@\u0661", "a@x@1"]
)
def test_what_is_no_stream_and_version_is_no_place(text: str) -> None:
    assert parse_place(text) is None


def test_a_place_is_split_as_it_is_written() -> None:
    found, _ = event(3, stream="accounts/ann")
    assert parse_place(place_of(found)) == ("accounts/ann", 3)


@given(histories)
def test_every_event_stands_once_below_its_cause_or_is_a_root(found: Found) -> None:
    roots = grow(found)
    visits = list(walk(roots))
    assert sorted(visit.traced.event["position"] for visit in visits) == list(range(1, len(found) + 1))
    for visit in visits:
        positions = [child.event["position"] for child in visit.traced.children]
        assert positions == sorted(positions)
        for child in visit.traced.children:
            assert child.event["meta"]["cause"] == place_of(visit.traced.event)
            assert child.event["position"] > visit.traced.event["position"]
            assert child.broken is None
    for root in roots:
        cause = root.event.get("meta", {}).get("cause")
        assert (root.broken is None) == (cause is None)
        assert cause is None or int(cause[2:]) not in range(1, root.event["position"])


@given(histories)
def test_nested_json_is_what_recursion_would_write(found: Found) -> None:
    for root in grow(found):
        plain = json.loads(nested_text(root), object_hook=lambda o: (o.pop("cause", 0) if "children" in o else 0, o)[1])
        assert plain == by_recursion(root)


@given(histories)
def test_lines_tell_the_depth_in_the_order_of_the_walk(found: Found) -> None:
    roots = grow(found)
    told = [json.loads(text) for text in flat_texts(roots)]
    assert [(each["depth"], each["event"]) for each in told] == [(depth, one.event) for one, depth, _ in walk(roots)]


def test_a_cause_that_is_none_is_told_of() -> None:
    found = [
        event(1, "s@9"),
        event(2, "nonsense"),
        event(3, {"a": 1}),
        event(4, "s@4"),
        event(5, "s@6"),
        event(6, "s@5"),
        event(7, meta={"cause": None}),
    ]
    told = [tell_broken(visit.traced) for visit in walk(grow(found))]
    assert told == [
        "cause s@9 is not part of it",
        "cause nonsense names no event",
        'cause {"a": 1} names no event',
        "cause s@4 did not come before",
        "cause s@6 did not come before",
        "",
        "",
    ]
    assert tell_broken(grow(found[:1], otherwise="missing")[0]) == "cause s@9 is not there"


def test_json_has_the_stored_text_and_what_is_to_be_said_of_it() -> None:
    first = b'{"position":1,"stream":"s","version":1,"data":10.00,"meta":{"cause":"x"}}'
    second = b'{"position":2,"stream":"s","version":2,"data":1e2,"meta":{"cause":"s@1"}}'
    [root] = grow([(json.loads(line), line) for line in (first, second)], asked=("s", 2))
    assert nested_text(root) == (
        b'{"event":'
        + first
        + b',"cause":"malformed","children":[{"event":'
        + second
        + b',"asked":true,"children":[]}]}'
    )
    assert list(flat_texts([root])) == [
        b'{"depth":0,"event":' + first + b',"cause":"malformed"}',
        b'{"depth":1,"event":' + second + b',"asked":true}',
    ]


def test_a_chain_may_be_longer_than_python_can_recurse() -> None:
    roots = grow(chain(10_000))
    assert [visit.depth for visit in walk(roots)] == list(range(10_000))
    assert nested_text(roots[0]).endswith(b"]}" * 10_000)
