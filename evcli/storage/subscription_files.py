"""What is kept of a subscription, in the user's state directory: how far it has got, and what it could not handle.

The progress is written in place, into one of two slots, each with a digest; the other one is durable, and takes its turn
once this one is so too. So a power cut, whatever it tears, loses what was not yet synced and no more, and a process that
is killed loses nothing that it wrote.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any, Final, NamedTuple

from evcli.domain.events import Event
from evcli.errors import StorageFailed
from evcli.storage.codec import dump, loads
from evcli.storage.files import (
    close,
    folder_lock,
    make_private_folder,
    read_at,
    replace_file,
    sync_data,
    sync_tree_above,
    write_all,
    writer_is_alive,
)

MOST_AHEAD: Final = 200
"""How many positions ``Progress.done`` may hold."""
_SLOT: Final = 4096
_SYNC_EVERY: Final = 0.1
_TRIES: Final = 5
_PROGRESS: Final = "progress"
_ABOUT: Final = "subscription.json"
_DEAD: Final = "dead-letters.jsonl"
_EVENT_KEY: Final = b',"event":'


class Progress(NamedTuple):
    """How far a subscription has got: all up to ``position`` is handled, and above it what is in ``done``.

    ``head_position`` and ``head_hash`` name the history by the end of a commit, at or after all of them.
    """

    position: int
    done: tuple[int, ...]
    head_position: int
    head_hash: str


class DeadLetter(NamedTuple):
    """An event that could not be handled: what is known of the failure, and its stored line."""

    about: Mapping[str, Any]
    line: bytes

    @classmethod
    def of(cls, line: bytes, **failure: Any) -> "DeadLetter":  # noqa: ANN401 (JSON values)
        """Make one of an event's line and what is to be told of the failure."""
        event: Event = loads(line)
        about = {"position": event["position"], "stream": event["stream"], "version": event["version"]}
        return cls({**about, "type": event["type"], **failure}, line)


class SubscriptionFiles:
    """The files of one subscription."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.name = os.path.basename(folder)

    def exist(self) -> bool:
        """Say whether there is such a subscription."""
        return any(os.path.lexists(self._path(name)) for name in (_PROGRESS, _ABOUT, _DEAD))

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Try to get the right to handle events; gives whether it was free."""
        make_private_folder(self.folder)
        for left in reversed(range(_TRIES)):
            with folder_lock(self.folder) as free:
                if free or not left:
                    yield free
                    return
            time.sleep(0.01)  # whoever asks `is_running` holds it for a moment

    def is_running(self) -> bool:
        """Say whether somebody handles events."""
        return writer_is_alive(self.folder)

    def start(self, progress: Progress) -> None:
        """Make the subscription, or set how far it has got, durably; the lock is held."""
        replace_file(self._path(_PROGRESS), _encode(0, progress) + _encode(1, progress), durable=True)
        sync_tree_above(self.folder)

    def progress(self) -> Progress:
        """Return how far it has got.

        Raises:
            StorageFailed: If that cannot be read.
        """
        try:
            with open(self._path(_PROGRESS), "rb") as file:
                return _newest(self.name, file.read(2 * _SLOT))[1]
        except FileNotFoundError as error:
            raise _unreadable(self.name, "its file is missing") from error

    def keep(self) -> "ProgressFile":
        """Open the progress for writing; the lock is held."""
        return ProgressFile(self.name, self._path(_PROGRESS))

    @property
    def dead_letter_path(self) -> str:
        """The file of what could not be handled."""
        return self._path(_DEAD)

    def describe(self, about: Mapping[str, Any]) -> None:
        """Remember what the subscription is to, and what handles it."""
        if self.about() != about:
            replace_file(self._path(_ABOUT), json.dumps(about).encode(), durable=True)

    def about(self) -> dict[str, Any]:
        """Return what was remembered; nothing where there is none."""
        with suppress(OSError, ValueError), open(self._path(_ABOUT), "rb") as file:
            found = json.load(file)
            return found if isinstance(found, dict) else {}
        return {}

    def bury(self, letters: Iterable[DeadLetter]) -> None:
        """Add dead letters, durably; the lock is held."""
        fd = os.open(self._path(_DEAD), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            size = os.fstat(fd).st_size
            # A line that was cut short by a power cut was of a letter that the progress does not know: it is cut off.
            size = read_at(fd, size, 0).rfind(b"\n") + 1
            os.ftruncate(fd, size)
            write_all(fd, b"".join(map(_letter_line, letters)), size)
            sync_data(fd)
        finally:
            close(fd)
        if not size:
            sync_tree_above(self.folder)

    def dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters, the oldest first.

        Raises:
            StorageFailed: If a whole line is none: nobody is to lose an event by a slip of an editor.
        """
        found: list[DeadLetter] = []
        with suppress(FileNotFoundError), open(self._path(_DEAD), "rb") as file:
            for number, line in enumerate(file, 1):
                letter = _read_letter(line)
                if letter is None and line.endswith(b"\n"):
                    raise StorageFailed(
                        f"{self._path(_DEAD)}:{number} is no dead letter",
                        "correct that line, or take it out if its event is not wanted",
                    )
                if letter is not None:
                    found.append(letter)
        return found

    def replace_dead_letters(self, letters: Iterable[DeadLetter]) -> None:
        """Keep these dead letters and no others, durably; the lock is held."""
        replace_file(self._path(_DEAD), b"".join(map(_letter_line, letters)), durable=True)

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)


class ProgressFile:
    """A subscription's progress, open for writing."""

    def __init__(self, name: str, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._number, self.progress = _newest(name, read_at(self._fd, 2 * _SLOT, 0))
            sync_data(self._fd)  # who wrote it may have been killed before
        except BaseException:
            close(self._fd)
            raise
        self._synced = True
        self._synced_at = time.monotonic()

    def write(self, progress: Progress) -> None:
        """Write how far it has got: a kill does not undo it, a power cut may until `sync`, which is done now and then."""
        if progress == self.progress:
            return
        self._number += self._synced
        self.progress = progress
        write_all(self._fd, _encode(self._number, progress), self._number % 2 * _SLOT)
        self._synced = False
        if time.monotonic() - self._synced_at > _SYNC_EVERY:
            self.sync()

    def sync(self) -> None:
        """Make what was written durable."""
        if not self._synced:
            sync_data(self._fd)
            self._synced = True
            self._synced_at = time.monotonic()

    def close(self) -> None:
        """Make what was written durable, and close the file."""
        try:
            self.sync()
        finally:
            close(self._fd)


def _encode(number: int, progress: Progress) -> bytes:
    assert len(progress.done) <= MOST_AHEAD
    text = json.dumps([number, *progress], separators=(",", ":")).encode()
    slot = sha256(text).hexdigest().encode() + b" " + text + b"\n"
    assert len(slot) <= _SLOT
    return slot.ljust(_SLOT)


def _newest(name: str, text: bytes) -> tuple[int, Progress]:
    found: list[tuple[int, Progress]] = []
    for slot in (text[:_SLOT], text[_SLOT:]):
        digest, _, written = slot.rstrip().partition(b" ")
        if written and sha256(written).hexdigest().encode() == digest:
            number, position, done, head_position, head_hash = json.loads(written)
            found.append((number, Progress(position, tuple(done), head_position, head_hash)))
    if not found:
        raise _unreadable(name, "neither of its two records is whole")
    return max(found)


def _unreadable(name: str, why: str) -> StorageFailed:
    return StorageFailed(
        f"the progress of subscription {name} cannot be read: {why}",
        f"say where to go on: evcli on --reset {name} --at now (or a position)",
    )


def _letter_line(letter: DeadLetter) -> bytes:
    return dump(dict(letter.about))[:-1] + _EVENT_KEY + letter.line + b"}\n"


def _read_letter(line: bytes) -> DeadLetter | None:
    text, key, event = line.rstrip(b"\n").partition(_EVENT_KEY)
    try:
        about = loads(text + b"}")
        return DeadLetter(about, event[:-1]) if key and loads(event[:-1]) and "position" in about else None
    except ValueError:
        return None
