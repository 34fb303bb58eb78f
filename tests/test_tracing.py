import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evcli import EvcliError, Store
from evcli.domain.events import NewEvent, Write, place_of
from evcli.domain.traces import Traced, walk
from evcli.errors import NotFound
from evcli.storage.contract import EventStore
from evcli.storage.local import LocalStore
from evcli.storage.memory import MemoryStore
from evcli.tracing import trace


def caused(cause: Any, **meta: Any) -> dict[str, Any]:
    return {"type": "t", "meta": {"cause": cause, **meta}}


def shape(roots: list[Traced]) -> str:
    """Write trees on one line: each event as ``depth:place``, then what is wrong with its cause, ``*`` if asked for."""
    told = [
        f"{depth}:{place_of(each.event)}{f'({each.broken})' if each.broken else ''}{'*' * each.asked}"
        for each, depth, _ in walk(roots)
    ]
    return " ".join(told)


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    log: EventStore = MemoryStore() if request.param == "memory" else LocalStore(str(tmp_path / "store"))
    return Store(log)


def test_a_trace_goes_up_to_the_first_cause_and_down_to_all_that_came_of_it(store: Store) -> None:
    store.append("orders/1", [("order.placed", {}), ("order.seen", {})])
    store.append("orders/2", [("order.placed", {})])
    store.append("payments/1", [caused("orders/1@1")])
    store.append("payments/2", [caused("orders/2@1")])
    store.append("parcels/1", [caused("payments/1@1"), caused("orders/1@1")])
    store.append("orders/1", [caused("parcels/1@1")])
    expected = "0:orders/1@1 1:payments/1@1{} 2:parcels/1@1 3:orders/1@3{} 1:parcels/1@2"
    assert shape(store.trace("payments/1@1")) == expected.format("*", "")
    assert shape(store.trace("orders/1@3")) == expected.format("", "*")
    assert shape(store.trace("orders/1@2")) == "0:orders/1@2*"


def test_a_cause_that_is_not_there_or_none_ends_the_way_up(store: Store) -> None:
    store.append("a", [caused("gone@1"), caused("b@9"), caused("???"), caused(7), caused("a@01")])
    told = [shape(store.trace(f"a@{version}")) for version in range(1, 6)]
    wrong = ["missing", "missing", "malformed", "malformed", "malformed"]
    assert told == [f"0:a@{version}({each})*" for version, each in enumerate(wrong, 1)]


def test_causes_that_go_round_in_a_circle_end(store: Store) -> None:
    store.append("a", [caused("a@1")])
    store.append("b", [caused("c@1")])
    store.append("c", [caused("b@1")])
    assert shape(store.trace("a@1")) == "0:a@1(later)*"
    assert shape(store.trace("c@1")) == "0:b@1(later) 1:c@1*"
    store.append("d", [caused("e@1")])
    store.append("e", [("t", {})])
    assert shape(store.trace("d@1")) == "0:d@1(later)*"
    assert shape(store.trace("e@1")) == "0:e@1*"


def test_names_spelled_with_escapes_are_found(store: Store) -> None:
    store.append("a", [("t", {})])
    spelled = r'{"c\u0061use":"a\u00401","correlation":"T\u002d1"}'
    store.commit([Write("b", [NewEvent("t", meta=spelled)])])
    assert shape(store.trace("a@1")) == "0:a@1* 1:b@1"
    assert shape(store.trace("T-1")) == "0:b@1(outside)"


def test_a_correlation_gives_its_events_as_trees(store: Store) -> None:
    store.append("a", [{"type": "t", "id": "T-1"}, {"type": "t", "meta": {"correlation": "T-1"}}])
    store.append("b", [caused("a@2", correlation="T-1"), caused("a@2", correlation="T-2")])
    store.append("b", [caused("b@2", correlation="T-1"), caused("b@1"), {"type": "t", "data": "T-1"}])
    assert shape(store.trace("T-1")) == "0:a@1 0:a@2 1:b@1 0:b@3(outside)"
    assert shape(store.trace("T-2")) == "0:b@2(outside)"


