"""Looking after views: how each one stands, and rebuilding, comparing, rolling back, skipping and dropping."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final, NamedTuple

from evcli.domain.values import Json, same_json
from evcli.errors import BadConfig, Busy, CodeFailed, NotFound, NotPermitted, Usage
from evcli.read_side.keeping import PAUSE, KeptView, Outcome
from evcli.read_side.opened_view import OpenView
from evcli.storage.codec import loads
from evcli.storage.contract import Head
from evcli.storage.view_file import Row, ViewFile
from evcli.storage.view_folder import Parked, Slot, ViewFolder

_PATIENCE: Final = 10.0


class Status(NamedTuple):
    """How a view stands.

    ``state`` is one of ``current``, ``behind``, ``parked`` (an event cannot be folded), ``building``, ``rolled back``,
    ``changed`` (the definition is another than the file's), ``not built`` and ``unusable`` (its code cannot be loaded,
    or may not; ``problem`` says why). ``position`` is the last event that is covered, ``lag`` and ``lag_seconds`` what
    came since; ``size`` is in bytes.
    """

    view: str
    state: str
    position: int
    lag: int
    lag_seconds: float
    rows: int
    size: int
    definition: str
    parked: Parked | None = None
    previous: bool = False
    problem: str = ""


class RowDifference(NamedTuple):
    """A key whose row differs: ``old`` and ``new`` are its values, None where there is no row."""

    key: str
    old: Json
    new: Json


def status_of(view: KeptView, head: Head) -> Status:
    """Say how a view stands; nothing is folded."""
    definition = view.definition.describe()
    folder = view.folder
    if folder is None:
        return Status(view.name, "not built", 0, head.position, 0.0, 0, 0, definition)
    try:
        view.fingerprint  # noqa: B018 (raises)
    except (CodeFailed, NotPermitted, BadConfig) as error:
        return Status(view.name, "unusable", 0, head.position, 0.0, 0, 0, definition, problem=str(error))
    switch, parked = folder.read(), folder.parked()
    parked = parked if parked and parked.fingerprint == view.fingerprint else None
    opened = view.open_in_use()
    if opened is None or switch.current is None:
        state = "building" if folder.is_building() else "parked" if parked else "not built"
        return Status(view.name, state, 0, head.position, 0.0, 0, 0, definition, parked)
    try:
        checkpoint, rows = opened.checkpoint, opened.count()
    finally:
        opened.close()
    lag = max(0, head.position - checkpoint.position)
    seconds = _seconds_between(checkpoint.time, head.time) if lag and checkpoint.time else 0.0
    state = _state(view, switch.current, rejected=switch.rejected, parked=parked, lag=lag)
    size = folder.size_of(switch.current)
    previous = switch.previous is not None
    return Status(
        view.name, state, checkpoint.position, lag, seconds, rows, size, definition, parked, previous=previous
    )


def _state(view: KeptView, slot: Slot, *, rejected: str | None, parked: Parked | None, lag: int) -> str:
    assert view.folder is not None
    if view.folder.is_building():
        return "building"
    if parked:
        return "parked"
    if slot.fingerprint != view.fingerprint:
        return "rolled back" if rejected == view.fingerprint else "changed"
    return "behind" if lag else "current"


def rebuild(view: KeptView, *, report: Callable[[RowDifference], None] | None = None, dry_run: bool = False) -> Outcome:
    """Build a view's file anew beside the one in use, and switch to it; the one in use is kept as the one before.

    Args:
        view: The view.
        report: Is given each key that differs between the two, both as of the position of the one in use.
        dry_run: Whether the new file is thrown away instead.

    Raises:
        Busy: If somebody else is building it, or does not stop folding.
        CodeFailed: If an event cannot be folded: nothing is switched.
        NotFound: If there is nothing in use to compare with.
    """
    folder = _folder_of(view)
    with folder.building() as path:
        if path is None:
            raise Busy(
                f"another process is rebuilding view {view.name}",
                f"wait until it is done: evcli view status {view.name}",
            )
        with view.new_file(path) as file:
            folded = 0 if report else view.fold(file, view.store.head())  # all but the last moments, without the lock
            with _locked(view):
                if report is not None:
                    folded += _compare(view, file, path, report)
                folded += view.fold(file, view.store.head())
                file.finish(view.definition.columns)
                if not dry_run:
                    folder.switch(path, view.fingerprint)
    return Outcome(folded, "rebuilt")


def _compare(view: KeptView, file: ViewFile, path: str, report: Callable[[RowDifference], None]) -> int:
    """Fold a new file up to where the one in use is, and report the keys that differ; the lock is held."""
    old = view.open_in_use()
    if old is None:
        raise NotFound(f"view {view.name} has no file to compare with", "leave out --compare", view=view.name)
    try:
        folded = view.fold(file, view.store.head(), to=old.checkpoint.position)
        new = view.open_file(path)
        try:
            for difference in differences(old, new):
                report(difference)
        finally:
            new.close()
    finally:
        old.close()
    return folded


def differences(old: OpenView, new: OpenView) -> Iterator[RowDifference]:
    """Yield the keys whose values differ between two files, in the order of keys."""
    olds, news = old.rows(), new.rows()
    one, other = next(olds, None), next(news, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.key < other.key):
            assert one is not None
            yield RowDifference(one.key, loads(one.value), None)
            one = next(olds, None)
        elif one is None or other.key < one.key:
            yield RowDifference(other.key, None, loads(other.value))
            other = next(news, None)
        else:
            if not _same(one, other):
                yield RowDifference(one.key, loads(one.value), loads(other.value))
            one, other = next(olds, None), next(news, None)


def _same(one: Row, other: Row) -> bool:
    return one.value == other.value or same_json(loads(one.value), loads(other.value))


def roll_back(view: KeptView) -> Slot:
    """Put the file before in the place of the one in use, which is kept in its turn.

    If another definition made it, it stays as it is, and in use, until the definition changes or is rebuilt with.

    Raises:
        NotFound: If there is none.
    """
    with _locked(view):
        slot = _folder_of(view).roll_back()
    if slot is None:
        raise NotFound(
            f"view {view.name} has no file before the one in use", "there is one after a rebuild", view=view.name
        )
    return slot


def retry(view: KeptView) -> Outcome:
    """Go on with a parked view, from the event that it is parked at.

    Raises:
        NotFound: If it is not parked.
        CodeFailed: If it fails again.
    """
    parked_at(view)
    return view.bring_up_to(view.store.head(), time.monotonic() + _PATIENCE)[1]


def skip(view: KeptView) -> Parked:
    """Leave out, for good, the event that a view is parked at, and go on; return where that was.

    Raises:
        NotFound: If it is not parked.
        CodeFailed: If a later event fails.
    """
    parked = parked_at(view)
    view.skipped.add(view.fingerprint, parked.position)
    view.bring_up_to(view.store.head(), time.monotonic() + _PATIENCE)
    return parked


def drop(view: KeptView) -> None:
    """Delete a view's files, and the decisions to skip events: it is folded anew when it is asked for."""
    with _locked(view):
        _folder_of(view).drop()
    view.skipped.forget()


