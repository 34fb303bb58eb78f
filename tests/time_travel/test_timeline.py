"""States at any version, forwards and backwards, are those of a plain fold; and a diff of two is a patch."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evcli.domain.patches import apply_patch, to_operation
from evcli.domain.reducers import Evolving
from evcli.domain.values import copy_json, same_json
from evcli.errors import CodeFailed
from evcli.read_side.states import query_state
from evcli.time_travel.differing import Side, changes_between_states
from tests.read_side.test_states import Folder
from tests.time_travel.histories import REDUCERS, Counted, fill, histories, open_store, reducers, states, timeline

pytestmark = pytest.mark.usefixtures("tight_ladder")
EXAMPLES = settings(max_examples=40, deadline=None)
asked_before = st.lists(st.integers(0, 30), max_size=4)
"""Versions at which the state was queried, and so cached, beforehand."""


def warm(store: Any, folder: Any, definition: Counted, asked: list[int]) -> None:
    for to in asked:
        query_state(store.log, "s", definition, str(folder / "cache"), end=store.head().position, to=to)


@EXAMPLES
@given(histories, reducers, asked_before, st.lists(st.integers(0, 30), min_size=1, max_size=5))
def test_the_state_at_a_version_is_the_fold_up_to_it(
    commits: Any, name: str, cached: list[int], versions: list[int]
) -> None:
    with Folder() as folder:
        store = open_store(folder)
        expected = states(REDUCERS[name], fill(store, commits))
        warm(store, folder, Counted(name), cached)
        line = timeline(store, folder, Counted(name))
        for version in versions:
            version = min(version, line.version)  # noqa: PLW2901
            assert line.state_at(version) == expected[version]


@EXAMPLES
@given(histories, reducers, asked_before, st.integers(0, 30), st.integers(0, 30))
def test_steps_lead_from_one_version_to_another(
    commits: Any, name: str, cached: list[int], one: int, other: int
) -> None:
    with Folder() as folder:
        store = open_store(folder)
        expected = states(REDUCERS[name], fill(store, commits))
        warm(store, folder, Counted(name), cached)
        line = timeline(store, folder, Counted(name))
        found = [(step.event["version"], copy_json(step.state)) for step in line.steps(one, other)]
        wanted = range(one + 1, min(other, line.version) + 1)
        assert found == [(version, expected[version]) for version in wanted]


@EXAMPLES
@given(histories, reducers, asked_before, st.integers(0, 30))
def test_stretches_backwards_are_all_of_the_stream_once(commits: Any, name: str, cached: list[int], to: int) -> None:
    with Folder() as folder:
        store = open_store(folder)
        expected = states(REDUCERS[name], fill(store, commits))
        warm(store, folder, Counted(name), cached)
        line = timeline(store, folder, Counted(name))
        to = min(to, line.version)
        below = to
        for stretch in line.stretches_back(to):
            assert stretch.state == expected[stretch.version]
            found = [(step.event["version"], copy_json(step.state)) for step in stretch.steps]
            assert found == [(version, expected[version]) for version in range(stretch.version + 1, below + 1)]
            below = stretch.version
        assert below == 0


@EXAMPLES
@given(histories, reducers, asked_before, st.integers(0, 30), st.integers(0, 30))
def test_the_diff_of_two_versions_applied_to_the_one_gives_the_other(
    commits: Any, name: str, cached: list[int], one: int, other: int
) -> None:
    with Folder() as folder:
        store = open_store(folder)
        expected = states(REDUCERS[name], fill(store, commits))
        warm(store, folder, Counted(name), cached)
        line = timeline(store, folder, Counted(name))
        one, other = min(one, line.version), min(other, line.version)
        patch = [to_operation(change) for change in changes_between_states(Side(line, one), Side(line, other))]
        assert same_json(apply_patch(expected[one], patch), expected[other])


@EXAMPLES
@given(histories, histories, reducers)
def test_the_diff_of_two_streams_applied_to_the_one_gives_the_other(first: Any, second: Any, name: str) -> None:
    with Folder() as folder:
        store = open_store(folder)
        events = fill(store, first), fill(store, second, "other")
        one, other = (timeline(store, folder, Counted(name), stream) for stream in ("s", "other"))
        sides = Side(one, one.version), Side(other, other.version)
        patch = [to_operation(change) for change in changes_between_states(*sides)]
        before, after = (states(REDUCERS[name], found)[-1] for found in events)
        assert same_json(apply_patch(before, patch), after)


def test_a_snapshot_of_another_history_is_passed_over(tmp_path: Any) -> None:
    store = open_store(tmp_path)
    fill(store, [[{"a": number}] for number in range(8)])
    warm(store, tmp_path, Counted("merge"), [8])
    (tmp_path / "store").rename(tmp_path / "before")
    other = open_store(tmp_path)
    fill(other, [[{"b": number}] for number in range(9)])
    (tmp_path / "store" / "store.json").write_bytes((tmp_path / "before" / "store.json").read_bytes())
    line = timeline(open_store(tmp_path), tmp_path, Counted("merge"))
    assert line.rungs
    assert line.state_at(9) == {"b": 8}
    assert [stretch.version for stretch in line.stretches_back(9)] == [0]


def test_a_state_that_is_not_json_is_an_error_that_names_the_version(tmp_path: Any) -> None:
    store = open_store(tmp_path)
    fill(store, [[{"a": 1}]])
    definition = Counted("set", Evolving(dict, lambda _state, _event: {"tags": {"x"}}))
    with pytest.raises(CodeFailed, match="the state of s@1 is not JSON"):
        timeline(store, tmp_path, definition).state_at(1)
