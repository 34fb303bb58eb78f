from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evcli.domain.pointers import MISSING, make_way, parse_pointer, resolve, take_away
from evcli.domain.values import copy_json, kind_of, same_json
from evcli.errors import Usage

# RFC 6901, section 5.
RFC_DOCUMENT = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}
RFC_EXAMPLES = [
    ("", RFC_DOCUMENT),
    ("/foo", ["bar", "baz"]),
    ("/foo/0", "bar"),
    ("/", 0),
    ("/a~1b", 1),
    ("/c%d", 2),
    ("/e^f", 3),
    ("/g|h", 4),
    ("/i\\j", 5),
    ('/k"l', 6),
    ("/ ", 7),
    ("/m~0n", 8),
]

scalars: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text("a/~0", max_size=2)
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a/~0", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(("pointer", "expected"), RFC_EXAMPLES)
def test_the_examples_of_the_rfc_resolve(pointer: str, expected: Any) -> None:
    assert resolve(RFC_DOCUMENT, parse_pointer(pointer)) == expected


def test_escapes_are_undone_in_the_order_that_the_rfc_asks_for() -> None:
    assert parse_pointer("/~01") == ("~1",)


@pytest.mark.parametrize("pointer", ["foo", "foo/0", "#/foo", "/~", "/a~2", "/~~0", "/a~/b"])
def test_what_is_no_pointer_is_refused(pointer: str) -> None:
    with pytest.raises(Usage) as caught:
        parse_pointer(pointer)
    assert repr(pointer) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("token", ["2", "-", "-1", "01", "+1", "1.0", "", "\u0660", "9" * 5000])
def test_what_is_no_index_of_an_array_is_missing(token: str) -> None:
    assert resolve(["bar", "baz"], (token,)) is MISSING


@pytest.mark.parametrize("pointer", ["/none", "/none/deeper", "/foo/0/0", "//x"])
def test_what_is_not_there_is_missing(pointer: str) -> None:
    assert resolve(RFC_DOCUMENT, parse_pointer(pointer)) is MISSING


def test_null_is_not_missing() -> None:
    assert resolve({"a": None}, ("a",)) is None
    assert resolve({"a": None}, ("a", "b")) is MISSING


@given(values)
def test_every_place_of_a_value_resolves_to_what_is_there(value: Any) -> None:
    def check(here: Any, pointer: str) -> None:
        assert resolve(value, parse_pointer(pointer)) is here
        members = here.items() if isinstance(here, dict) else enumerate(here) if isinstance(here, list) else ()
        for name, member in members:
            check(member, f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}")

    check(value, "")


def test_a_way_is_made_of_objects() -> None:
    state: dict[str, Any] = {}
    holder, key = make_way(state, ("a", "0", "c"))
    assert (state, key) == ({"a": {"0": {}}}, "c")
    assert holder is state["a"]["0"]


def test_a_way_leads_through_the_elements_of_an_array() -> None:
    state = {"items": [{"qty": 1}, {"qty": 2}]}
    assert make_way(state, ("items", "1", "qty")) == ({"qty": 2}, "qty")
    assert make_way(state, ("items", "0")) == (state["items"], 0)


@pytest.mark.parametrize(
    ("state", "tokens", "problem"),
    [
        (3, ("qty",), "there can be nothing at 'qty', because the state is a number"),
        ({"last": "x"}, ("last", "at"), "there can be nothing at 'last/at', because 'last' is a string"),
        ({"a/b": None}, ("a/b", "at"), "there can be nothing at 'a~1b/at', because 'a~1b' is null"),
        ({"items": [1]}, ("items", "1"), "there can be nothing at 'items/1', because 'items' is an array of 1"),
        ({"items": [1]}, ("items", "-"), "there can be nothing at 'items/-', because 'items' is an array of 1"),
        ({"items": [1]}, ("items", "x", "y"), "there can be nothing at 'items/x/y', because 'items' is an array of 1"),
    ],
)
def test_a_way_through_something_else_is_refused(state: Any, tokens: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ValueError, match="there can be nothing") as caught:
        make_way(state, tokens)
    assert str(caught.value) == problem


def test_taking_away_removes_a_member_and_keeps_the_places_of_elements() -> None:
    state = {"a": {"b": 1, "c": 2}, "items": [1, 2, 3]}
    take_away(state, ("a", "b"))
    take_away(state, ("items", "1"))
    assert state == {"a": {"c": 2}, "items": [1, None, 3]}


@pytest.mark.parametrize("tokens", [("x",), ("x", "y"), ("n", "y"), ("items", "9"), ("items", "-")])
def test_taking_away_what_is_not_there_changes_nothing(tokens: tuple[str, ...]) -> None:
    state = {"n": 1, "items": [1]}
    take_away(state, tokens)
    assert state == {"n": 1, "items": [1]}


@given(values)
def test_a_copy_is_the_same_and_shares_nothing_that_can_change(value: Any) -> None:
    def containers(here: Any) -> set[int]:
        inner = here.values() if isinstance(here, dict) else here if isinstance(here, list) else None
        return set() if inner is None else {id(here)}.union(*map(containers, inner))

    copy = copy_json(value)
    assert same_json(copy, value)
    assert not containers(copy) & containers(value)


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), ({"a": 1, "b": [0]}, {"b": [0.0], "a": 1.0}), (None, None), ("", ""), (True, True)]
)
def test_values_that_are_the_same_json(one: Any, other: Any) -> None:
    assert same_json(one, other)
    assert same_json(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (0, False), (0, None), ("1", 1), ([1], [True]), ([1], [1, 2]), ({"a": 0}, {"a": False}), ({}, [])],
)
def test_values_that_are_not_the_same_json(one: Any, other: Any) -> None:
    assert not same_json(one, other)
    assert not same_json(other, one)


def test_an_object_is_not_the_same_as_one_with_other_members() -> None:
    assert not same_json({"a": 1}, {"b": 1})
    assert not same_json({"a": None}, {})


def test_kinds_are_named_in_words() -> None:
    named: list[Any] = [{}, [], "", 0, 0.5, True, None, b""]
    assert [kind_of(value) for value in named] == [
        "an object",
        "an array",
        "a string",
        "a number",
        "a number",
        "true or false",
        "null",
        "a bytes, which is not JSON",
    ]
