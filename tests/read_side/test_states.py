"""Queries give what replay gives, and replay gives the fold of the events up to a moment."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evcli.read_side.states
import evcli.storage.snapshots
from evcli import Store
from evcli.domain.instants import canonical
from evcli.domain.reducers import BUILT_IN
from evcli.errors import CodeFailed, NotFound, StreamNotFound
from evcli.storage.local import LocalStore
from evcli.storage.memory import MemoryStore

START = datetime(2026, 1, 1, tzinfo=UTC)
EXAMPLES = settings(max_examples=25, deadline=None)


class Folder:
    """A temporary directory for one example of a property."""

    def __enter__(self) -> Path:
        self.path = Path(mkdtemp(prefix="evcli-test-"))
        return self.path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path)


def at(seconds: int) -> str:
    return canonical(START + timedelta(seconds=seconds))


def open_store(folder: Path) -> Store:
    return Store(LocalStore(str(folder / "store"), cache=None), cache=str(folder / "cache"))


def fill(store: Store, steps: list[list[int]]) -> list[dict[str, Any]]:
    """Append one commit for each of ``steps``, whose events come so many seconds after the one before."""
    seconds = 0
    events: list[dict[str, Any]] = []
    for step in steps:
        batch = []
        for gap in step:
            seconds += gap
            batch.append({"type": "t", "data": {f"k{len(events) % 7}": len(events)}, "time": at(seconds)})
            events.append(batch[-1])
        store.append("s", batch)
    return events


gaps = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=1, max_size=12)


@pytest.fixture(autouse=True)
def tight_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (evcli.read_side.states, evcli.storage.snapshots):
        monkeypatch.setattr(module, "LEAST_SPACING", 2)
        monkeypatch.setattr(module, "MOST_RUNGS", 4)


@EXAMPLES
@given(steps=gaps, seconds=st.integers(-1, 40))
def test_replay_until_a_moment_is_the_fold_of_the_events_up_to_it(steps: list[list[int]], seconds: int) -> None:
    with Folder() as folder:
        store = open_store(folder)
        events = fill(store, steps)
        wanted = [event for event in events if event["time"] <= at(seconds)]
        reducer = BUILT_IN["merge"]
        found = store.replay("s", until=at(seconds))
        assert found.version == len(wanted)
        assert found.state == reducer.fold(reducer.initial(), wanted)  # type: ignore[arg-type]  # data is all it reads
        assert [event["data"] for event in store.read("s", until=at(seconds))] == [event["data"] for event in wanted]


@EXAMPLES
@given(
    steps=gaps,
    more=gaps,
    asked=st.lists(st.tuples(st.none() | st.integers(-1, 40), st.none() | st.integers(0, 60)), min_size=1, max_size=8),
    reducer=st.sampled_from(["merge", "count", "last", "list"]),
)
def test_query_is_replay_whatever_is_asked_in_whatever_order(
    steps: list[list[int]], more: list[list[int]], asked: list[tuple[int | None, int | None]], reducer: str
) -> None:
    with Folder() as folder:
        store = open_store(folder)
        fill(store, steps)
        for round_ in range(2):
            for seconds, to in asked:
                until = None if seconds is None else at(seconds)
                query = store.query("s", reducer=reducer, until=until, to=to)
                assert query == store.replay("s", reducer=reducer, until=until, to=to)
            if round_ == 0:
                for step in more:
                    store.append("s", [("t", {"more": gap}) for gap in step])
        assert store.query("s", reducer=reducer) == store.replay("s", reducer=reducer)


def cached(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "cache").rglob("*") if path.is_file())


def test_a_ladder_of_older_states_is_kept_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evcli.read_side.states, "MOST_RUNGS", 64)
    monkeypatch.setattr(evcli.storage.snapshots, "MOST_RUNGS", 64)
    store = open_store(tmp_path)
    fill(store, [[1]] * 40)
    store.query("s", reducer="count")
    names = {path.name for path in cached(tmp_path)}
    assert "newest" in names
    for version in range(41):
        assert store.query("s", reducer="count", to=version).state == version


def test_a_ladder_is_made_by_whoever_asks_after_each_event_too(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for n in range(1, 8):
        store.append("s", [("t", {"n": n})])
        store.query("s")
    assert [int(path.name) for path in cached(tmp_path) if path.name.isdigit()] == [2, 4, 6]


def test_the_ladder_stays_within_its_number_and_the_size_of_the_stream(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for n in range(60):
        store.append("s", [("t", {f"key{n}": "x" * 40})])
        store.query("s", reducer="list")
    rungs = [path for path in cached(tmp_path) if path.name.isdigit()]
    assert len(rungs) <= 5
    assert sum(path.stat().st_size for path in rungs) <= 2 * (tmp_path / "store/streams/s.jsonl").stat().st_size


def test_each_cache_file_may_be_damaged_in_any_way(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store, [[1]] * 20)
    expected = [store.replay("s", to=version) for version in range(21)]
    for damage in (lambda _: b"", lambda text: text[: len(text) // 2], lambda text: text[:-1] + b"9", lambda _: b"x"):
        store.query("s")
        for path in cached(tmp_path):
            path.write_bytes(damage(path.read_bytes()))
            assert [store.query("s", to=version) for version in range(21)] == expected


def test_a_query_as_of_the_past_leaves_the_newest_state_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store, [[1]] * 10)
    store.query("s")
    store.query("s", to=3)
    assert store.query("s", cached=True).version == 10


def test_a_reducer_that_fails_takes_back_what_its_fold_had_saved(tmp_path: Path) -> None:
    (tmp_path / "r.py").write_text(
        "initial = 0\ndef evolve(s, e):\n    if e['version'] == 15: raise ValueError\n    return s + 1\n"
    )
    store = open_store(tmp_path)
    fill(store, [[1]] * 20)
    with pytest.raises(CodeFailed, match="s@15"):
        store.query("s", reducer=str(tmp_path / "r.py"))
    assert not [path for path in cached(tmp_path) if "states" in path.parts]


def test_states_that_json_cannot_hold_exactly_are_not_cached(tmp_path: Path) -> None:
    (tmp_path / "r.py").write_text("initial = ()\ndef evolve(s, e): return (*s, e['version'])\n")
    store = open_store(tmp_path)
    fill(store, [[1]] * 10)
    for _ in range(2):
        assert store.state("s", reducer=str(tmp_path / "r.py")) == tuple(range(1, 11))
    with pytest.raises(NotFound):
        store.query("s", reducer=str(tmp_path / "r.py"), cached=True)


def test_the_state_that_is_returned_is_the_callers_own(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store, [[1], [1]])
    for _ in range(3):
        state = store.state("s", reducer="list")
        assert len(state) == 2
        state.clear()


def test_without_a_cache_the_answers_are_the_same() -> None:
    store = Store(MemoryStore())
    store.append("s", [("t", {"a": 1})])
    assert store.state("s") == {"a": 1}
    with pytest.raises(NotFound):
        store.query("s", cached=True)


def test_a_stream_that_is_not_there_has_version_0_and_the_initial_state() -> None:
    store = Store(MemoryStore())
    store.append("s", [("t", {})])
    for found in (store.query("none", reducer="count"), store.replay("none", reducer="count")):
        assert (found.version, found.state) == (0, 0)
    assert issubclass(StreamNotFound, NotFound)
