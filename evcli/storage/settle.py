"""Settling the last commit: what a writer does before it builds upon what another one left (DESIGN 3).

Each rule was found necessary by enumerating crash states; the table in ``evcli help format`` has them all.
"""

import os
from collections.abc import Iterable

from evcli.errors import Damaged
from evcli.light_typing import Final, NamedTuple
from evcli.storage import journal
from evcli.storage.commit import EMPTY
from evcli.storage.contract import Head
from evcli.storage.files import close, open_file, opened, read_at, sync_data, sync_file, sync_tree_above, write_all
from evcli.storage.layout import (
    JOURNAL_FILE,
    QUARANTINE,
    find_streams,
    stream_path,
    sync_stream_folders,
)
from evcli.storage.lines import (
    MARK_BYTES,
    SUFFIX_BYTES,
    JournalEntry,
    JournalWrite,
    Mark,
    chain,
    find_holes,
    read_mark,
    seal_in,
    write_mark,
)
from evcli.storage.stream_file import StreamFile

_BLANK: Final = b" " * (MARK_BYTES - 1) + b"\n"


class Found(NamedTuple):
    """What is there of one write of a commit."""

    write: JournalWrite
    text: bytes
    whole: bool


def read_lock_mark(lock_fd: int) -> Mark | None:
    """Read the mark that the lock file holds."""
    return read_mark(read_at(lock_fd, MARK_BYTES, 0))


def blank_mark(lock_fd: int) -> None:
    """Overwrite the mark, if there is one: whoever cuts does this first, so that it never speaks of what was cut."""
    if read_lock_mark(lock_fd) is not None:  # where there is none, there may not be the room for blanks either
        write_all(lock_fd, _BLANK, 0)


def set_mark(lock_fd: int, head: Head) -> None:
    """Write the mark: all up to ``head`` is durable."""
    write_all(lock_fd, write_mark(Mark(head.position, head.hash)), 0)


def head_of(entry: JournalEntry | None, end: int) -> Head:
    """Return the store's end after ``entry``, whose line ends at byte ``end`` of the journal."""
    return EMPTY if entry is None else Head(entry.last_position, entry.hash, entry.time, end)


def check_mark(mark: Mark | None, last: JournalEntry | None) -> bool:
    """Say whether ``last`` is marked.

    Raises:
        Damaged: If the mark speaks of a commit that the journal does not have.
    """
    if mark is None:
        return False
    end = last.last_position if last else 0
    if mark.position > end or (last and mark.position == end and mark.hash != last.hash):
        raise Damaged(
            JOURNAL_FILE,
            0,
            f"the commit that ends at position {mark.position} was acknowledged and is not there",
        )
    return mark.position == end and last is not None


def settle_last_commit(root: str, lock_fd: int, *, now: str) -> Head:
    """Make sure that the last commit is durable and whole, or gone; return the store's end.

    Raises:
        Damaged: If it is neither, or what was acknowledged is not there; nothing is touched then.
        OSError: If it could not be read or mended.
        SyncFailed: If it could not be made durable.
    """
    mark = read_lock_mark(lock_fd)
    fd = open_file(root, JOURNAL_FILE, os.O_RDWR)
    if fd is None:
        check_mark(mark, None)
        _check_no_stream_beyond(root, 0)
        return EMPTY
    try:
        size = os.fstat(fd).st_size
        tail = journal.read_tail(fd, size)
        marked = check_mark(mark, tail.last)
        head = head_of(tail.last, tail.end)
        if tail.torn:
            _cut_torn_journal(root, lock_fd, fd, tail, size, now=now)
        elif tail.last is None:
            _check_no_stream_beyond(root, 0)
        elif marked:
            _require_whole(root, tail.last)
        else:
            sync_file(fd)  # somebody may have died between cutting it and syncing that
            parts = [_look(root, write, os.O_RDWR) for write in tail.last.writes]
            if not all(part.whole for part in parts):
                _roll_back(root, lock_fd, fd, tail, parts, now=now)
                return head_of(tail.before, tail.start)
            _write_again(root, tail.last, parts)
            set_mark(lock_fd, head)
        return head
    finally:
        close(fd)


def _require_whole(root: str, entry: JournalEntry) -> None:
    for write in entry.writes:
        if not _look(root, write, os.O_RDONLY).whole:
            name = stream_path(write.stream)
            raise Damaged(name, write.offset, f"an acknowledged commit of {write.length} bytes is not whole")


def _roll_back(root: str, lock_fd: int, journal_fd: int, tail: journal.Tail, parts: list[Found], *, now: str) -> None:
    """Cut a commit that was never acknowledged: its streams first, then its line in the journal."""
    _quarantine(root, now, [(stream_path(part.write.stream), part.write.offset, part.text) for part in parts])
    blank_mark(lock_fd)
    cut_streams(root, [part.write for part in parts])
    cut_journal(journal_fd, tail.start)


