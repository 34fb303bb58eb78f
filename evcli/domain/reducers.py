"""Reducers: how the events of a stream fold into its state, and the ones that are built in."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache

from evcli.domain.events import Event
from evcli.domain.names import compile_glob
from evcli.domain.values import Json
from evcli.errors import CodeFailed
from evcli.light_typing import Final, NamedTuple, Protocol, TypeVar

FOLD_VERSION: Final = 1
"""Raised when the same events and rules come to fold into something else, so that no snapshot from before is met."""

_T = TypeVar("_T")
_LONGEST_PROBLEM: Final = 300


class Reducer(Protocol):
    """What every reducer is, whether built in, declared, a Python file or a program."""

    @property
    def types(self) -> tuple[str, ...] | None:
        """The event types, or globs over them, that it wants to see; None for all."""
        ...

    @property
    def batch(self) -> int:
        """How many events it takes at once: 1, or more where that has a cost of its own, as starting a program has."""
        ...

    def initial(self) -> Json:
        """Return the state before the first event, a fresh value each time."""
        ...

    def fold(self, state: Json, events: Iterable[Event]) -> Json:
        """Return the state after ``events``; the one that is given may be changed in place.

        Raises:
            CodeFailed: If it fails on an event.
        """
        ...


class ReducerDefinition(Protocol):
    """What a stream's state is made by: a reducer that is loaded only when there is something to fold."""

    def fingerprint(self, cache_dir: str | None) -> str:
        """Return a hex digest of all that decides what the reducer does.

        Args:
            cache_dir: The root of the caches, where notes are kept that make it faster; None to do without.
        """
        ...

    def load(self) -> Reducer:
        """Return the reducer.

        Raises:
            NotTrusted: If it is code that may not run.
            CodeFailed: If it cannot be loaded.
        """
        ...


class Evolving(NamedTuple):
    """A reducer that takes one event at a time.

    Args:
        make_initial: Returns the initial state, of which each fold gets its own copy.
        evolve: Returns the state after an event; it may change the one it is given.
        types: The event types, or globs over them, that ``evolve`` wants to see; None for all.
    """

    make_initial: Callable[[], Json]
    evolve: Callable[[Json, Event], Json]
    types: tuple[str, ...] | None = None

    @property
    def batch(self) -> int:
        """One: nothing is gained by more."""
        return 1

    def initial(self) -> Json:
        """Return a copy of the initial state."""
        from copy import deepcopy

        return deepcopy(self.make_initial())

    def fold(self, state: Json, events: Iterable[Event]) -> Json:
        """Fold the events that are wanted into the state, which may be changed in place.

        Raises:
            CodeFailed: If ``evolve`` fails; the message names the event.
        """
        evolve = self.evolve
        for event in wanted_events(events, self.types):
            try:
                state = evolve(state, event)
            except (Exception, SystemExit) as error:
                raise failed_on(event, error, what="the reducer") from error
        return state


def first_match(table: Mapping[str, _T]) -> Callable[[str], _T | None]:
    """Compile a table of event types and globs to a look-up: the first entry, in their order, that matches a type.

    What was found for a type is remembered.
    """
    entries = [(compile_glob(glob), value) for glob, value in table.items()]

    @cache
    def find(kind: str) -> _T | None:
        return next((value for matches, value in entries if matches(kind)), None)

    return find


def merge_patch(target: Json, patch: Json) -> Json:
    """Apply a JSON merge patch (RFC 7396) to ``target``, in place where it is an object, and return the result.

    Every object that the result may be changed in later is its own, none is the patch's.
    """
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        elif isinstance(value, dict):
            target[name] = merge_patch(target.get(name), value)
        else:
            target[name] = value
    return target


def _append(state: Json, event: Event) -> Json:
    state.append(event["data"])
    return state


BUILT_IN: Final[Mapping[str, Reducer]] = {
    "merge": Evolving(dict, lambda state, event: merge_patch(state, event["data"])),
    "count": Evolving(lambda: 0, lambda state, _event: state + 1),
    "last": Evolving(lambda: None, lambda _state, event: event["data"]),
    "list": Evolving(list, _append),
}
"""The reducers that need no definition, by name; ``merge`` is the default."""


def wanted_events(events: Iterable[Event], types: tuple[str, ...] | None) -> Iterable[Event]:
    """Return the events whose types match one of ``types``, which are types and globs; all where that is None."""
    if types is None or "*" in types:
        return events
    wanted = _selector(types)
    return (event for event in events if wanted(event["type"]))


@lru_cache
def _selector(types: tuple[str, ...]) -> Callable[[str], bool | None]:
    return first_match(dict.fromkeys(types, True))


def failed_on(event: Event, error: BaseException, *, what: str) -> CodeFailed:
    """Make the error for ``what`` (as in ``"the reducer"``) having failed on an event."""
    at = f"{event['stream']}@{event['version']}"
    problem = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return CodeFailed(
        f"{what} failed on {at} ({event['type']}): {problem[:_LONGEST_PROBLEM]}",
        f"look at it (evcli log {at}..{event['version']}), then correct {what}",
        stream=event["stream"],
        version=event["version"],
        position=event["position"],
    )
