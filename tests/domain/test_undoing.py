"""Undoing as rules declare it: which event compensates one, made of it and of the states before it and now."""

from typing import Any

import pytest

from evcli.domain.events import Event
from evcli.domain.rules import BadRule
from evcli.domain.undoing import compile_undo

EVENT: Event = {
    "position": 7,
    "stream": "inventory/lamp",
    "version": 3,
    "time": "2026-11-23T08:00:00.000000Z",
    "type": "item.received",
    "data": {"qty": 4, "from": "Harlow"},
}


def undo(table: dict[str, Any], *, before: Any = None, now: Any = None) -> Any:
    return compile_undo(table)(EVENT, before, now)


def test_the_first_type_or_glob_that_matches_says_which_event_compensates() -> None:
    table = {"item.received": {"type": "item.returned", "data": {"qty": "/data/qty"}}, "item.*": {"type": "other"}}
    assert undo(table) == [{"type": "item.returned", "data": {"qty": 4}}]
    assert undo({"item.*": {"type": "other"}}) == [{"type": "other"}]
    assert undo({"order.*": {"type": "other"}}) is None


def test_a_number_may_be_negated_and_values_may_come_from_the_states_before_and_now() -> None:
    data = {"qty": {"negate": "/data/qty"}, "was": "/before/qty", "is": {"now": "/now/qty"}, "why": {"literal": "/x"}}
    found = undo({"*": {"type": "fixed", "data": data, "meta": {"of": "/stream"}}}, before={"qty": 1}, now={"qty": 9})
    assert found == [
        {
            "type": "fixed",
            "data": {"qty": -4, "was": 1, "is": {"now": 9}, "why": "/x"},
            "meta": {"of": "inventory/lamp"},
        }
    ]


def test_what_a_pointer_does_not_find_is_left_out() -> None:
    assert undo({"*": {"type": "fixed", "data": {"a": "/data/none", "b": 1}}}) == [{"type": "fixed", "data": {"b": 1}}]
    assert undo({"*": {"type": "fixed", "data": {"a": {"negate": "/data/none"}}}}) == [{"type": "fixed", "data": {}}]


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("item.returned", "it says which event"),
        ({"data": {}}, "it says which event"),
        ({"type": "x", "id": "1"}, "no such key"),
        ({"type": "x", "data": {"qty": "/qty"}}, 'perhaps it is "/data/qty"'),
        ({"type": "x", "data": {"qty": {"negate": "/qty"}}}, 'perhaps it is "/data/qty"'),
    ],
)
def test_a_wrong_definition_says_where(definition: Any, said: str) -> None:
    with pytest.raises(BadRule) as found:
        compile_undo({"item.received": definition})
    assert found.value.key.startswith('"item.received"')
    assert said in found.value.problem


def test_only_numbers_are_negated() -> None:
    with pytest.raises(ValueError, match="not a string"):
        undo({"*": {"type": "x", "data": {"a": {"negate": "/data/from"}}}})
