"""A view's rows, event by event, folded in memory from the log alone; nothing is ever saved."""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from evcli.domain.events import Event
from evcli.domain.names import select_by
from evcli.domain.pointers import MISSING
from evcli.domain.views import RowReducer, Rows
from evcli.read_side.folding import Progress
from evcli.read_side.keeping import ViewDefinition
from evcli.storage.codec import loader
from evcli.storage.contract import EventStore
from evcli.time_travel.timeline import Step


class RowStep(NamedTuple):
    """A row's key, and an event that concerns it with the row right after it (`MISSING` if it is gone)."""

    key: str
    step: Step


class ViewTimeline:
    """A view's rows as its events make them.

    Args:
        store: The store.
        definition: What the view is made of.
        end: The position up to which events count.
        until: The last instant that counts, canonical; None for all.
        skipped: The positions of events that are left out.
        progress: Is told how many positions have been gone through.
    """

    def __init__(
        self,
        store: EventStore,
        definition: ViewDefinition,
        *,
        end: int,
        until: str | None = None,
        skipped: frozenset[int] = frozenset(),
        progress: Progress | None = None,
    ) -> None:
        self.name = definition.name
        self.columns = definition.columns
        self._store = store
        self._definition = definition
        self.end = end
        self._until = until
        self._skipped = skipped
        self._progress = progress

    @cached_property
    def _reducer(self) -> RowReducer:
        return self._definition.load()

    def steps(self, key: str | None = None) -> Iterator[RowStep]:
        """Yield each event that concerns a row (``key``: that one) with the row after it; the fold may change it later.

        An event that concerns several rows comes once for each.

        Raises:
            CodeFailed: If the view's code fails; the message names the event.
            Damaged: As soon as something does not verify.
        """
        rows: Rows = {}
        for line, event in self._events():
            for _, concerned in self._reducer.changes((event,)):
                keys = [one for one in concerned if key in (None, one)]
                for one in keys:
                    rows.setdefault(one, None)
                if keys:
                    self._reducer.fold(rows, ((event, tuple(keys)),))
                for one in keys:
                    row = rows[one]
                    yield RowStep(one, Step(line, event, MISSING if row is None else row))

    def steps_of(self, key: str) -> Iterator[Step]:
        """Yield each event that concerns one row, with the row after it; see `steps`."""
        return (step for _, step in self.steps(key))

    def _events(self) -> Iterator[tuple[bytes, Event]]:
        load, until = loader(), self._until or "~"
        for lines in self._store.read_all(end=self.end, wanted=select_by(self._definition.patterns)):
            for line in lines:
                event = load(line)
                if event["position"] <= self.end and event["time"] <= until and event["position"] not in self._skipped:
                    yield line, event
            if self._progress is not None:
                self._progress(load(lines[-1])["position"], self.end)
