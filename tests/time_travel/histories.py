"""Random histories and reducers, with ladders of snapshots at hand, and the plain fold to compare them with."""

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from evcli import Store
from evcli.domain.events import Event
from evcli.domain.reducers import BUILT_IN, Evolving, Reducer, merge_patch
from evcli.domain.values import Json, copy_json
from evcli.storage.local import LocalStore
from evcli.time_travel.timeline import Timeline

names = st.sampled_from(["a", "b", "a/b", "~"])
scalars: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([1.0, "", "x"])
data: st.SearchStrategy[Any] = st.dictionaries(
    names, scalars | st.lists(scalars, max_size=2) | st.dictionaries(names, scalars, max_size=2), max_size=3
)
histories = st.lists(st.lists(data, min_size=1, max_size=3), min_size=1, max_size=10)
"""Commits, each of the data of its events."""


def _rewrite(state: Json, event: Event) -> Json:
    """Change parts of the state in place, drop others, and now and then begin a new one."""
    if event["version"] % 5 == 0:
        return {"list": [copy_json(event["data"])], "n": state.get("n", 0)}
    state = merge_patch(state, event["data"])
    state.setdefault("list", []).append(event["version"] % 3)
    if len(state["list"]) > 3:
        state["list"].pop(0)
    state["n"] = state.get("n", 0) + (event["version"] % 2)
    return state


REDUCERS: dict[str, Reducer] = {
    **BUILT_IN,
    "rewrite": Evolving(lambda: {"list": [], "kept": {"from": "the beginning"}}, _rewrite),
    "some": Evolving(dict, lambda state, event: merge_patch(state, event["data"]), types=("odd",)),
}
reducers = st.sampled_from(sorted(REDUCERS))


class Counted:
    """A definition whose reducer counts the events it folds, and those that it is given alone."""

    def __init__(self, name: str, reducer: Reducer | None = None) -> None:
        self.name = name
        self.reducer = reducer or REDUCERS[name]
        self.types = self.reducer.types
        self.batch = self.reducer.batch
        self.folded = self.alone = 0

    def fingerprint(self, cache_dir: str | None) -> str:
        del cache_dir
        return f"{self.name:x<64}".encode().hex()

    def load(self) -> Reducer:
        return self

    def initial(self) -> Json:
        return self.reducer.initial()

    def fold(self, state: Json, events: Any) -> Json:
        given = list(events)
        self.folded += len(given)
        self.alone += len(given) == 1
        return self.reducer.fold(state, given)


def open_store(folder: Path) -> Store:
    return Store(LocalStore(str(folder / "store"), cache=None), cache=str(folder / "cache"))


def fill(store: Store, commits: list[list[Json]], stream: str = "s") -> list[Event]:
    """Store commits, and return all events of the stream."""
    for commit in commits:
        store.append(stream, [("odd" if number % 2 else "even", one) for number, one in enumerate(commit)])
    return list(store.read(stream))


def states(reducer: Reducer, events: list[Event]) -> list[Json]:
    """Return the states at version 0, 1, 2 and so on, each folded by itself."""
    return [
        reducer.fold(reducer.initial(), [copy_json(event) for event in events[:count]])
        for count in range(len(events) + 1)
    ]


def timeline(store: Store, folder: Path, definition: Counted, stream: str = "s") -> Timeline:
    return Timeline(store.log, stream, definition, cache=str(folder / "cache"), end=store.head().position)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
