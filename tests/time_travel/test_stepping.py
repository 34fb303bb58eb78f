from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evcli.time_travel.stepping
from evcli import Store
from evcli.domain.events import Event
from evcli.domain.reducers import Evolving
from evcli.errors import CodeFailed, NotFound, StreamNotFound
from evcli.replay import replay_stream
from evcli.storage.codec import loads
from evcli.storage.memory import MemoryStore
from evcli.time_travel.stepping import LEAST_SPACING, Stepper
from tests.time_travel.histories import Counted, contents, fill, histories, open_store, reducers, states

LONG = 5000
moves = st.lists(st.integers(0, 30), max_size=12)


def stepper(store: Store, definition: Counted, cache: Path | None = None) -> Stepper:
    return Stepper(store.log, "s", definition, cache=str(cache) if cache else None, end=store.head().position)


@pytest.fixture
def close_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a short stream have checkpoints too, and more of them than are kept."""
    monkeypatch.setattr(evcli.time_travel.stepping, "LEAST_SPACING", 2)
    monkeypatch.setattr(evcli.time_travel.stepping, "_MOST_KEPT", 3)


@pytest.mark.usefixtures("tight_ladder", "close_checkpoints")
@settings(max_examples=30, deadline=None)
@given(histories, reducers, moves, st.booleans())
def test_the_state_at_any_version_is_that_of_replay(
    commits: list[list[Any]],
    name: str,
    visited: list[int],
    warm: bool,  # noqa: FBT001 (a drawn value)
) -> None:
    with TemporaryDirectory() as folder:
        store, definition = open_store(Path(folder)), Counted(name)
        events = fill(store, commits)
        expected = states(definition.reducer, events)
        if warm:
            from evcli.read_side.states import query_state

            query_state(store.log, "s", definition, f"{folder}/cache", end=store.head().position)
        before = contents(Path(folder))
        walk = stepper(store, definition, Path(folder, "cache"))
        for version in (number % (len(events) + 1) for number in visited):
            stop = walk.go(version)
            assert (stop.version, stop.state()) == (version, expected[version])
            assert (loads(stop.line) if stop.line else None) == (events[version - 1] if version else None)
            real = replay_stream(store.log, "s", definition.reducer, end=store.head().position, to=version)
            assert stop.state() == real.state
        assert contents(Path(folder)) == before


@pytest.mark.usefixtures("close_checkpoints")
@settings(max_examples=60, deadline=None)
@given(histories, reducers, st.data())
def test_going_on_stops_at_the_first_event_after_which_it_holds(
    commits: list[list[Any]], name: str, data: st.DataObject
) -> None:
    store, definition = Store(MemoryStore()), Counted(name)
    events = fill(store, commits)
    expected = states(definition.reducer, events)
    start = data.draw(st.integers(0, len(events) - 1))
    wanted = data.draw(st.sampled_from(expected))
    walk = stepper(store, definition)
    walk.go(len(events))
    walk.go(start)
    stop = walk.go_on(lambda state: bool(state == wanted))
    first = next((n for n in range(start + 1, len(events) + 1) if expected[n] == wanted), len(events))
    assert (stop.version, stop.state()) == (first, expected[first])
    assert stop.line is not None
    assert loads(stop.line) == events[first - 1]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    fill(open_store(folder), [[{"n": n} for n in range(first, first + 500)] for first in range(0, LONG, 500)])
    return folder


def test_a_step_back_folds_little_however_long_the_stream(long: Path) -> None:
    definition = Counted("count")
    walk = stepper(open_store(long), definition)
    walk.go(LONG)
    assert definition.folded == LONG
    for version in range(LONG - 1, LONG - 20, -1):
        definition.folded = 0
        assert walk.go(version).state() == version
        assert definition.folded <= 2 * LEAST_SPACING
    definition.folded = 0
    walk.go(100)
    walk.go(3000)
    assert definition.folded <= 100 + 2 * LEAST_SPACING


def test_a_step_forward_folds_one_event(long: Path) -> None:
    definition = Counted("count")
    walk = stepper(open_store(long), definition)
    for version in range(1, 50):
        walk.go(version)
    assert definition.folded == 49


def test_what_a_query_has_cached_is_begun_at(long: Path) -> None:
    from evcli.read_side.states import query_state

    store, definition = open_store(long), Counted("count")
    query_state(store.log, "s", definition, str(long / "cache"), end=store.head().position)
    before = contents(long)
    definition.folded = 0
    walk = stepper(store, definition, long / "cache")
    assert walk.go(LONG - 10).state() == LONG - 10
    assert definition.folded <= 1024
    assert contents(long) == before


def test_states_that_json_would_change_are_kept_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(evcli.time_travel.stepping, "LEAST_SPACING", 2)
    store = open_store(tmp_path)
    fill(store, [[{}] * 20])
    pairs = Evolving(lambda: (0, []), lambda state, event: (state[0] + 1, [*state[1], event["version"]]))
    walk = stepper(store, Counted("pairs", pairs))
    walk.go(20)
    for version in (13, 12, 5, 19, 1):
        assert walk.go(version).state() == [version, list(range(1, version + 1))]


def test_checkpoints_stay_within_bounds(monkeypatch: pytest.MonkeyPatch, long: Path) -> None:
    monkeypatch.setattr(evcli.time_travel.stepping, "_MOST_BYTES", 20_000)
    walk = stepper(open_store(long), Counted("list"))
    walk.go(LONG)
    assert walk._kept._bytes <= 20_000  # noqa: SLF001 (it cannot be seen from outside)
    assert len(walk.go(LONG - 1).state()) == LONG - 1


def test_an_event_that_fails_leaves_one_where_one_was(tmp_path: Path) -> None:
    def fail_on_3(state: Any, event: Event) -> Any:
        state["n"] = event["version"]
        assert event["version"] != 3
        return state

    store = open_store(tmp_path)
    fill(store, [[{}] * 4])
    walk = stepper(store, Counted("fails", Evolving(dict, fail_on_3)))
    walk.go(2)
    for _ in range(2):
        with pytest.raises(CodeFailed, match="s@3"):
            walk.go(3)
        with pytest.raises(CodeFailed, match="s@3"):
            walk.go_on(lambda _state: False)
        assert walk.stop.state() == {"n": 2}
        assert walk.go(1).state() == {"n": 1}
        assert walk.go(2).state() == {"n": 2}


def test_there_is_nothing_beyond_the_ends(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store, [[{}] * 2])
    walk = stepper(store, Counted("count"))
    assert walk.version == 2
    for version in (-1, 3):
        with pytest.raises(NotFound, match=f"no version {version}"):
            walk.go(version)
    walk.go(2)
    with pytest.raises(NotFound, match="ends at version 2"):
        walk.go_on(lambda _state: True)
    with pytest.raises(StreamNotFound):
        Stepper(store.log, "none", Counted("count"), cache=None, end=2)
