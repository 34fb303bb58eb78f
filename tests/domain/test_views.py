from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evcli.domain.events import Event
from evcli.domain.rules import BadRule, compile_rules
from evcli.domain.values import copy_json
from evcli.domain.views import EvolvingRows, check_keys, key_at
from evcli.errors import CodeFailed, Usage

ON = {
    "received": {"inc": {"qty": "/data/qty"}, "set": {"last/at": "/time"}},
    "listed": {"push": {"l": "/data/qty"}, "set": {"last": "/data"}},
    "cleared": "reset",
    "retired": "delete",
}


def stock() -> EvolvingRows:
    rules = compile_rules({"initial": {"l": []}, "on": ON}, of_rows=True)
    return EvolvingRows(key_at("/data/sku"), lambda: copy_json(rules.make_initial()), rules.evolve, rules.types)


def event(data: Any, kind: str = "received", position: int = 1) -> Event:
    time = f"2026-11-23T08:00:00.{position:06}Z"
    return {"position": position, "stream": "items/a", "version": position, "time": time, "type": kind, "data": data}


def fold(reducer: EvolvingRows, rows: dict[str, Any], events: list[Event]) -> dict[str, Any]:
    """Fold as a view does: with the rows that the changes name, None where there is none."""
    changes = reducer.changes(events)
    after = rows | {key: rows.get(key) for _, keys in changes for key in keys}
    reducer.fold(after, changes)
    return {key: row for key, row in after.items() if row is not None}


def by_hand(events: list[Event]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for each in events:
        data, kind = each["data"], each["type"]
        for key in dict.fromkeys(data["sku"] if isinstance(data["sku"], list) else [data["sku"]]):
            if kind == "retired":
                rows.pop(key, None)
            elif kind == "cleared":
                rows[key] = {"l": []}
            elif kind in ON:
                row = rows.setdefault(key, {"l": []})
                if kind == "received":
                    row["qty"] = row.get("qty", 0) + data["qty"]
                    row["last"] = {**row.get("last", {}), "at": each["time"]}
                else:
                    row["l"].append(data["qty"])
                    row["last"] = deepcopy(data)
    return rows


skus = st.sampled_from("ABC") | st.lists(st.sampled_from("ABC"), max_size=3)
histories = st.lists(
    st.tuples(st.sampled_from([*ON, "ignored"]), st.fixed_dictionaries({"sku": skus, "qty": st.integers(-3, 3)})),
    max_size=25,
)


@given(histories, st.sets(st.integers(1, 25)))
def test_folding_in_any_batches_is_folding_at_once_and_by_hand(history: list[tuple[str, Any]], cuts: set[int]) -> None:
    events = [event(data, kind, position) for position, (kind, data) in enumerate(history, 1)]
    untouched = deepcopy(events)
    ends = [0, *sorted(cuts), len(events)]
    rows: dict[str, Any] = {}
    for start, end in pairwise(ends):
        rows = fold(stock(), rows, events[start:end])
    assert rows == fold(stock(), {}, events) == by_hand(events)
    assert events == untouched


def test_changes_are_the_events_that_concern_a_row() -> None:
    events = [event({"sku": "A"}), event({"sku": "B"}, "ignored"), event({}), event({"sku": None}), event({"sku": []})]
    [change] = stock().changes(events)
    assert change == (events[0], ("A",))


@pytest.mark.parametrize(
    ("found", "keys"),
    [
        ("A", ("A",)),
        ("", ("",)),
        ("ключ", ("ключ",)),
        (7, ("7",)),
        (-(2**63), ("-9223372036854775808",)),
        (None, ()),
        ([], ()),
        (["B", 1, "B", "1"], ("B", "1")),
        (("A", "B"), ("A", "B")),
        (frozenset({"A"}), ("A",)),
        ({3}, ("3",)),
    ],
)
def test_what_is_found_gives_keys(found: Any, keys: tuple[str, ...]) -> None:
    assert check_keys(found) == keys


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (1.0, r"not 1\.0"),
        (True, "not true or false"),
        ({"a": 1}, "not an object"),
        ([None], "not null"),
        ([["A"]], "not an array"),
        (b"A", "not a bytes"),
        ("A\udc80", "lone surrogate"),
        (["A", "\ud800"], "lone surrogate"),
    ],
)
def test_what_can_be_no_key_is_told(found: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        check_keys(found)


def test_a_key_is_a_pointer_into_the_event_or_its_stream() -> None:
    given_event = event({"sku": {"a/b": ["x", 5]}})
    assert key_at("stream")(given_event) == "items/a"
    assert key_at("/data/sku/a~1b/1")(given_event) == 5
    assert key_at("/meta/actor")(given_event) is None
    for wrong in ("", "sku", "/", "/sku", "/data/~", "streams"):
        with pytest.raises(Usage):
            key_at(wrong)


def test_a_failure_names_the_event_and_what_failed() -> None:
    poison = event({"sku": "A", "qty": "many"}, position=7)
    with pytest.raises(CodeFailed, match=r"the view failed on items/a@7 \(received\): .*inc takes a number") as caught:
        fold(stock(), {}, [event({"sku": "A", "qty": 1}), poison])
    assert caught.value.facts == {"stream": "items/a", "version": 7, "position": 7}
    with pytest.raises(CodeFailed, match=r"the view's key failed on items/a@8 \(received\): .*not 1\.5") as caught:
        fold(stock(), {}, [event({"sku": 1.5}, position=8)])
    assert caught.value.facts == {"stream": "items/a", "version": 8, "position": 8}


def test_only_rows_can_be_deleted() -> None:
    with pytest.raises(BadRule, match="removes a row of a view"):
        compile_rules({"on": {"e": "delete"}})
    with pytest.raises(BadRule, match='or "reset" or "delete"'):
        compile_rules({"on": {"e": "remove"}}, of_rows=True)