def test_an_id_gives_all_that_was_stored_under_it(store: Store) -> None:
    for key in ("k", "k#x", "kk", "k#0", "K"):
        store.append(f"a-{key[-1]}{len(key)}", [("t", {}), ("t", {})], id=key)
    assert shape(store.trace("k")) == "0:a-k1@1 0:a-k1@2"
    assert shape(store.trace("k#2")) == "0:a-k1@2"


def test_a_correlation_may_look_like_the_place_of_an_event(store: Store) -> None:
    store.append("a", [{"type": "t", "meta": {"correlation": "job@7"}}, {"type": "t", "meta": {"correlation": "a@1"}}])
    assert shape(store.trace("job@7")) == "0:a@1"
    assert shape(store.trace("a@1")) == "0:a@1*"


def test_what_is_not_there_is_told_with_the_next_step(store: Store) -> None:
    store.append("a", [("t", {}), ("t", {})])
    for what, hint in (
        ("a@3", "a is at version 2"),
        ("b@1", "evcli streams"),
        ("T-9", "evcli log"),
        ("a", "evcli trace a@2"),
        ("\udcff", "evcli log"),
        ("", "evcli log"),
    ):
        with pytest.raises(NotFound, match=re.escape(hint)):
            store.trace(what)


def test_only_what_counts_is_read(store: Store) -> None:
    store.append("a", [("t", {})])
    end = store.head().position
    store.append("b", [caused("a@1", correlation="T-1")])
    assert shape(trace(store.log, "a@1", end=end)) == "0:a@1*"
    assert trace(store.log, "b@1", end=end) == []
    assert trace(store.log, "T-1", end=end) == []


def test_a_trace_of_damaged_history_is_an_error(tmp_path: Path) -> None:
    store = Store(LocalStore(str(tmp_path / "store"), cache=None))
    store.append("a", [("t", {})])
    store.append("b", [caused("a@1"), ("t", "x")])
    path = tmp_path / "store" / "streams" / "b.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"data":"x"', b'"data":"y"'))
    with pytest.raises(EvcliError, match=r"streams/b\.jsonl is damaged"):
        store.trace("a@1")


def test_a_chain_may_be_longer_than_python_can_recurse() -> None:
    store = Store(MemoryStore())
    store.append("a", [{"type": "t"}, *(caused(f"a@{version}") for version in range(1, 5_000))])
    store.append("b", [caused("a@5000"), *(caused(f"b@{version}") for version in range(1, 5_000))])
    [root] = store.trace("b@4999")
    visits = list(walk([root]))
    assert [visit.depth for visit in visits] == list(range(10_000))
    assert [place_of(visit.traced.event) for visit in visits if visit.traced.asked] == ["b@4999"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.tuples(st.sampled_from("abcd"), st.integers(1, 5)))))
def test_a_trace_is_what_one_would_pick_by_hand(history: list[tuple[str, tuple[str, int] | None]]) -> None:
    store, causes = Store(MemoryStore()), dict[str, str | None]()
    for stream, cause in history:
        named = f"{cause[0]}@{cause[1]}" if cause else None
        receipt = store.append(stream, [caused(named) if named else ("t", {})])
        causes[f"{stream}@{receipt.version}"] = named
    order = {place: number for number, place in enumerate(causes)}

    def above(place: str) -> str | None:
        cause = causes[place]
        return cause if cause is not None and order.get(cause, len(order)) < order[place] else None

    def root_of(place: str) -> str:
        while (cause := above(place)) is not None:
            place = cause
        return place

    for asked in causes:
        [root] = store.trace(asked)
        visits = list(walk([root]))
        met = {place_of(visit.traced.event): visit.traced for visit in visits}
        assert set(met) == {place for place in causes if root_of(place) == root_of(asked)}
        assert place_of(root.event) == root_of(asked)
        assert [place for place, traced in met.items() if traced.asked] == [asked]
        for place, traced in met.items():
            assert [place_of(child.event) for child in traced.children] == [p for p in causes if above(p) == place]