def path_for_others(view: KeptView) -> str:
    """Bring a view up to date, fold its WAL into its file, and return the path: other tools find nothing to do there."""
    slot, _ = view.bring_up_to(view.store.head(), time.monotonic() + _PATIENCE)
    folder = _folder_of(view)
    with _locked(view):
        file = ViewFile.open(folder.path_of(slot), view.name)
        if file.close(fold_wal=True):
            folder.guard(slot)
    return folder.path_of(slot)


def parked_at(view: KeptView) -> Parked:
    """Return the event that a view is parked at.

    Raises:
        NotFound: If it is not parked.
    """
    parked = _folder_of(view).parked()
    if parked is None or parked.fingerprint != view.fingerprint:
        raise NotFound(
            f"view {view.name} is not parked", f"see how it stands: evcli view status {view.name}", view=view.name
        )
    return parked


@contextmanager
def _locked(view: KeptView) -> Iterator[None]:
    """Hold the right to fold into a view's file, and to switch it."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        with _folder_of(view).lock() as held:
            if held:
                yield
                return
        if time.monotonic() >= deadline:
            raise Busy(f"another process is folding view {view.name}", "try again when it is done")
        time.sleep(PAUSE)


def _folder_of(view: KeptView) -> ViewFolder:
    if view.folder is None:
        raise Usage("there is no cache, so no files of views", "name one: EVCLI_CACHE=DIR")
    return view.folder


def _seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
