"""Keeping a view's snapshot file: caught up from its checkpoint, rebuilt beside the one in use where it has to be."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from evcli.errors import Busy, CodeFailed
from evcli.light_typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from evcli.read_side.opened_view import OpenView
from evcli.storage.clock import now
from evcli.storage.contract import EventStore, Head
from evcli.storage.skipped import Skipped
from evcli.storage.view_file import Checkpoint, FileUnusable, Overtaken, ViewFile
from evcli.storage.view_folder import Parked, Slot, ViewFolder

if TYPE_CHECKING:
    from evcli.domain.views import RowReducer
    from evcli.read_side.folding import Progress

PAUSE: Final = 0.01
LOOKS: Final = 5
_BEGINNING: Final = Checkpoint(0, "", 0, "0" * 64)


class ViewDefinition(Protocol):
    """What a view is made of; its code is loaded only when there is something to fold."""

    @property
    def name(self) -> str:
        """The view's name, which is also that of its table."""
        ...

    @property
    def patterns(self) -> tuple[str, ...]:
        """The streams, names and patterns, that it is folded from."""
        ...

    @property
    def columns(self) -> Mapping[str, str]:
        """The names and SQL types of the columns beside the JSON."""
        ...

    def describe(self) -> str:
        """Say in a few words what its rows are made by."""
        ...

    def fingerprint(self, cache_dir: str | None) -> str:
        """Return a hex digest of all that decides what the rows are."""
        ...

    def load(self) -> "RowReducer":
        """Return what the rows are made by."""
        ...


class Outcome(NamedTuple):
    """What bringing a view up to date took: events folded, and why its file was made anew ("" if it was not)."""

    folded: int = 0
    rebuilt: str = ""


class _Reached(NamedTuple):
    """A file that covers what was asked for, and what that took; open, where that was seen by opening it."""

    slot: Slot
    outcome: Outcome = Outcome()
    opened: OpenView | None = None


