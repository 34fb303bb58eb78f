"""Folding events into a view's file: in batches, rows and checkpoint together, so that each event counts exactly once."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from evcli.domain.events import Event
from evcli.domain.names import select_by
from evcli.domain.views import RowReducer, Rows
from evcli.errors import CodeFailed
from evcli.storage.codec import freeze, loader
from evcli.storage.contract import EventStore, Head
from evcli.storage.view_file import Checkpoint, RowChange, ViewFile

Progress = Callable[[int, int], None]
"""Is told how many of how many positions have been gone through."""

BATCH_EVENTS: Final = 10_000
_BATCH_BYTES: Final = 4 << 20
_MOST_ROWS: Final = 50_000


def fold_into(
    file: ViewFile,
    store: EventStore,
    patterns: tuple[str, ...],
    load_reducer: Callable[[], RowReducer],
    *,
    head: Head,
    to: int | None = None,
    until: str | None = None,
    skipped: frozenset[int] = frozenset(),
    progress: Progress | None = None,
) -> int:
    """Fold what a view's file does not cover yet, up to the end ``head``, and return how many events that were.

    Args:
        file: The file.
        store: The store.
        patterns: The streams that count.
        load_reducer: Returns what the rows are made by; not called where there is nothing to fold.
        head: The end of what counts.
        to: The last position that counts; None for that of ``head``.
        until: The last instant that counts, canonical; None for all.
        skipped: The positions of events that are left out.
        progress: Is told after each batch.

    Raises:
        CodeFailed: If an event cannot be folded; all before it is, and nothing after it.
        Overtaken: If somebody else folds into the file.
        FileUnusable: If the file is damaged.
        Damaged: If the store is.
    """
    fold = _Fold(file, load_reducer)
    start, end = fold.checkpoint.position, head.position if to is None else to
    folded = 0
    for lines in _batches(store.read_all(end=end, after=start, wanted=select_by(patterns))):
        events = _up_to(end, list(map(loader(len(lines)), lines)))
        if not events:
            break
        kept, last = _wanted(events, until, skipped), events[-1]
        fold.add(kept, Checkpoint(last["position"], _recorded(last), head.position, head.hash))
        folded += len(kept)
        if progress is not None:
            progress(last["position"] - start, end - start)
    covered = Checkpoint(end, head.time if to is None else fold.checkpoint.time, head.position, head.hash)
    if fold.checkpoint != covered:
        fold.add([], covered)
    return folded


class _Fold:
    """Keeps the rows it has met at hand, as long as there are not too many."""

    def __init__(self, file: ViewFile, load_reducer: Callable[[], RowReducer]) -> None:
        self._file = file
        self._load_reducer = load_reducer
        self._reducer: RowReducer | None = None
        self._rows: Rows = {}
        self.checkpoint = file.checkpoint()

    def add(self, events: list[Event], checkpoint: Checkpoint) -> None:
        """Fold events, in one transaction; where that fails, in parts, so that all before the one at fault are kept."""
        if events and self._reducer is None:
            self._reducer = self._load_reducer()
        try:
            with self._file.transaction(self.checkpoint):
                self._file.save(self._fold(events), checkpoint)
        except CodeFailed as failed:
            self._rows.clear()
            if len(events) == 1:
                failed.facts.setdefault("position", events[0]["position"])
                raise
            cut = _place_of(failed, events)
            last = events[cut - 1]
            self.add(events[:cut], checkpoint._replace(position=last["position"], time=_recorded(last)))
            self.add(events[cut:], checkpoint)
        self.checkpoint = checkpoint
        if len(self._rows) > _MOST_ROWS:
            self._rows.clear()

    def _fold(self, events: list[Event]) -> list[RowChange]:
        if not events:
            return []
        assert self._reducer is not None
        changes = self._reducer.changes(events)
        last: dict[str, Event] = {key: event for event, keys in changes for key in keys}
        missing = [key for key in last if key not in self._rows]
        found = self._file.load(missing)
        load = loader(len(missing))
        self._rows.update((key, load(found[key]) if key in found else None) for key in missing)
        self._reducer.fold(self._rows, changes)
        return [_row_change(key, self._rows[key], event) for key, event in last.items()]


def _place_of(failed: CodeFailed, events: list[Event]) -> int:
    """Return where to cut events of which one has failed: right before it, or behind it where it is the first."""
    position = failed.facts.get("position")
    return next((number for number, event in enumerate(events) if number and event["position"] == position), 1)


def _up_to(end: int, events: list[Event]) -> list[Event]:
    if events[-1]["position"] <= end:
        return events
    return [event for event in events if event["position"] <= end]  # within a commit, which is read whole


def _wanted(events: list[Event], until: str | None, skipped: frozenset[int]) -> list[Event]:
    if until is None and not skipped:
        return events
    return [event for event in events if event["time"] <= (until or "~") and event["position"] not in skipped]


def _row_change(key: str, row: Any, event: Event) -> RowChange:  # noqa: ANN401 (a JSON value)
    if row is None:
        return RowChange(key, None, event["version"], event["position"])
    text = freeze(row)
    if text is None:
        at = f"{event['stream']}@{event['version']}"
        raise CodeFailed(
            f"the row {key!r} is not JSON after {at}",
            "let the view make rows of objects with text keys, arrays, strings, numbers, true, false and null",
            stream=event["stream"],
            version=event["version"],
            position=event["position"],
        )
    return RowChange(key, text, event["version"], event["position"])


def _recorded(event: Event) -> str:
    """Return when an event was recorded, which is its time unless it says otherwise."""
    return event.get("recorded", event["time"])


def _batches(commits: Iterable[list[bytes]]) -> Iterator[list[bytes]]:
    """Gather commits, and cut long ones, into lists of a size to be folded at once."""
    batch: list[bytes] = []
    size = 0
    for lines in commits:
        for start in range(0, len(lines), BATCH_EVENTS):
            part = lines[start : start + BATCH_EVENTS]
            batch += part
            size += sum(map(len, part))
            if len(batch) >= BATCH_EVENTS or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch
