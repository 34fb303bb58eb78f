"""`why` names the event that is found by looking at every state, and `blame` does so for each leaf."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evcli.domain.pointers import MISSING, resolve
from evcli.domain.reducers import Evolving
from evcli.domain.values import Json, same_json
from evcli.errors import CodeFailed
from evcli.time_travel.blaming import all_causes, blame, last_cause, leaves_of
from tests.read_side.test_states import Folder
from tests.time_travel.histories import (
    REDUCERS,
    Counted,
    fill,
    histories,
    names,
    open_store,
    reducers,
    states,
    timeline,
)
from tests.time_travel.test_timeline import asked_before, warm

pytestmark = pytest.mark.usefixtures("tight_ladder")
EXAMPLES = settings(max_examples=40, deadline=None)
places = st.sampled_from([(), ("n",), ("list",), ("list", "0"), ("kept", "from"), ("0",), ("nowhere",)]) | st.lists(
    names, min_size=1, max_size=2
).map(tuple)


def by_hand(found: list[Json], place: tuple[str, ...], to: int) -> list[tuple[int, Json, Json]]:
    """Return version, before and after of every change at a place, by looking at all states."""
    values = [resolve(state, place) for state in found[: to + 1]]
    pairs = enumerate(pairwise([MISSING, *values]))
    return [(version, before, after) for version, (before, after) in pairs if not same_json(before, after)]


@EXAMPLES
@given(histories, reducers, asked_before, places, st.integers(0, 30), st.sampled_from([1, 1000]))
def test_the_last_cause_of_a_place_is_the_one_found_by_hand(
    commits: Any, name: str, cached: list[int], place: tuple[str, ...], to: int, batch: int
) -> None:
    with Folder() as folder:
        store = open_store(folder)
        events = fill(store, commits)
        to = min(to, len(events))
        expected = by_hand(states(REDUCERS[name], events), place, to)
        warm(store, folder, Counted(name), cached)
        definition = Counted(name)
        definition.batch = batch
        found = last_cause(timeline(store, folder, definition), place, to)
        if not expected:
            assert found is None
            return
        assert found is not None
        assert (found.version, found.before, found.after) == expected[-1]
        assert (found.line is None) == (found.version == 0)


@EXAMPLES
@given(histories, reducers, asked_before, places, st.integers(0, 30))
def test_all_causes_of_a_place_are_those_found_by_hand(
    commits: Any, name: str, cached: list[int], place: tuple[str, ...], to: int
) -> None:
    with Folder() as folder:
        store = open_store(folder)
        events = fill(store, commits)
        to = min(to, len(events))
        expected = by_hand(states(REDUCERS[name], events), place, to)
        warm(store, folder, Counted(name), cached)
        found = all_causes(timeline(store, folder, Counted(name)), place, to)
        assert [(cause.version, cause.before, cause.after) for cause in found] == expected


@EXAMPLES
@given(histories, reducers, asked_before, st.integers(0, 30))
def test_blame_names_for_each_leaf_what_why_names(commits: Any, name: str, cached: list[int], to: int) -> None:
    with Folder() as folder:
        store = open_store(folder)
        events = fill(store, commits)
        to = min(to, len(events))
        expected = states(REDUCERS[name], events)
        warm(store, folder, Counted(name), cached)
        leaves = blame(timeline(store, folder, Counted(name)), (), to)
        assert [(leaf.place, leaf.value) for leaf in leaves] == list(leaves_of(expected[to], ()))
        for leaf in leaves:
            assert leaf.version == by_hand(expected, leaf.place, to)[-1][0], leaf


def test_what_stays_where_an_array_gives_way_to_an_object_is_not_blamed_on_that(tmp_path: Any) -> None:
    store = open_store(tmp_path)
    fill(store, [[{"a": ["kept"]}], [{"a": {"0": "kept", "1": "new"}}]])
    # RFC 7396 merges an object into what is none by beginning anew.
    leaves = blame(timeline(store, tmp_path, Counted("merge")), (), 2)
    assert [(leaf.place, leaf.version) for leaf in leaves] == [(("a", "0"), 1), (("a", "1"), 2)]


def test_a_place_below_a_leaf_narrows_what_is_blamed(tmp_path: Any) -> None:
    store = open_store(tmp_path)
    fill(store, [[{"a": {"x": 1, "y": []}, "b": 2}]])
    line = timeline(store, tmp_path, Counted("merge"))
    assert [leaf.place for leaf in blame(line, ("a",), 1)] == [("a", "x"), ("a", "y")]
    assert blame(line, ("c",), 1) == []


def test_a_value_that_came_and_went_between_two_snapshots_is_found(tmp_path: Any) -> None:
    store = open_store(tmp_path)
    fill(store, [[{"a": 1}], [{"a": 2}, {"a": 1}], [{"b": 1}], [{"b": 2}]])
    warm(store, tmp_path, Counted("merge"), [5])
    found = last_cause(timeline(store, tmp_path, Counted("merge")), ("a",), 5)
    assert found is not None
    assert (found.version, found.before, found.after) == (3, 2, 1)


def test_a_value_that_is_not_json_is_an_error(tmp_path: Any) -> None:
    store = open_store(tmp_path)
    fill(store, [[{"a": 1}]])
    definition = Counted("nan", Evolving(dict, lambda _state, _event: {"at": float("nan")}))
    with pytest.raises(CodeFailed, match="not JSON"):
        last_cause(timeline(store, tmp_path, definition), ("at",), 1)


def test_a_state_that_is_not_json_on_the_way_cannot_be_blamed(tmp_path: Any) -> None:
    store = open_store(tmp_path)
    fill(store, [[{"a": 1}, {"a": 2}]])
    definition = Counted("set", Evolving(dict, lambda _state, event: {"a": 1 if event["version"] == 2 else {"x"}}))
    with pytest.raises(CodeFailed, match="the state of s@1 is not JSON"):
        blame(timeline(store, tmp_path, definition), (), 2)


def test_a_reducer_that_takes_many_at_once_is_given_few_alone() -> None:
    with Folder() as folder:
        store = open_store(folder)
        fill(store, [[{"n": number, "old": 1} for number in range(1500)]])
        definition = Counted("merge")
        definition.batch = 1000
        found = last_cause(timeline(store, folder, definition), ("n",), 1500)
        assert found is not None
        assert (found.version, definition.alone) == (1500, 16)
