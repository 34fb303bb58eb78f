"""Random histories and reducers for the properties of time travel."""

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from evcli import Store
from evcli.domain.events import Event
from evcli.domain.reducers import BUILT_IN, Evolving, Reducer
from evcli.domain.rules import compile_rules
from evcli.storage.memory import MemoryStore

STREAM = "s"
TYPES = ("a.x", "a.y", "b.x")

datas = st.fixed_dictionaries(
    {}, optional={"n": st.integers(-3, 3), "k": st.sampled_from("pqr"), "l": st.lists(st.booleans(), max_size=2)}
)
events = st.tuples(st.sampled_from(TYPES), datas)
histories = st.lists(st.lists(events, min_size=1, max_size=3), min_size=1, max_size=6)
"""Commits of events."""


def evolving(evolve: Callable[[Any, Event], Any], initial: Callable[[], Any] = dict) -> Evolving:
    return Evolving(initial, evolve)


def _remember(state: Any, event: Event) -> Any:
    """Keep where an event stood, and a part of it, which is changed later."""
    state.setdefault("seen", []).append([event["version"], event["type"]])
    state["seen"] = state["seen"][-3:]
    state.setdefault("list", event["data"].get("l", [])).append(event["data"].get("n"))
    return state


def _sum(state: Any, event: Event) -> Any:
    state["n"] = state.get("n", 0) + event["data"].get("n", 0)
    return state


def _sum_of_some(state: Any, event: Event) -> Any:
    return _sum(state, event) if event["type"] != "a.y" else state


def _clamped(state: Any, event: Event) -> Any:
    return {"n": max(-2, min(2, _sum(state, event)["n"]))}


REDUCERS: dict[str, Reducer] = {
    **BUILT_IN,
    "remember": evolving(_remember),
    "sum": evolving(_sum),
    "sum of some": evolving(_sum_of_some),
    "clamped": evolving(_clamped),
    "other initial": evolving(_sum, lambda: {"n": 1}),
    "float": evolving(_sum, lambda: {"n": 0.0}),
    "bool": evolving(lambda _state, event: event["data"].get("n", 0) > 0, lambda: False),
    "number": evolving(lambda _state, event: int(event["data"].get("n", 0) > 0), lambda: 0),
    "rules": compile_rules(
        {"initial": {"x": 0}, "on": {"a.*": {"inc": {"x": 1}, "set": {"at": "/version"}}, "b.x": "reset"}}
    ),
}
reducers = st.sampled_from(sorted(REDUCERS)).map(REDUCERS.__getitem__)


class History(NamedTuple):
    """A store with one stream, and the end of it."""

    store: Store
    version: int

    @property
    def end(self) -> int:
        return self.store.head().position

    def events(self) -> list[Event]:
        """Read them afresh: a fold may change them."""
        return list(self.store.read(STREAM))


def recorded(history: list[list[tuple[str, Any]]]) -> History:
    store = Store(MemoryStore())
    for commit in history:
        store.append(STREAM, commit)
    return History(store, sum(map(len, history)))


def fold(reducer: Reducer, events: list[Event]) -> Any:
    return reducer.fold(reducer.initial(), events)
