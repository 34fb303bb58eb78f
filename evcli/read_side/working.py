"""The worker: keeps all views current. Several may work side by side; whoever has a view's lock folds into it."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from evcli.errors import BadConfig, Busy, CodeFailed, EvcliError, NotPermitted
from evcli.read_side.keeping import KeptView, Outcome
from evcli.storage.contract import EventStore, Head

_LOOK_AT_DEFINITIONS: Final = 1.0
_PATIENCE: Final = 10.0

_ITS_OWN: Final = (CodeFailed, NotPermitted, BadConfig)
"""What is wrong with one view, and no matter of the others."""

Report = Callable[[KeptView, Outcome | EvcliError], None]
"""Is told what became of a view: events folded, or why it is parked."""


def work_once(views: Sequence[KeptView], report: Report) -> bool:
    """Bring every view up to date; return whether all are: none parked, none left to somebody else for too long.

    Raises:
        Damaged: If the store is.
    """
    good = True
    for view in views:
        try:
            report(view, view.bring_up_to(view.store.head(), time.monotonic() + _PATIENCE)[1])
        except (*_ITS_OWN, Busy) as error:
            good = False
            report(view, error)
    return good


class ViewWorker:
    """Keeps every view current.

    Args:
        store: The store.
        load_views: Returns the views as they are defined now; asked once a second.
        report: Is told of each fold, and of each view that has to be parked.
    """

    def __init__(self, store: EventStore, load_views: Callable[[], Sequence[KeptView]], report: Report) -> None:
        self._store = store
        self._load_views = load_views
        self._report = report
        self._views: dict[tuple[str, str], KeptView] = {}
        self._unusable: set[str] = set()
        self._looked = 0.0
        self._is_misread = False
        self._head: Head | None = None

    def look(self) -> bool:
        """Fold what is new; return whether there was anything.

        Raises:
            Damaged: If the store is.
        """
        changed = self._look_at_definitions()
        if self._head is not None and not changed and not self._store.has_more(self._head):
            return False
        head = self._store.head()
        left = [view for view in self._views.values() if not self._keep(view, head)]
        # A view that somebody else is folding is looked at again: they may be killed before they are through.
        self._head = None if left else head
        return not left

    def _look_at_definitions(self) -> bool:
        """Look once a second whether views were changed, parked or retried; return whether there is work."""
        if time.monotonic() - self._looked < _LOOK_AT_DEFINITIONS:
            return False
        self._looked = time.monotonic()
        try:
            views = self._load_views()
        except BadConfig as error:  # half of it is saved: what was defined goes on until it can be read again
            if not self._views:
                raise
            for view in self._views.values() if not self._is_misread else ():
                self._report(view, error)
            self._is_misread = True
            return False
        self._is_misread = False
        found = {(view.name, fingerprint): view for view in views if (fingerprint := self._look_at(view))}
        known = self._views
        self._views = {key: known.get(key, view) for key, view in found.items()}  # code that is loaded stays loaded
        return True

    def _look_at(self, view: KeptView) -> str | None:
        """Return a view's fingerprint; None, told once, if its code cannot be loaded, or may not."""
        try:
            fingerprint = view.fingerprint
        except _ITS_OWN as error:
            if view.name not in self._unusable:
                self._report(view, error)
            self._unusable.add(view.name)
            return None
        self._unusable.discard(view.name)
        return fingerprint

    def _keep(self, view: KeptView, head: Head) -> bool:
        """Bring a view up to date unless it is parked; return whether that is done."""
        parked = view.folder.parked() if view.folder else None
        if parked is not None and parked.fingerprint == view.fingerprint:
            return True
        with suppress(Busy):
            try:
                outcome = view.bring_up_to(head, deadline=0.0)[1]
            except _ITS_OWN as failed:
                self._report(view, failed)
                return True
            if outcome.folded or outcome.rebuilt:
                self._report(view, outcome)
            return True
        return False
