"""Views: keyed read models, asked for from their snapshot files."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from evcli.errors import Busy, NotFound
from evcli.light_typing import NamedTuple
from evcli.read_side.keeping import PAUSE, KeptView, Outcome
from evcli.read_side.opened_view import Explained, OpenView
from evcli.storage.contract import Head


class Freshness(NamedTuple):
    """How new an answer has to be.

    ``cached`` is without catching up; ``at_least`` a position that has to be included, for which to wait at most
    ``timeout`` seconds, as for somebody else who is folding; ``until`` the last instant that counts, canonical.
    """

    cached: bool = False
    at_least: int | None = None
    timeout: float = 5.0
    until: str | None = None


class Answer(NamedTuple):
    """A view open for reading, and how that came about."""

    view: OpenView
    explained: Explained


class View:
    """A view to be asked; ``kept`` are its files."""

    def __init__(self, kept: KeptView) -> None:
        self.kept = kept
        self.name = kept.name

    @contextmanager
    def open(self, freshness: Freshness = Freshness()) -> Iterator[Answer]:  # noqa: B008 (a value that nobody changes)
        """Open the view for reading: one state of it, however long it is read.

        Raises:
            NotFound: If it is to be ``cached``, and nothing is.
            Busy: If what was waited for did not come in time.
            CodeFailed: If an event cannot be folded: the view is parked at it.
            Damaged: If the store is.
        """
        started = time.perf_counter()
        head = self.kept.store.head()
        with self._file(head, freshness) as (opened, outcome):
            try:
                yield Answer(
                    opened, opened.explain(head, folded=outcome.folded, rebuilt=outcome.rebuilt, started=started)
                )
            finally:
                opened.close()

    @contextmanager
    def _file(self, head: Head, asked: Freshness) -> Iterator[tuple[OpenView, Outcome]]:
        deadline = time.monotonic() + asked.timeout
        found: tuple[OpenView, Outcome] | None = None
        if asked.cached:
            found = self._wait_for_cached(asked.at_least, deadline), Outcome()
        elif asked.until is None and self.kept.folder is not None:
            with suppress(OSError):  # a cache that cannot be written to is no cache
                found = self.kept.open_up_to(head, deadline)
        if found is not None:
            yield found
            return
        from tempfile import TemporaryDirectory

        with TemporaryDirectory(prefix="evcli-") as folder:
            path = os.path.join(folder, "rows.sqlite")
            with self.kept.new_file(path) as file:
                folded = self.kept.fold_file(file, head, until=asked.until)
                file.finish(self.kept.definition.columns)
            yield self.kept.open_file(path), Outcome(folded)

    def _wait_for_cached(self, at_least: int | None, deadline: float) -> OpenView:
        while True:
            found = self.kept.open_in_use()
            if found is not None and found.checkpoint.position >= (at_least or 0):
                return found
            if found is None and at_least is None:
                raise NotFound(f"nothing of view {self.name} is cached", "ask once without --cached", view=self.name)
            if found is not None:
                found.close()
            if time.monotonic() >= deadline:
                raise Busy(
                    f"view {self.name} did not reach position {at_least} in time",
                    "keep it current with 'evcli work', wait longer (--timeout 30s), or leave out --cached",
                )
            time.sleep(PAUSE)
