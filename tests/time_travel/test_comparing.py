from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evcli.domain.events import Event
from evcli.domain.patches import changes_between
from evcli.domain.pointers import MISSING, spell_pointer
from evcli.domain.reducers import Evolving, Reducer
from evcli.domain.values import same_json
from evcli.errors import CodeFailed
from evcli.time_travel.comparing import Difference, compare_folds
from evcli.time_travel.extents import Extent
from tests.time_travel.recorded import REDUCERS, STREAM, History, evolving, fold, histories, recorded, reducers


class Batched(Evolving):
    """A reducer that takes three events at once, as a program takes a thousand."""

    batch = 3


def by_brute_force(history: History, old: Reducer, new: Reducer, to: int) -> Difference | None:
    states = [(fold(old, history.events()[:n]), fold(new, history.events()[:n])) for n in range(to + 1)]
    differing = [n for n, pair in enumerate(states) if not same_json(*pair)]
    if not differing:
        return None
    version = differing[0]
    first, *others = changes_between(*states[version])
    values = {"old": first.before, "new": first.after}
    return Difference(
        STREAM,
        version,
        history.events()[version - 1]["type"] if version else None,
        spell_pointer(first.place),
        1 + len(others),
        {name: value for name, value in values.items() if value is not MISSING},
        at_end=to in differing,
    )


def compare(history: History, old: Reducer, new: Reducer, to: int | None = None) -> Difference | None:
    extent = Extent(STREAM, history.version if to is None else to)
    return compare_folds(history.store.log, extent, old, new, end=history.end)


@settings(max_examples=300, deadline=None)
@given(histories, reducers, reducers, st.data())
def test_where_two_folds_part_is_what_brute_force_finds(
    commits: list[list[tuple[str, Any]]], old: Reducer, new: Reducer, data: st.DataObject
) -> None:
    history = recorded(commits)
    to = data.draw(st.integers(0, history.version))
    assert compare(history, old, new, to) == by_brute_force(history, old, new, to)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.integers(1, 41))
def test_reducers_that_take_many_events_at_once_are_compared_by_halving(count: int, wrong: int) -> None:
    history = recorded([[("a", {"n": n}) for n in range(count)]])

    def twice_from_there(state: Any, event: Event) -> Any:
        return state + (2 if event["version"] >= wrong else 1)

    found = compare(history, REDUCERS["count"], Batched(lambda: 0, twice_from_there))
    if wrong > count:
        assert found is None
    else:
        values = {"old": wrong, "new": wrong + 1}
        assert found == Difference(STREAM, wrong, "a", "", 1, values, at_end=True)


@pytest.mark.parametrize("wrong", [1, 2, 37, 90, 91])
def test_large_states_are_compared_by_halving(wrong: int) -> None:
    history = recorded([[("a", "x" * 2000) for _ in range(90)]])
    compared = []

    def with_a_flaw(state: Any, event: Event) -> Any:
        compared.append(event["version"])
        return [*state, event["data"] if event["version"] != wrong else "flaw"]

    found = compare(history, REDUCERS["list"], evolving(with_a_flaw, list))
    assert found is None if wrong > 90 else found is not None and found.version == wrong
    assert len(compared) <= 90 + 20


def test_a_state_that_keeps_a_part_of_an_event_does_not_share_it_with_the_other() -> None:
    history = recorded([[("a", {"l": [1]}), ("b", {})]])

    def keep(state: Any, event: Event) -> Any:
        return state or event["data"]

    def keep_and_change(state: Any, event: Event) -> Any:
        state = keep(state, event)
        if event["type"] == "b":
            state["l"].append(2)
        return state

    found = compare(history, evolving(keep), evolving(keep_and_change))
    assert found == Difference(STREAM, 2, "b", "/l/1", 1, {"new": 2}, at_end=True)


def test_a_state_that_is_not_json_is_the_reducers_fault() -> None:
    history = recorded([[("a", {})]])
    for state in ({1, 2}, float("nan"), object()):
        broken = evolving(partial(lambda made, _state, _event: made, state), lambda: 0)
        with pytest.raises(CodeFailed, match="s@1 is not JSON"):
            compare(history, REDUCERS["count"], broken)
        with pytest.raises(CodeFailed, match="s@1 is not JSON"):
            compare(history, broken, broken)
