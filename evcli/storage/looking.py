"""What an unlocked reader may count: the last whole commit, and the counted end of each stream (DESIGN 4)."""

import os
import time
from collections.abc import Iterator

from evcli.errors import Damaged
from evcli.light_typing import Final, NamedTuple
from evcli.storage import journal
from evcli.storage.contract import Head
from evcli.storage.files import opened, read_at
from evcli.storage.layout import LOCK_FILE, stream_path
from evcli.storage.lines import MARK_BYTES, JournalEntry, JournalWrite, Mark, read_mark
from evcli.storage.settle import check_mark, head_of, look_at_write
from evcli.storage.stream_file import StreamFile

_LOOKS: Final = 12
_FIRST_PAUSE: Final = 0.0005


class Look(NamedTuple):
    """The store as a reader finds it: its counted end, and the commit behind it that is in progress or torn, if any.

    ``doubtless`` is the end up to which a power cut takes nothing away any more: the last commit is marked, or followed.
    """

    head: Head
    doubtless: Head
    pending: JournalEntry | None = None

    def pending_write(self, stream: str) -> JournalWrite | None:
        """Return what the commit in progress writes to a stream, if anything."""
        return next((write for write in self.pending.writes if write.stream == stream), None) if self.pending else None


def look_at(root: str) -> Look:
    """Look at the mark, then the journal's end, then what its last commit wrote.

    Raises:
        Damaged: If it stays so when it is looked at again, a few times.
    """
    for pause in _pauses():
        try:
            return _look(root)
        except Damaged:
            time.sleep(pause)
    return _look(root)


def _pauses() -> Iterator[float]:
    """Yield how long to wait after each look but the last one, in seconds."""
    return (_FIRST_PAUSE * 1.5**number for number in range(_LOOKS - 1))


class Looks:
    """Looks at a store, and keeps what it saw for as long as the journal has not changed since.

    A counted commit is never cut, so a journal of the same length is the same journal.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._last: Look | None = None

    def look(self) -> Look:
        """Look anew.

        Raises:
            Damaged: As `look_at`.
        """
        look = self._last = look_at(self._root)
        return look

    def current(self) -> Look:
        """Return the last look if nothing was committed since, at the cost of one stat; else look anew.

        Raises:
            Damaged: As `look_at`.
        """
        last = self._last
        if last is not None and last.pending is None and journal.size_of(self._root) == last.head.token:
            return last
        return self.look()


def _look(root: str) -> Look:
    mark = _read_mark(root)
    with opened(root, journal.FILE) as fd:
        tail = journal.read_tail(fd, os.fstat(fd).st_size) if fd is not None else journal.NO_TAIL
    marked = check_mark(mark, tail.last)
    before = head_of(tail.before, tail.start)
    if tail.last is None or _is_whole(root, tail.last, marked=marked):
        head = head_of(tail.last, tail.end)
        return Look(head, head if marked else before)
    return Look(before, before, tail.last)


def _read_mark(root: str) -> Mark | None:
    with opened(root, LOCK_FILE) as fd:
        return None if fd is None else read_mark(read_at(fd, MARK_BYTES, 0))


def _is_whole(root: str, entry: JournalEntry, *, marked: bool) -> bool:
    whole = True
    for write in entry.writes:  # each of them, whatever the first is: another may be damaged
        name = stream_path(write.stream)
        with opened(root, name) as fd:
            if marked and _ends_in_seal(fd, write, name):
                continue
            if look_at_write(fd, write, at_end=False).whole:
                continue
        if marked:
            raise Damaged(name, write.offset, "an acknowledged commit is not whole")
        whole = False
    return whole


def _ends_in_seal(fd: int | None, write: JournalWrite, name: str) -> bool:
    """Say whether a marked write's seal stands where it should: whoever reads the stream verifies the rest."""
    return fd is not None and StreamFile(fd, write.stream, name).seal_before(write.offset + write.length) == write.seal


def counted_end(looks: Looks, stream: StreamFile, end: int) -> int:
    """Return the byte offset behind the stream's last event with a position up to ``end``.

    Bytes behind the last counted event must be explained by the commit in progress, or by later ones. The file is
    looked at before the journal, so that whatever stands in it has its line there.

    Raises:
        Damaged: If they stay unexplained when they are looked at again, a few times.
    """
    for pause in (*_pauses(), None):
        size = os.fstat(stream.fd).st_size
        look = looks.current()
        write = look.pending_write(stream.stream)
        limit = min(size, write.offset) if write else size
        if write is None or size <= write.offset + write.length:
            whole = stream.commit_before(limit).offset
            last = stream.front_before(whole).position if whole else 0
            follower = stream.front_at(whole) if whole < limit else None
            if last <= look.head.position:
                if last > end or (follower is not None and end < follower.position <= look.head.position):
                    limit = stream.after_position(end, whole)
                    stream.check_around(limit, whole)
                    return limit
                if whole == limit:
                    return limit
        if pause is not None:
            time.sleep(pause)
    raise Damaged(stream.file, stream.commit_before(size).offset, "bytes after the last event that no commit explains")
