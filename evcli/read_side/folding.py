"""Folding events into a view's file: in batches, rows and checkpoint together, so that each event counts exactly once.

A batch is what one transaction saves: a row is written once for all the events of a batch that concern it. It is parsed
and folded in parts, since parsed events take several times the memory of their lines.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from time import monotonic
from typing import Final, NamedTuple

from evcli.domain.events import Event
from evcli.domain.names import select_by
from evcli.domain.values import Json
from evcli.domain.views import Change, RowReducer, Rows
from evcli.errors import CodeFailed
from evcli.storage.codec import freeze, loader
from evcli.storage.contract import EventStore, Head
from evcli.storage.lines import without_other_types
from evcli.storage.view_file import Checkpoint, RowChange, ViewFile

Progress = Callable[[int, int], None]
"""Is told how many of how many positions have been gone through."""

_Place = tuple[str, int, int]
"""An event's stream, version and position: a plain tuple, since one is made for each event."""

BATCH_EVENTS: Final = 100_000
_BATCH_BYTES: Final = 32 << 20
_PART_EVENTS: Final = 256
_PART_BYTES: Final = 1 << 20
_MOST_ROWS: Final = 50_000
_MOST_CHANGED: Final = 20_000
_LONGEST: Final = 2.0


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
        progress: Is told now and then.

    Raises:
        CodeFailed: If an event cannot be folded; all before it is, and nothing after it.
        Overtaken: If somebody else folds into the file.
        FileUnusable: If the file is damaged.
        Damaged: If the store is.
    """
    start, end = file.checkpoint().position, head.position if to is None else to

    def tell(position: int) -> None:
        if progress is not None:
            progress(position - start, end - start)

    wanted = select_by(patterns)

    def parts(after: int, limit: int) -> Iterator[_Part]:
        return _parts(_cut(store.read_all(end=limit, after=after, wanted=wanted)), limit, until, skipped)

    fold = _Fold(file, load_reducer, head, tell)
    fold.up_to(end, parts)
    covered = Checkpoint(end, head.time if to is None else fold.checkpoint.time, head.position, head.hash)
    if fold.checkpoint != covered:
        fold.cover(covered)
    return fold.folded


class _Part(NamedTuple):
    """Lines to fold at once; ``events``: those of them that count, where not all do; ``last``: the one that they end with."""

    lines: list[bytes]
    events: list[Event] | None
    last: Event

    @property
    def folded(self) -> int:
        """How many events count, whatever their type."""
        return len(self.lines if self.events is None else self.events)

    def of_types(self, types: tuple[str, ...] | None) -> Iterable[Event]:
        """Return the events that count, without some that are of none of ``types``."""
        if self.events is not None:
            return self.events
        lines = without_other_types(self.lines, types)
        return map(loader(len(self.lines)), lines)


def _parts(pieces: Iterable[list[bytes]], limit: int, until: str | None, skipped: frozenset[int]) -> Iterator[_Part]:
    """Make parts of lines, up to the position ``limit``."""
    for lines in pieces:
        load = loader(len(lines))
        last: Event = load(lines[-1])
        if last["position"] > limit:  # within a commit, which is read whole
            lines = [line for line in lines if load(line)["position"] <= limit]  # noqa: PLW2901
            if not lines:
                return
            last = load(lines[-1])
        events: list[Event] | None = None
        if until is not None or skipped:
            latest = until or "~"
            events = [e for e in map(load, lines) if e["time"] <= latest and e["position"] not in skipped]
        yield _Part(lines, events, last)


class _Fold:
    """Folds into a file; keeps the rows it has met at hand, as long as there are not too many."""

    def __init__(
        self, file: ViewFile, load_reducer: Callable[[], RowReducer], head: Head, tell: Callable[[int], None]
    ) -> None:
        self._file = file
        self._tell = tell
        self._load_reducer = load_reducer
        self._head = head
        self._reducer: RowReducer | None = None
        self._rows: Rows = {}
        self._changed: dict[str, _Place] = {}  # by which event each one did last
        self.checkpoint = file.checkpoint()
        self.folded = 0

    def up_to(self, end: int, parts: Callable[[int, int], Iterator[_Part]]) -> None:
        """Fold what ``parts`` gives after a position up to another; where that fails, all before the event at fault.

        Raises:
            CodeFailed: If an event cannot be folded.
        """
        good, limit = self.checkpoint.position, end
        while good < end:
            try:
                self._add(parts(good, limit))
                good, limit = limit, end
            except CodeFailed as failed:
                # All up to `good` is folded, and not all up to `bad` can be. As a rule that one alone is at fault; else the
                # first one that is gets found by halving what is between.
                good, bad = max(good, self.checkpoint.position), failed.facts.get("position")
                if bad is None or bad - good <= 1:
                    raise
                limit = bad - 1 if limit == end else (good + bad) // 2

    def _add(self, parts: Iterator[_Part]) -> None:
        """Fold parts, as many as make a batch in one transaction.

        Raises:
            CodeFailed: If an event cannot be folded: none of its batch is, and it, or one before it there, is at fault.
        """
        self._rows.clear()  # of a batch that has failed they are of no use
        for first in parts:
            self._changed.clear()
            with self._file.transaction(self.checkpoint):
                folded, last = self._fold(chain([first], parts))
                checkpoint = Checkpoint(last["position"], _recorded(last), self._head.position, self._head.hash)
                self._file.save(self._row_changes(), checkpoint)
            self.checkpoint = checkpoint
            self.folded += folded
            if len(self._rows) > _MOST_ROWS:
                self._rows.clear()

    def cover(self, checkpoint: Checkpoint) -> None:
        """Move the checkpoint on, over what concerns no row."""
        with self._file.transaction(self.checkpoint):
            self._file.save([], checkpoint)
        self.checkpoint = checkpoint

    def _fold(self, parts: Iterable[_Part]) -> tuple[int, Event]:
        """Fold parts into the rows at hand, up to a batch; return how many events that were, and the last one."""
        changes: list[Change] = []
        folded = size = 0
        begun = monotonic()
        for part in parts:
            if part.folded:
                self._reducer = self._reducer or self._load_reducer()
                changes += self._reducer.changes(part.of_types(self._reducer.types))
                if len(changes) >= self._reducer.batch:
                    self._apply(changes)
                    changes = []
            folded += part.folded
            size += sum(map(len, part.lines))
            self._tell(part.last["position"])
            if folded >= BATCH_EVENTS or size >= _BATCH_BYTES or len(self._changed) >= _MOST_CHANGED:
                break
            if monotonic() >= begun + _LONGEST:  # a slow program's work is not to be lost where it is stopped
                break
        self._apply(changes)
        return folded, part.last

    def _apply(self, changes: list[Change]) -> None:
        if not changes:
            return
        assert self._reducer is not None
        rows, changed = self._rows, self._changed
        missing: dict[str, Json] = {}
        for event, keys in changes:
            for key in keys:
                changed[key] = event["stream"], event["version"], event["position"]
                if key not in rows:
                    missing[key] = None
        if missing:
            load = loader(len(missing))
            rows.update(missing)
            rows.update((key, load(text)) for key, text in self._file.load(list(missing)).items())
        self._reducer.fold(rows, changes)

    def _row_changes(self) -> Iterator[RowChange]:
        return (_row_change(key, self._rows[key], place) for key, place in self._changed.items())


def _row_change(key: str, row: Json, place: _Place) -> RowChange:
    stream, version, position = place
    text = None if row is None else freeze(row)
    if row is not None and text is None:
        at = f"{stream}@{version}"
        raise CodeFailed(
            f"the row {key!r} is not JSON after {at}",
            "let the view make rows of objects with text keys, arrays, strings, numbers, true, false and null",
            stream=stream,
            version=version,
            position=position,
        )
    return RowChange(key, text, version, position)


def _recorded(event: Event) -> str:
    """Return when an event was recorded, which is its time unless it says otherwise."""
    return event.get("recorded", event["time"])


def _cut(commits: Iterable[list[bytes]]) -> Iterator[list[bytes]]:
    """Gather commits, and cut long ones, into lists of a size to be parsed at once."""
    part: list[bytes] = []
    size = 0
    for lines in commits:
        for start in range(0, len(lines), _PART_EVENTS):
            piece = lines[start : start + _PART_EVENTS]
            part += piece
            size += sum(map(len, piece))
            if len(part) >= _PART_EVENTS or size >= _PART_BYTES:
                yield part
                part, size = [], 0
    if part:
        yield part
