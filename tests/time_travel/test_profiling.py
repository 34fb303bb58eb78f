import time
from typing import Any

from hypothesis import given, settings

from evcli.domain.events import Event
from evcli.domain.reducers import BUILT_IN, Evolving, Reducer
from evcli.replay import replay_stream
from evcli.time_travel.profiling import MOST_SLOW, Profile
from tests.time_travel.recorded import STREAM, evolving, histories, recorded, reducers


class Batched(Evolving):
    """A reducer that takes seven events at once, as a program takes a thousand."""

    batch = 7


def slow_on_b(state: Any, event: Event) -> Any:
    if event["type"].startswith("b"):
        time.sleep(0.005 * event["data"]["n"])
    return state


@settings(max_examples=50, deadline=None)
@given(histories, reducers)
def test_the_state_is_that_of_replay_and_everything_is_counted(
    commits: list[list[tuple[str, Any]]], reducer: Reducer
) -> None:
    history = recorded(commits)
    profile = Profile()
    found = profile.replay(history.store.log, STREAM, reducer, end=history.end)
    assert found == replay_stream(history.store.log, STREAM, reducer, end=history.end)
    lines = [line for chunk in history.store.log.read_stream(STREAM, end=history.end) for line in chunk.lines]
    types = {cost.type: (cost.events, cost.bytes) for cost in profile.types()}
    for kind in {event["type"] for event in history.events()}:
        own = [line for line in lines if f'"type":"{kind}"'.encode() in line]
        assert types.pop(kind) == (len(own), sum(len(line) + 1 for line in own))
    assert not types
    assert abs(sum(cost.share for cost in profile.parts()) - 1) < 1e-9
    assert len(profile.slowest()) == min(MOST_SLOW, history.version)


def test_the_slow_type_and_the_slow_event_are_found() -> None:
    history = recorded([[("a", {"n": 9}), ("b", {"n": 1}), ("b", {"n": 3}), ("a", {"n": 9})]])
    profile = Profile()
    profile.replay(history.store.log, STREAM, evolving(slow_on_b), end=history.end)
    assert [cost.type for cost in profile.types()] == ["b", "a"]
    assert profile.types()[0].seconds >= 0.02
    assert [cost.version for cost in profile.slowest()[:2]] == [3, 2]
    assert profile.slowest()[0].seconds >= 0.015
    fold = profile.parts()[2]
    assert fold.part == "fold"
    assert fold.seconds == sum(cost.seconds for cost in profile.types())


def test_of_many_events_at_once_each_has_an_even_part_and_none_is_the_slowest() -> None:
    history = recorded([[("b", {"n": 1}), ("a", {"n": 0})] * 10])
    profile = Profile()
    profile.replay(history.store.log, STREAM, Batched(dict, slow_on_b), end=history.end)
    costs = {cost.type: cost for cost in profile.types()}
    assert costs["a"].events == costs["b"].events == 10
    assert costs["a"].seconds > 0.02
    assert profile.slowest() == []


def test_nothing_folded_took_nothing() -> None:
    history = recorded([[("a", {})]])
    profile = Profile()
    assert profile.replay(history.store.log, STREAM, BUILT_IN["count"], end=history.end, to=0).state == 0
    assert profile.types() == []
    assert profile.slowest() == []
    assert [cost.seconds for cost in profile.parts()][1:] == [0, 0]
