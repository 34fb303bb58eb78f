"""The folder of one view in the cache: which of its files is in use, and the one before.

``current`` names them, with a guard: inode, size and times of the database file as evcli left it. A file that is not
as it was left (restored, cut, overwritten by whatever) is not believed but made anew, so that nothing that happens to
a cache changes an answer. New files are built in ``building``, and put in place by one rename and one replacement.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from evcli.light_typing import Any, Final, NamedTuple
from evcli.storage.digests import sha256
from evcli.storage.files import folder_lock, make_private_folder, replace_file

_CURRENT: Final = "current"
_PARKED: Final = "parked"
_BUILDING: Final = "building"
_TICK: Final = 0.001


class Slot(NamedTuple):
    """A file of a view: its name, the fingerprint of the definition that made it, and the guard."""

    file: str
    fingerprint: str
    guard: tuple[int, ...]


class Switch(NamedTuple):
    """Which file is in use, and the one before it.

    ``rejected`` is the fingerprint of a definition that a rollback has turned away.
    """

    current: Slot | None = None
    previous: Slot | None = None
    rejected: str | None = None


class Parked(NamedTuple):
    """The event that a view cannot get past, and why."""

    fingerprint: str
    position: int
    stream: str
    version: int
    problem: str
    time: str


class ViewFolder:
    """The folder of one view; made when something is first put into it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self) -> Switch:
        """Return what is in use; nothing where that cannot be told."""
        found = _read_record(os.path.join(self._path, _CURRENT))
        try:
            return Switch(_slot(found["current"]), _slot(found["previous"]), found["rejected"]) if found else Switch()
        except (KeyError, TypeError):
            return Switch()

    def path_of(self, slot: Slot) -> str:
        """Return the path of a slot's file."""
        return os.path.join(self._path, slot.file)

    def is_as_left(self, slot: Slot) -> bool:
        """Say whether a slot's file is as evcli left it."""
        return _guard(self.path_of(slot)) == slot.guard

    def size_of(self, slot: Slot) -> int:
        """Return the bytes that a slot's file takes, its WAL included."""
        sizes = 0
        for suffix in ("", "-wal"):
            with suppress(OSError):
                sizes += os.path.getsize(self.path_of(slot) + suffix)
        return sizes

    def lock(self) -> AbstractContextManager[bool]:
        """Try to get the right to fold into the file in use, and to switch; gives whether it was free."""
        make_private_folder(self._path)
        return folder_lock(self._path)

    def is_building(self) -> bool:
        """Say whether somebody is building a new file."""
        folder = os.path.join(self._path, _BUILDING)
        if not os.path.isdir(folder):
            return False
        with folder_lock(folder) as free:
            return not free

    @contextmanager
    def building(self) -> Iterator[str | None]:
        """Try to get the right to build a new file, and give its path; None if somebody else is building one."""
        folder = os.path.join(self._path, _BUILDING)
        make_private_folder(folder)
        with folder_lock(folder) as free:
            if not free:
                yield None
                return
            path = os.path.join(folder, "rows.sqlite")
            _remove_file(path)  # of somebody who was killed
            try:
                yield path
            finally:
                _remove_file(path)

    def switch(self, built: str, fingerprint: str) -> Slot:
        """Put a new file in the place of the one in use, which becomes the one before; the lock is held."""
        before = self.read()
        number = 1 + max((_number_in(name) for name in os.listdir(self._path)), default=0)
        file = f"{number}-{fingerprint[:16]}.sqlite"
        path = os.path.join(self._path, file)
        os.replace(built, path)
        slot = Slot(file, fingerprint, _settled_guard(path))
        previous = before.current if before.current and self.is_as_left(before.current) else before.previous
        self._write(Switch(slot, previous))
        return slot

    def guard(self, slot: Slot) -> None:
        """Take a file in use as it is now for as it was left: evcli has just written it. The lock is held."""
        before = self.read()
        if before.current is not None and before.current.file == slot.file:
            self._write(before._replace(current=slot._replace(guard=_settled_guard(self.path_of(slot)))))

    def roll_back(self) -> Slot | None:
        """Put the file before in the place of the one in use; None if there is none. The lock is held."""
        before = self.read()
        if before.previous is None or before.current is None or not self.is_as_left(before.previous):
            return None
        rejected = before.current.fingerprint
        self._write(
            Switch(before.previous, before.current, rejected if rejected != before.previous.fingerprint else None)
        )
        return before.previous

    def drop(self) -> None:
        """Delete everything; the lock is held."""
        import shutil

        shutil.rmtree(self._path, ignore_errors=True)

    def parked(self) -> Parked | None:
        """Return the event that the view cannot get past, if there is one."""
        found = _read_record(os.path.join(self._path, _PARKED))
        try:
            return Parked(**found) if found else None
        except TypeError:
            return None

    def park(self, parked: Parked | None) -> None:
        """Remember the event that the view cannot get past; None forgets it."""
        path = os.path.join(self._path, _PARKED)
        if parked is None:
            with suppress(FileNotFoundError):
                os.unlink(path)
        else:
            _write_record(path, parked._asdict())

    def _write(self, switch: Switch) -> None:
        slots = {name: slot and slot._asdict() for name, slot in zip(switch._fields, switch[:2], strict=False)}
        _write_record(os.path.join(self._path, _CURRENT), {**slots, "rejected": switch.rejected})
        kept = {slot.file for slot in switch[:2] if slot}
        for name in os.listdir(self._path):
            if _number_in(name) and name.removesuffix("-wal").removesuffix("-shm") not in kept:
                with suppress(OSError):
                    os.unlink(os.path.join(self._path, name))


def _guard(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _settled_guard(path: str) -> tuple[int, ...]:
    """Make a file durable, and return its guard once any later change has to have another one.

    File systems stamp times by a clock that ticks every few milliseconds.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
        changed = os.fstat(fd).st_ctime_ns
    finally:
        os.close(fd)
    clock = getattr(time, "CLOCK_REALTIME_COARSE", time.CLOCK_REALTIME)
    while time.time_ns() >= changed and time.clock_gettime_ns(clock) <= changed:
        time.sleep(_TICK)
    guard = _guard(path)
    assert guard is not None
    return guard


def _number_in(name: str) -> int:
    number, dash, _ = name.partition("-")
    return int(number) if dash and number.isdecimal() and ".sqlite" in name else 0


def _slot(found: Any) -> Slot | None:  # noqa: ANN401 (a JSON value)
    return Slot(found["file"], found["fingerprint"], tuple(found["guard"])) if found else None


def _remove_file(path: str) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(OSError):
            os.unlink(path + suffix)


def _read_record(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as file:
            digest, _, text = file.read().partition(b" ")
        found = json.loads(text) if sha256(text).hexdigest().encode() == digest else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write_record(path: str, record: dict[str, Any]) -> None:
    text = json.dumps(record).encode()
    replace_file(path, sha256(text).hexdigest().encode() + b" " + text, durable=True)
