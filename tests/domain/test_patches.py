from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evcli.domain.patches import Change, Operation, apply_patch, changes_between, make_patch, to_operation
from evcli.domain.pointers import MISSING, parse_pointer, resolve, spell_pointer
from evcli.domain.values import copy_json, same_json

names = st.text("a/~0", max_size=2)
scalars: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from([0.0, 1.0, 0.5]) | st.text("a/~0", max_size=2)
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=10,
)


@given(values, values)
@example({"a": 1}, {"a": True})
@example([1, 2, 3], [1])
@example({"": {"": []}}, {"": {"": [[], {}]}})
def test_the_patch_of_two_values_turns_the_one_into_the_other(before: Any, after: Any) -> None:
    kept = copy_json(before)
    assert same_json(apply_patch(before, make_patch(before, after)), after)
    assert same_json(before, kept)


@given(values | st.just(MISSING), values | st.just(MISSING))
def test_what_is_not_there_can_be_added_and_removed_as_a_whole(before: Any, after: Any) -> None:
    made = apply_patch(before, make_patch(before, after))
    assert made is MISSING if after is MISSING else same_json(made, after)


@given(values, values)
def test_a_change_names_what_is_there_before_and_after(before: Any, after: Any) -> None:
    for place, old, new in changes_between(before, after):
        assert resolve(before, place) is old
        assert resolve(after, place) is new


@given(values, values)
def test_no_change_lies_within_another(before: Any, after: Any) -> None:
    places = sorted(change.place for change in changes_between(before, after))
    assert not any(later[: len(place)] == place for place, later in pairwise(places))


@given(values, values)
def test_there_is_no_change_between_values_that_are_the_same_and_only_there(before: Any, after: Any) -> None:
    assert (not make_patch(before, after)) == same_json(before, after)


@given(values, values)
def test_what_is_changed_back_is_as_it_was(before: Any, after: Any) -> None:
    there_and_back = [*make_patch(before, after), *make_patch(after, before)]
    assert same_json(apply_patch(before, there_and_back), before)


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        (1, 2, [{"op": "replace", "path": "", "value": 2}]),
        (1, 1.0, []),
        (1, True, [{"op": "replace", "path": "", "value": True}]),
        ({"a": 0}, {"a": False}, [{"op": "replace", "path": "/a", "value": False}]),
        ({"a": None}, {}, [{"op": "remove", "path": "/a"}]),
        ({}, {"a/b": {"c": 1}}, [{"op": "add", "path": "/a~1b", "value": {"c": 1}}]),
        ({"m~n": 1}, {"m~n": 2}, [{"op": "replace", "path": "/m~0n", "value": 2}]),
        ({"": {"": 1}}, {"": {"": 2}}, [{"op": "replace", "path": "//", "value": 2}]),
        ([1, 2, 3], [9], [
            {"op": "replace", "path": "/0", "value": 9}, {"op": "remove", "path": "/2"}, {"op": "remove", "path": "/1"},
        ]),
        ([1], [1, 2, 3], [{"op": "add", "path": "/1", "value": 2}, {"op": "add", "path": "/2", "value": 3}]),
        ({"a": [1]}, {"a": {"0": 1}}, [{"op": "replace", "path": "/a", "value": {"0": 1}}]),
    ],
)  # fmt: skip
def test_a_patch_has_the_operations_that_rfc_6902_has_words_for(before: Any, after: Any, patch: Any) -> None:
    assert make_patch(before, after) == patch


def test_an_operation_in_an_array_makes_room_or_closes_the_gap() -> None:
    patch: list[Operation] = [
        {"op": "add", "path": "/a/1", "value": "qux"},
        {"op": "remove", "path": "/a/0"},
        {"op": "add", "path": "/a/-", "value": 3},
    ]
    assert apply_patch({"a": ["bar", "baz"]}, patch) == {"a": ["qux", "baz", 3]}


@pytest.mark.parametrize(
    ("operation", "complaint"),
    [
        ({"op": "move", "from": "/a", "path": "/b"}, "'move'"),
        ({"op": "remove", "path": "/b"}, "nothing at '/b' to remove"),
        ({"op": "replace", "path": "/a/3", "value": 1}, "nothing at '/a/3' to replace"),
        ({"op": "remove", "path": "/a/-"}, "nothing at '/a/-' to remove"),
        ({"op": "add", "path": "/a/3", "value": 1}, "nothing can be added at '/a/3'"),
        ({"op": "add", "path": "/a/x", "value": 1}, "nothing can be added at '/a/x'"),
        ({"op": "add", "path": "/a/0/x", "value": 1}, "nothing can be added at '/a/0/x'"),
        ({"op": "add", "path": "/b/c", "value": 1}, "nothing can be added at '/b/c'"),
    ],
)
def test_an_operation_that_cannot_be_carried_out_is_refused(operation: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        apply_patch({"a": [1, 2]}, [operation])


def test_a_patch_never_shares_what_it_puts_in() -> None:
    value: dict[str, Any] = {}
    patch: list[Operation] = [{"op": "add", "path": "/a", "value": value}, {"op": "add", "path": "/a/b", "value": 1}]
    assert apply_patch({}, patch) == {"a": {"b": 1}}
    assert value == {}


def test_an_operation_says_in_one_word_what_a_change_is() -> None:
    assert to_operation(Change(("a",), MISSING, None)) == {"op": "add", "path": "/a", "value": None}
    assert to_operation(Change(("a",), None, MISSING)) == {"op": "remove", "path": "/a"}


@given(st.lists(names))
def test_a_pointer_is_spelled_as_it_is_read(tokens: list[str]) -> None:
    assert parse_pointer(spell_pointer(tokens)) == tuple(tokens)
