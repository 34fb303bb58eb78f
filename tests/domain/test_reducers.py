from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evcli.domain.events import Event
from evcli.domain.reducers import BUILT_IN, Evolving, Reducer, first_match, merge_patch
from evcli.errors import CodeFailed, Damaged

# RFC 7396, appendix A: original, patch, result.
RFC_EXAMPLES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=1)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def event(data: Any = None, *, kind: str = "thing.happened", version: int = 1) -> Event:
    return {
        "position": version,
        "stream": "accounts/ann",
        "version": version,
        "time": f"2026-11-23T08:00:00.{version:06}Z",
        "type": kind,
        "data": data,
    }


def events(*data: Any) -> list[Event]:
    return [event(each, version=version) for version, each in enumerate(data, 1)]


def state_of(reducer: Reducer, *data: Any) -> Any:
    return reducer.fold(reducer.initial(), events(*data))


def merge_patch_of_the_rfc(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2, word for word."""
    if isinstance(patch, dict):
        if not isinstance(target, dict):
            target = {}
        for name, value in patch.items():
            if value is None:
                if name in target:
                    del target[name]
            else:
                target[name] = merge_patch_of_the_rfc(target.get(name), value)
        return target
    return patch


@pytest.mark.parametrize(("original", "patch", "result"), RFC_EXAMPLES)
def test_the_examples_of_the_rfc_merge(original: Any, patch: Any, result: Any) -> None:
    assert merge_patch(deepcopy(original), patch) == result


@given(values, st.lists(values, max_size=4))
def test_merging_follows_the_pseudo_code_of_the_rfc_and_leaves_the_patches_alone(
    start: Any, patches: list[Any]
) -> None:
    given_patches = deepcopy(patches)
    expected, merged = deepcopy(start), deepcopy(start)
    for patch in patches:
        expected = merge_patch_of_the_rfc(expected, deepcopy(patch))
        merged = merge_patch(merged, patch)
    assert repr(merged) == repr(expected)  # the order of members and the types of numbers too
    assert repr(patches) == repr(given_patches)


def test_merge_is_a_merge_patch_of_each_events_data() -> None:
    assert state_of(BUILT_IN["merge"]) == {}
    assert state_of(BUILT_IN["merge"], {"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}}) == {"b": {"c": 2, "d": 3}}


def test_count_counts() -> None:
    assert state_of(BUILT_IN["count"]) == 0
    assert state_of(BUILT_IN["count"], 1, None, {}) == 3


def test_last_is_the_last_data() -> None:
    assert state_of(BUILT_IN["last"]) is None
    assert state_of(BUILT_IN["last"], {"a": 1}, {"b": 2}) == {"b": 2}


def test_list_is_all_data_in_order() -> None:
    assert state_of(BUILT_IN["list"]) == []
    assert state_of(BUILT_IN["list"], 1, None, [2]) == [1, None, [2]]


@pytest.mark.parametrize("name", BUILT_IN)
@given(data=st.lists(values, max_size=6), cut=st.integers(0, 6))
def test_folding_in_two_parts_is_folding_at_once_and_changes_no_event(name: str, data: list[Any], cut: int) -> None:
    history = events(*data)
    untouched = deepcopy(history)
    reducer = BUILT_IN[name]
    whole = reducer.fold(reducer.initial(), history)
    part = deepcopy(reducer.fold(reducer.initial(), history[:cut]))
    assert reducer.fold(part, history[cut:]) == whole
    assert history == untouched


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_fold_begins_with_an_initial_state_of_its_own(name: str) -> None:
    assert state_of(BUILT_IN[name], {"a": 1}) == state_of(BUILT_IN[name], {"a": 1})


def test_an_initial_state_is_copied() -> None:
    shared: dict[str, list[int]] = {"seen": []}
    reducer = Evolving(lambda: shared, lambda state, _event: state)
    reducer.initial()["seen"].append(1)
    assert reducer.initial() == {"seen": []}


def kinds_seen(types: tuple[str, ...] | None) -> list[str]:
    reducer = Evolving(list, lambda state, event: [*state, event["type"]], types)
    history = [event(kind=kind) for kind in ("item.received", "item.sold", "order.placed", "item", "item.sold")]
    seen: list[str] = reducer.fold(reducer.initial(), history)
    return seen


def test_only_events_of_the_declared_types_reach_evolve() -> None:
    assert kinds_seen(None) == ["item.received", "item.sold", "order.placed", "item", "item.sold"]
    assert kinds_seen(("item.sold", "order.*")) == ["item.sold", "order.placed", "item.sold"]
    assert kinds_seen(("item.*",)) == ["item.received", "item.sold", "item.sold"]
    assert kinds_seen(()) == []


def test_the_first_entry_that_matches_a_type_is_found() -> None:
    find = first_match({"item.sold": 1, "item.*": 2, "*": 3})
    assert [find(kind) for kind in ("item.sold", "item.received", "order.placed", "item.sold")] == [1, 2, 3, 1]
    assert first_match({"item.*": 1})("order.placed") is None


def test_a_failure_names_the_event_its_type_and_the_exception() -> None:
    reducer = Evolving(int, lambda state, event: state + event["data"]["amount"])
    with pytest.raises(CodeFailed) as caught:
        state_of(reducer, {"amount": 1}, {"amount": 2}, {"sum": 3})
    assert caught.value.message == "the reducer failed on accounts/ann@3 (thing.happened): KeyError: 'amount'"
    assert "evcli log accounts/ann@3" in caught.value.hint
    assert caught.value.facts == {"stream": "accounts/ann", "version": 3, "position": 3}
    assert isinstance(caught.value.__cause__, KeyError)


def failing_with(error: BaseException) -> Evolving:
    def evolve(_state: Any, _event: Event) -> Any:
        raise error

    return Evolving(int, evolve)


def test_a_failure_is_one_line_however_many_the_exception_has() -> None:
    with pytest.raises(CodeFailed) as caught:
        state_of(failing_with(ValueError("no\n  such\tthing\n" + "x" * 5000)), 1)
    assert "ValueError: no such thing xxx" in caught.value.message
    assert len(caught.value.message) < 500
    with pytest.raises(CodeFailed, match=r": ValueError;"):
        state_of(failing_with(ValueError()), 1)


def test_a_reducer_that_exits_has_failed() -> None:
    with pytest.raises(CodeFailed, match="SystemExit: 0"):
        state_of(failing_with(SystemExit(0)), 1)


def test_an_interrupt_passes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        state_of(failing_with(KeyboardInterrupt()), 1)


def test_an_error_while_reading_is_not_the_reducers() -> None:
    def reading() -> Iterator[Event]:
        yield event()
        raise Damaged("streams/a.jsonl", 7, "a hole")

    for reducer in (BUILT_IN["count"], Evolving(int, lambda state, _event: state, ("*",))):
        with pytest.raises(Damaged):
            reducer.fold(0, reading())
