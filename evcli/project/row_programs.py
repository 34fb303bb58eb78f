"""Programs as reducers of a view's rows: the same protocol as of a state, which is here an object of rows by key."""

from collections.abc import Container, Iterable
from functools import partial

from evcli.domain.events import Event
from evcli.domain.values import Json, kind_of
from evcli.domain.views import Change, EvolvingRows, KeyOf, Rows
from evcli.project.programs import BATCH_EVENTS, Program, in_batches


class ExecRowReducer:
    """Rows made by a program, run by ``sh -c``.

    It is given one line with an object of the rows concerned, by key, and then a line ``{"key":…,"event":…}`` for each
    change (up to 1,000 or 1 MiB a run); it prints the object of these rows as they are then. A key that is missing, or
    null, is gone.

    Args:
        command: The command line.
        directory: Where it runs.
        key_of: Returns the keys that an event concerns.
    """

    def __init__(self, command: str, *, directory: str, key_of: KeyOf) -> None:
        self.types: tuple[str, ...] | None = None
        self.batch = BATCH_EVENTS
        self._program = Program(command, directory=directory, what="the view", result="object of rows")
        self._keyed = EvolvingRows(key_of, lambda: None, lambda row, _event: row)

    def changes(self, events: Iterable[Event]) -> list[Change]:
        """Return the events that concern any row; see `RowReducer`."""
        return self._keyed.changes(events)

    def fold(self, rows: Rows, changes: Iterable[Change]) -> None:
        """Fold changes into the rows, in batches; see `RowReducer`."""
        from evcli.storage.codec import dump

        given = [(key, event) for event, keys in changes for key in keys]
        keys = iter([key for key, _ in given])
        for batch in in_batches((dump({"key": key, "event": event}), event) for key, event in given):
            concerned = dict.fromkeys(next(keys) for _ in batch.lines)
            before = {key: rows[key] for key in concerned if rows[key] is not None}
            after = self._program.run(before, batch, partial(_check_rows, concerned))
            for key in concerned:
                rows[key] = after.get(key)


def _check_rows(concerned: Container[str], printed: Json) -> None:
    if not isinstance(printed, dict):
        raise ValueError(f"it printed {kind_of(printed)}, where an object of rows by key is needed")  # noqa: TRY004
    for key in printed:
        if key not in concerned:
            raise ValueError(f"it printed a row {key!r}, which is not the key of any of its lines")