def cut_streams(root: str, writes: Iterable[JournalWrite]) -> None:
    """Cut the streams of a commit back to where they were, and make that durable; those already there too."""
    for write in writes:
        with opened(root, stream_path(write.stream), os.O_RDWR) as fd:
            if fd is not None:
                if os.fstat(fd).st_size > write.offset:
                    os.ftruncate(fd, write.offset)
                sync_file(fd)


def cut_journal(fd: int, end: int) -> None:
    """Cut the journal at ``end``, and make that durable."""
    os.ftruncate(fd, end)
    sync_file(fd)


def _cut_torn_journal(root: str, lock_fd: int, fd: int, tail: journal.Tail, size: int, *, now: str) -> None:
    """Cut a torn line from the journal: no byte of its commit had been written to a stream."""
    _check_no_stream_beyond(root, tail.last.last_position if tail.last else 0)
    _quarantine(root, now, [(JOURNAL_FILE, tail.end, read_at(fd, size - tail.end, tail.end))])
    blank_mark(lock_fd)
    cut_journal(fd, tail.end)


def _check_no_stream_beyond(root: str, position: int) -> None:
    for stream in find_streams(root):
        name = stream_path(stream)
        with opened(root, name) as fd:
            size = os.fstat(fd).st_size if fd is not None else 0
            if fd is None or size == 0:
                continue
            front = StreamFile(fd, stream, name).last_front(size)
        if front is None or front.position > position:
            raise Damaged(JOURNAL_FILE, 0, f"{name} holds an event beyond position {position}, where the journal ends")


def _look(root: str, write: JournalWrite, flags: int) -> Found:
    with opened(root, stream_path(write.stream), flags) as fd:
        return look_at_write(fd, write, at_end=True)


def look_at_write(fd: int | None, write: JournalWrite, *, at_end: bool) -> Found:
    """See what is there of one write of the last commit.

    Args:
        fd: Its stream's file, or None if there is none.
        write: The write, as the journal tells of it.
        at_end: Whether nothing may follow it (a writer looks, under the lock).

    Raises:
        Damaged: If it is neither whole, nor short, nor has holes as a power cut leaves them.
    """
    name = stream_path(write.stream)
    size = os.fstat(fd).st_size if fd is not None else 0
    end = write.offset + write.length
    if size < write.offset:
        raise Damaged(name, size, f"the file ends before byte {write.offset}, where its last commit begins")
    if size > end and at_end:
        raise Damaged(name, end, "bytes after the last commit that no commit explains")
    if fd is None:
        return Found(write, b"", whole=False)
    previous = StreamFile(fd, write.stream, name).seal_before(write.offset)
    if previous is None:
        raise Damaged(name, write.offset, "no commit ends where the last one begins")
    text = read_at(fd, write.length, write.offset)
    if len(text) < write.length:
        holes = find_holes(text, write.offset) if size <= end else None
        if holes is not None and not holes.torn:
            raise Damaged(name, holes.first, "NUL bytes that no power cut leaves")
        return Found(write, text, whole=False)
    if seal_in(text[:-1]) == write.seal == chain(previous, text[: -SUFFIX_BYTES - 1]) and text.endswith(b"\n"):
        return Found(write, text, whole=True)
    holes = find_holes(text, write.offset) if size == end else None
    if holes is None or not holes.torn:
        raise Damaged(name, holes.first if holes else write.offset, "the last commit does not match its seal")
    return Found(write, text, whole=False)


def _write_again(root: str, entry: JournalEntry, parts: list[Found]) -> None:
    """Write a whole commit's bytes again, and sync: they may have been in the page cache only, or its sync have failed."""
    if entry.position == 1:
        sync_tree_above(root)
    for part in parts:
        with opened(root, stream_path(part.write.stream), os.O_RDWR) as fd:
            assert fd is not None
            write_all(fd, part.text, part.write.offset)
            sync_data(fd)
        if part.write.offset == 0:
            sync_stream_folders(root, part.write.stream)


def _quarantine(root: str, now: str, cuts: list[tuple[str, int, bytes]]) -> None:
    """Keep what is about to be cut, if there is room: a line that says what it is, then the bytes, for each cut."""
    import json

    text = b"".join(
        json.dumps({"file": name, "offset": offset, "length": len(cut)}).encode() + b"\n" + cut + b"\n"
        for name, offset, cut in cuts
        if cut
    )
    if not text:
        return
    folder = os.path.join(root, QUARANTINE)
    try:
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f"{now.replace(':', '')}-{os.urandom(3).hex()}.cut")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            write_all(fd, text, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError:
        return
