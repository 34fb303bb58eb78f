"""The cache of states: for one stream and one reducer the newest state, and a ladder of older ones.

Each is a small file with a digest over its content; one that does not check is as good as absent. Deleting any of
them changes no answer.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress

from evcli.light_typing import Final, NamedTuple
from evcli.storage.contract import Bookmark
from evcli.storage.digests import sha256
from evcli.storage.files import make_private_folder, replace_file

MOST_RUNGS: Final = 256
LEAST_SPACING: Final = 1024
_NEWEST: Final = "newest"


class Snapshot(NamedTuple):
    """A state as JSON text, and the bookmark up to which it covers its stream."""

    bookmark: Bookmark
    text: bytes


class Snapshots:
    """The snapshots of one stream by one reducer.

    Args:
        folder: The directory that holds them; made when the first is saved. None to keep none.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder

    def newest(self) -> Snapshot | None:
        """Return the newest state, if there is a sound one."""
        return self._read(_NEWEST)

    def up_to(self, version: int | None) -> Iterator[Snapshot]:
        """Yield sound snapshots up to ``version`` (None: any), the latest first."""
        newest = self.newest()
        if newest and (version is None or newest.bookmark.version <= version):
            yield newest
        for rung in reversed(self._rungs()):
            if version is None or rung <= version:
                found = self._read(_name(rung))
                if found:
                    yield found

    def versions(self) -> list[int]:
        """Return the versions that the older states are of, in order; one may turn out not to be sound."""
        return self._rungs()

    def save_newest(self, snapshot: Snapshot) -> None:
        """Keep the newest state, if it is another than the one there is and the cache can be written to."""
        newest = self.newest()
        if newest is None or newest.bookmark != snapshot.bookmark:
            self._write(_NEWEST, snapshot)

    def save_rung(self, snapshot: Snapshot, *, room: int) -> bool:
        """Keep an older state on the ladder if all of it stays within ``room`` bytes; say whether it was kept.

        A full ladder loses every second rung first.
        """
        rungs = self._rungs()
        if len(rungs) >= MOST_RUNGS:
            self.drop(rungs[1::2])
            rungs = rungs[::2]
        if sum(self._size(rung) for rung in rungs) + len(snapshot.text) > room:
            return False
        self._write(_name(snapshot.bookmark.version), snapshot)
        return True

    def drop(self, rungs: list[int]) -> None:
        """Take rungs off the ladder."""
        for rung in rungs:
            with suppress(OSError):
                os.unlink(os.path.join(self._folder or "", _name(rung)))

    def _rungs(self) -> list[int]:
        if self._folder is None:
            return []
        try:
            return sorted(int(name) for name in os.listdir(self._folder) if name.isdigit())
        except OSError:
            return []

    def _size(self, rung: int) -> int:
        with suppress(OSError):
            return os.path.getsize(os.path.join(self._folder or "", _name(rung)))
        return 0

    def _read(self, name: str) -> Snapshot | None:
        if self._folder is None:
            return None
        try:
            with open(os.path.join(self._folder, name), "rb") as file:
                head, _, text = file.read().partition(b"\n")
            bookmark = Bookmark(*json.loads(head[65:]))
        except (OSError, ValueError, TypeError):
            return None
        return Snapshot(bookmark, text) if _digest(head[65:], text) == head[:64] else None

    def _write(self, name: str, snapshot: Snapshot) -> None:
        if self._folder is None:
            return
        head = json.dumps(snapshot.bookmark, separators=(",", ":")).encode()
        with suppress(OSError):
            make_private_folder(self._folder)
            content = _digest(head, snapshot.text) + b" " + head + b"\n" + snapshot.text
            replace_file(os.path.join(self._folder, name), content, durable=False)


def _name(version: int) -> str:
    return f"{version:019d}"


def _digest(head: bytes, text: bytes) -> bytes:
    return sha256(head + b"\n" + text).hexdigest().encode()
