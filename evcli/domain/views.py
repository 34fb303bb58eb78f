"""Views: how events become the rows of a keyed read model."""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol

from evcli.domain.events import Event, parse_event_pointer
from evcli.domain.pointers import compile_pointer
from evcli.domain.reducers import failed_on, wanted_events
from evcli.domain.values import Json, kind_of
from evcli.errors import Usage

STREAM_KEY: Final = "stream"
"""The key of a view whose rows are its streams."""
OWN_COLUMNS: Final = ("key", "value", "version", "position")
"""What every row has: its key, its JSON value, and version and position of the last event that made it what it is."""

Rows = dict[str, Json]
"""Rows by key; None for one that is not there."""
KeyOf = Callable[[Event], Any]
"""Returns the key that an event concerns: one, several in a list, or None."""


Change = tuple[Event, tuple[str, ...]]
"""An event and the keys of the rows that it concerns, at least one."""


class RowReducer(Protocol):
    """What every view's rows are made by, whether declared, a Python file or a program."""

    @property
    def types(self) -> tuple[str, ...] | None:
        """The event types, or globs over them, that it wants to see; None for all."""
        ...

    @property
    def batch(self) -> int:
        """How many changes it takes at once; see `Reducer`."""
        ...

    def changes(self, events: Iterable[Event]) -> list[Change]:
        """Return the events that concern any row, with the keys of those.

        Raises:
            CodeFailed: If it fails on an event, which ``facts["position"]`` names.
        """
        ...

    def fold(self, rows: Rows, changes: Iterable[Change]) -> None:
        """Fold changes into ``rows``, which has every key that they name; one that is None after it is gone.

        Raises:
            CodeFailed: If it fails on an event, which ``facts["position"]`` names; ``rows`` are then of no use.
        """
        ...


class EvolvingRows(NamedTuple):
    """Rows that take one event at a time.

    Args:
        key_of: Returns the key that an event concerns: a string, a whole number, several of them in a list or set, or None.
        make_initial: Returns what ``evolve`` is given where there is no row; a fresh value each time.
        evolve: Returns the row after an event, or None to remove it; it may change the one it is given.
        types: The event types, or globs over them, that it wants to see; None for all.
    """

    key_of: KeyOf
    make_initial: Callable[[], Json]
    evolve: Callable[[Json, Event], Json]
    types: tuple[str, ...] | None = None

    @property
    def batch(self) -> int:
        """One: nothing is gained by more."""
        return 1

    def changes(self, events: Iterable[Event]) -> list[Change]:
        """Return the events that concern any row; see `RowReducer`."""
        key_of = self.key_of
        found: list[Change] = []
        for event in wanted_events(events, self.types):
            try:
                key = key_of(event)
                keys = (key,) if type(key) is str and key.isascii() else check_keys(key)  # nearly always
            except (Exception, SystemExit) as error:
                raise failed_on(event, error, what="the view's key") from error
            if keys:
                found.append((event, keys))
        return found

    def fold(self, rows: Rows, changes: Iterable[Change]) -> None:
        """Fold changes into the rows; see `RowReducer`."""
        evolve, make_initial = self.evolve, self.make_initial
        for event, keys in changes:
            try:
                for key in keys:
                    row = rows[key]
                    rows[key] = evolve(make_initial() if row is None else row, event)
            except (Exception, SystemExit) as error:
                raise failed_on(event, error, what="the view") from error


def key_at(definition: str) -> KeyOf:
    """Compile a view's ``key``: ``"stream"``, or a JSON pointer (RFC 6901) into the event.

    Raises:
        Usage: If it is neither, or begins with what no event has.
    """
    if not definition:
        raise Usage("the key is empty", f'name a member of the event, as in "/data/sku", or "{STREAM_KEY}"')
    return compile_pointer(parse_event_pointer("/stream" if definition == STREAM_KEY else definition), missing=None)


def check_keys(found: Any) -> tuple[str, ...]:  # noqa: ANN401 (what a user's function returned)
    """Return the keys that were found for an event, each once: none for None, a whole number as its digits.

    Raises:
        ValueError: If one is neither a string that UTF-8 can write nor a whole number.
    """
    if found is None:
        return ()
    if isinstance(found, list | tuple | set | frozenset):
        return tuple(dict.fromkeys(_key(one) for one in found))
    return (_key(found),)


def _key(found: Any) -> str:  # noqa: ANN401
    if isinstance(found, str):
        try:
            found.encode()
        except UnicodeEncodeError:
            raise ValueError(f"the key {found!r} has a lone surrogate, which is no character") from None
        return found
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    what = repr(found) if isinstance(found, float) else kind_of(found)
    raise ValueError(f"a key is a string or a whole number, not {what}")
