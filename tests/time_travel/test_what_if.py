from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evcli.domain.reducers import BUILT_IN, Reducer
from evcli.errors import NotFound, Refused, Usage
from evcli.replay import replay_stream
from evcli.storage.codec import new_event
from evcli.time_travel.what_if import Insertion, Setting, Supposition, VersionRange, supposed_events
from tests.time_travel.recorded import STREAM, TYPES, History, evolving, fold, histories, recorded, reducers

PROPERTY = settings(max_examples=100, deadline=None)
MEMBERS = evolving(lambda state, event: [*state, event], list)


def supposed(history: History, reducer: Reducer, supposition: Supposition, to: int | None = None) -> Any:
    version = history.version if to is None else to
    events = supposed_events(history.store.log, STREAM, supposition, end=history.end, to=version)
    return reducer.fold(reducer.initial(), events)


def one(number: int) -> VersionRange:
    return VersionRange(number, number)


@PROPERTY
@given(histories, reducers, st.data())
def test_without_some_events_is_the_fold_of_the_list_without_them(
    commits: list[list[tuple[str, Any]]], reducer: Reducer, data: st.DataObject
) -> None:
    history = recorded(commits)
    dropped = data.draw(st.sets(st.integers(1, history.version)))
    types = data.draw(st.sets(st.sampled_from(["a.*", "b.x", "none", "?.y"])))
    to = data.draw(st.integers(max(dropped, default=0), history.version))
    matching = {"a.*": {"a.x", "a.y"}, "b.x": {"b.x"}, "none": set(), "?.y": {"a.y"}}
    lost: set[str] = set().union(*(matching[glob] for glob in types))
    kept = [
        event
        for event in history.events()
        if event["version"] not in dropped and event["version"] <= to and event["type"] not in lost
    ]
    supposition = Supposition(without=tuple(map(one, dropped)), without_types=tuple(types))
    assert supposed(history, reducer, supposition, to) == fold(reducer, kept)


@PROPERTY
@given(histories, reducers, st.data())
def test_a_range_is_each_of_its_versions(
    commits: list[list[tuple[str, Any]]], reducer: Reducer, data: st.DataObject
) -> None:
    history = recorded(commits)
    first = data.draw(st.integers(1, history.version))
    last = data.draw(st.none() | st.integers(first, history.version))
    kept = [event for event in history.events() if not first <= event["version"] <= (last or history.version)]
    assert supposed(history, reducer, Supposition((VersionRange(first, last),))) == fold(reducer, kept)


@PROPERTY
@given(histories, reducers, st.data())
def test_to_leave_out_what_was_put_in_gives_reality(
    commits: list[list[tuple[str, Any]]], reducer: Reducer, data: st.DataObject
) -> None:
    history = recorded(commits)
    after = data.draw(st.integers(0, history.version))
    drawn = data.draw(st.lists(st.sampled_from(TYPES), max_size=3))
    insertion = Insertion(after, tuple(new_event({"type": kind, "data": {"n": 9}}) for kind in drawn))
    listed = history.events()
    seen = supposed(history, MEMBERS, Supposition(insertions=(insertion,)))
    assert [event["type"] for event in seen[after : after + len(drawn)]] == drawn
    assert seen[:after] + seen[after + len(drawn) :] == listed
    real = replay_stream(history.store.log, STREAM, reducer, end=history.end).state
    assert supposed(history, reducer, Supposition()) == real


@pytest.fixture
def history() -> History:
    return recorded([[("a.x", {"n": 1})], [("a.y", {"n": 2, "l": [1, 2]}), ("b.x", {"n": 3})]])


def test_what_is_put_in_has_the_place_of_the_event_it_comes_after(history: History) -> None:
    first, second, third = history.events()
    given = new_event({"type": "i", "data": 7, "meta": {"actor": "x"}, "id": "k", "v": 2})
    late = given._replace(time="2030-01-01T00:00:00.000000Z")
    found = supposed(history, MEMBERS, Supposition(insertions=(Insertion(0, (given,)), Insertion(2, (given, late)))))
    told = {"stream": STREAM, "type": "i", "data": 7, "meta": {"actor": "x"}, "id": "k", "v": 2}
    assert found == [
        told | {"version": 0, "position": 0, "time": first["time"]},
        first,
        second,
        told | {"version": 2, "position": 2, "time": second["time"]},
        told | {"version": 2, "position": 2, "time": late.time},
        third,
    ]


def test_what_is_put_in_after_an_event_that_is_left_out_stays_in_its_place(history: History) -> None:
    given = new_event({"type": "i"})
    found = supposed(history, MEMBERS, Supposition((one(2),), insertions=(Insertion(2, (given,)),)))
    assert [(event["version"], event["type"]) for event in found] == [(1, "a.x"), (2, "i"), (3, "b.x")]


def test_what_comes_after_the_moment_does_not_count(history: History) -> None:
    given = new_event({"type": "i"})
    supposition = Supposition(insertions=(Insertion(0, (given,)), Insertion(1, (given,))))
    assert supposed(history, BUILT_IN["count"], supposition, 1) == 3
    assert supposed(history, BUILT_IN["count"], Supposition(insertions=(Insertion(0, (given,)),)), 0) == 1


def test_a_place_in_an_event_is_set(history: History) -> None:
    settings = (
        Setting(2, ("data", "n"), 5),
        Setting(2, ("data", "l", "1"), None),
        Setting(2, ("meta", "actor"), "x"),
        Setting(3, ("type",), "c"),
        Setting(3, ("data",), [1]),
        Setting(3, ("time",), "2030-01-01T00:00:00+01:00"),
    )
    first, second, third = history.events()
    second["data"] = {"n": 5, "l": [1, None]}
    second["meta"] = {"actor": "x"}
    third |= {"type": "c", "data": [1], "time": "2029-12-31T23:00:00.000000Z"}
    assert supposed(history, MEMBERS, Supposition(settings=settings)) == [first, second, third]
    assert supposed(history, MEMBERS, Supposition()) == history.events()


@pytest.mark.parametrize(
    ("place", "value", "error"),
    [
        (("data", "n", "x"), 1, Usage),
        (("data", "l", "2"), 1, Usage),
        (("type",), 1, Refused),
        (("type",), "", Refused),
        (("meta",), 1, Refused),
        (("v",), 0, Refused),
        (("time",), "soon", Refused),
        (("id",), 3, Refused),
    ],
    ids=str,
)
def test_an_event_that_could_not_be_stored_is_refused(
    history: History, place: tuple[str, ...], value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="2/" + "/".join(place)):
        supposed(history, BUILT_IN["merge"], Supposition(settings=(Setting(2, place, value),)))


@pytest.mark.parametrize(
    "supposition",
    [
        Supposition((one(3),)),
        Supposition((VersionRange(1, 3),)),
        Supposition((VersionRange(3, None),)),
        Supposition(insertions=(Insertion(3, ()),)),
        Supposition(settings=(Setting(3, ("data",), 1),)),
    ],
    ids=str,
)
def test_a_version_that_is_not_there_is_named(history: History, supposition: Supposition) -> None:
    with pytest.raises(NotFound, match="no version 3 here") as raised:
        supposed(history, BUILT_IN["merge"], supposition, 2)
    assert raised.value.facts == {"stream": STREAM, "version": 3}
    supposed(history, BUILT_IN["merge"], supposition)


def test_an_event_cannot_be_both_left_out_and_changed(history: History) -> None:
    with pytest.raises(Usage, match="version 2"):
        supposed(
            history, BUILT_IN["merge"], Supposition((VersionRange(1, None),), settings=(Setting(2, ("data",), 1),))
        )