class KeptView:
    """A view of one store and the files that are kept of it.

    Args:
        store: The store.
        definition: What the view is made of.
        cache: The root of the caches; None to do without: every answer is then folded from nothing.
        skipped: The events that the user has decided to leave out.
        progress: Is told how a fold goes on.
    """

    def __init__(
        self,
        store: EventStore,
        definition: ViewDefinition,
        *,
        cache: str | None,
        skipped: Skipped,
        progress: "Progress | None" = None,
    ) -> None:
        self.store = store
        self.definition = definition
        self.name = definition.name
        self.folder = ViewFolder(os.path.join(cache, store.id, "views", definition.name)) if cache else None
        self.skipped = skipped
        self._cache = cache
        self._progress = progress
        self._fingerprint: str | None = None

    @property
    def fingerprint(self) -> str:
        """The definition's fingerprint, worked out once."""
        if self._fingerprint is None:
            self._fingerprint = self.definition.fingerprint(self._cache)
        return self._fingerprint

    def open_in_use(self) -> OpenView | None:
        """Open the file in use as it is; None if there is no sound one."""
        for _ in range(LOOKS):
            slot = self.folder.read().current if self.folder else None
            if self.folder is None or slot is None:
                return None
            try:
                if self.folder.is_as_left(slot):
                    return self.open_file(self.folder.path_of(slot))
            except FileUnusable:
                pass
            time.sleep(PAUSE)  # it is being written, or was replaced just now
        return None

    def open_file(self, path: str) -> OpenView:
        """Open one of the view's files for reading.

        Raises:
            FileUnusable: If it is damaged, or gone.
        """
        return OpenView.at(path, self.name, self.definition.columns)

    def bring_up_to(self, head: Head, deadline: float) -> tuple[Slot, Outcome]:
        """Return a file that covers ``head``, and what that took, by ``deadline`` of ``time.monotonic``.

        Raises:
            Busy: If that took longer, because somebody else is folding.
            CodeFailed: If an event cannot be folded: the view is parked at it.
            PermissionError: If the cache cannot be written to.
        """
        reached = self._reach(head, deadline)
        if reached.opened is not None:
            reached.opened.close()
        return reached.slot, reached.outcome

    def open_up_to(self, head: Head, deadline: float) -> tuple[OpenView, Outcome] | None:
        """Open a file that covers ``head``; None if it is replaced each time, or damaged. See `bring_up_to`."""
        assert self.folder is not None
        for _ in range(LOOKS):
            reached = self._reach(head, deadline)
            with suppress(FileUnusable):
                return reached.opened or self.open_file(self.folder.path_of(reached.slot)), reached.outcome
        return None

    def _reach(self, head: Head, deadline: float) -> _Reached:
        assert self.folder is not None
        while True:
            found = self._covering(head)
            if found is not None:
                return found
            with self.folder.lock() as held:
                if held:
                    try:
                        return _Reached(*self._catch_up(head))
                    except Overtaken:
                        pass
            if time.monotonic() >= deadline:
                raise Busy(
                    f"another process is folding view {self.name}",
                    "wait longer (--timeout 1m), or take what there is: --cached",
                )
            time.sleep(PAUSE)

    def _covering(self, head: Head) -> _Reached | None:
        """Return the file in use if there is nothing to fold."""
        assert self.folder is not None
        switch = self.folder.read()
        slot = switch.current
        if slot is None or not self.folder.is_as_left(slot):
            return None
        if slot.fingerprint != self.fingerprint:
            return _Reached(slot) if switch.rejected == self.fingerprint else None
        try:
            opened = self.open_file(self.folder.path_of(slot))
        except FileUnusable:
            return None
        covers = False
        try:
            covers = opened.checkpoint.position >= head.position and self.is_of_this_history(opened.checkpoint)
        finally:
            if not covers:
                opened.close()
        return _Reached(slot, Outcome(), opened) if covers else None

    def checkpoint_of(self, slot: Slot) -> Checkpoint | None:
        """Return how far a file has got; None if it cannot be read."""
        assert self.folder is not None
        try:
            opened = self.open_file(self.folder.path_of(slot))
        except FileUnusable:
            return None
        opened.close()
        return opened.checkpoint

    def is_of_this_history(self, checkpoint: Checkpoint) -> bool:
        """Say whether the store still has what was folded up to a checkpoint."""
        return self.store.holds(checkpoint.head_position, checkpoint.head_hash)

    def _catch_up(self, head: Head) -> tuple[Slot, Outcome]:
        """Fold what is new into the file in use, or make a new one; the lock is held."""
        assert self.folder is not None
        slot = self.folder.read().current
        reason = self._why_anew(slot)
        if slot is not None and not reason:
            try:
                return slot, Outcome(self.fold_into_slot(slot, head))
            except FileUnusable:
                reason = "damaged"
        with self.folder.building() as path:
            if path is None:
                raise Overtaken
            with self.new_file(path) as file:
                try:
                    folded = self.fold(file, head)
                except CodeFailed:
                    if self.open_in_use() is None:  # what there is of it is better than nothing
                        file.finish(self.definition.columns)
                        self.folder.switch(path, self.fingerprint)
                    raise
                file.finish(self.definition.columns)
            return self.folder.switch(path, self.fingerprint), Outcome(folded, reason)

    def _why_anew(self, slot: Slot | None) -> str:
        """Return why the file in use cannot be gone on with; "" if it can."""
        assert self.folder is not None
        if slot is None:
            return "first use"
        if not os.path.exists(self.folder.path_of(slot)):
            return "file missing"
        if not self.folder.is_as_left(slot):
            return "file changed"
        if slot.fingerprint != self.fingerprint:
            return "new definition"
        checkpoint = self.checkpoint_of(slot)
        if checkpoint is None:
            return "damaged"
        return "" if self.is_of_this_history(checkpoint) else "another history"

    @contextmanager
    def new_file(self, path: str) -> Iterator[ViewFile]:
        """Make a file for this view, without rows; it is closed at the end."""
        file = ViewFile.create(path, self.name, self.definition.columns, _BEGINNING)
        try:
            yield file
        finally:
            file.close()

    def fold_into_slot(self, slot: Slot, head: Head) -> int:
        """Fold what is new into the file in use; the lock is held. Return how many events that were."""
        assert self.folder is not None
        file = ViewFile.open(self.folder.path_of(slot), self.name)
        try:
            return self.fold(file, head)
        finally:
            if file.close():
                self.folder.guard(slot)

    def fold(self, file: ViewFile, head: Head, *, to: int | None = None) -> int:
        """Fold what a file does not cover yet, up to position ``to``, and return how many events that were.

        Raises:
            CodeFailed: If an event cannot be folded: the view is parked at it.
        """
        try:
            folded = self.fold_file(file, head, to=to)
        except CodeFailed as failed:
            if self.folder is not None and "position" in failed.facts:
                at = {name: failed.facts[name] for name in ("position", "stream", "version")}
                self.folder.park(Parked(self.fingerprint, problem=failed.message, time=now(), **at))
                failed.hint += f"; or go on without it: evcli view skip {self.name}"
            raise
        if self.folder is not None and self.folder.parked() is not None:
            self.folder.park(None)
        return folded

    def fold_file(self, file: ViewFile, head: Head, *, to: int | None = None, until: str | None = None) -> int:
        """Fold what a file does not cover yet, up to position ``to`` and instant ``until``; return how many events that were."""
        from evcli.read_side.folding import fold_into

        return fold_into(
            file,
            self.store,
            self.definition.patterns,
            self.definition.load,
            head=head,
            to=to,
            until=until,
            skipped=self.skipped.read(self.fingerprint),
            progress=self._progress,
        )


def keep(
    store: EventStore, definition: ViewDefinition, *, cache: str | None, state: str | None, progress: "Progress | None"
) -> KeptView:
    """Return a view with its files, which are below ``cache``, and what was decided to skip, below ``state``."""
    skipped = Skipped(os.path.join(state, store.id, "views") if state else None, definition.name)
    return KeptView(store, definition, cache=cache, skipped=skipped, progress=progress)
