"""Writing a commit that was built: journal, streams, mark; and going back when the operating system says no."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from evcli.errors import DurabilityUnknown, NotPermitted, StorageFailed
from evcli.light_typing import TYPE_CHECKING, Final, NoReturn
from evcli.storage.commit import Commit, Part
from evcli.storage.contract import Head
from evcli.storage.files import SyncFailed, close, open_file, opened, sync_data, write_all
from evcli.storage.layout import JOURNAL_FILE, STREAMS, stream_path, sync_stream_folders
from evcli.storage.settle import blank_mark, cut_journal, cut_streams, set_mark

if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # its functions and numbers, without the enums that signal makes of them

_DEFERRED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back signals that would stop the process until the block is done, so that nobody is left in doubt."""
    threading = sys.modules.get("threading")  # where nobody has loaded it, there is one thread
    if threading is not None and threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _DEFERRED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def write_commit(root: str, lock_fd: int, head: Head, commit: Commit) -> None:
    """Make ``commit`` durable after ``head``, and mark it.

    Raises:
        StorageFailed: If nothing was stored; NotPermitted if that was forbidden.
        DurabilityUnknown: If that cannot be said; the next writer settles it.
    """
    with opened(root, JOURNAL_FILE, os.O_RDWR) as journal_fd, uninterrupted():
        assert journal_fd is not None
        try:
            write_all(journal_fd, commit.journal_text, head.token)
            sync_data(journal_fd)
            for part in commit.parts:
                _write_part(root, part)
        except SyncFailed as failed:
            _unknown(commit, failed.error)
        except OSError as error:
            _go_back(root, lock_fd, journal_fd, head, commit, error)
        with suppress(OSError):  # losing the mark costs a look
            set_mark(lock_fd, commit.head)


def _write_part(root: str, part: Part) -> None:
    stream, flags = part.write.stream, os.O_RDWR
    if part.write.offset == 0:
        os.makedirs(os.path.join(root, STREAMS, os.path.dirname(stream)), exist_ok=True)
        flags |= os.O_CREAT
    fd = open_file(root, stream_path(stream), flags)
    if fd is None:
        raise FileNotFoundError(2, "the stream's file is gone", stream_path(stream))
    try:
        offset = part.write.offset
        for piece in part.pieces():
            write_all(fd, piece, offset)
            offset += len(piece)
        sync_data(fd)
    finally:
        close(fd)
    if part.write.offset == 0:
        sync_stream_folders(root, stream)


def _go_back(root: str, lock_fd: int, journal_fd: int, head: Head, commit: Commit, error: OSError) -> NoReturn:
    """Cut what was written of a commit, streams first."""
    try:
        blank_mark(lock_fd)
        cut_streams(root, [part.write for part in commit.parts])
        cut_journal(journal_fd, head.token)
    except (OSError, SyncFailed):
        _unknown(commit, error)
    raise storage_failed(error) from error


def storage_failed(error: OSError) -> StorageFailed | NotPermitted:
    """Say that the operating system failed, or forbade it, before anything was stored."""
    what = f"nothing was stored: {_reason(error)}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotPermitted(what, "check who may write there, or name another store: --store DIR")
    return StorageFailed(what, "free some space or mend the disk, then append again")


def _unknown(commit: Commit, error: OSError) -> NoReturn:
    streams = [part.write.stream for part in commit.parts]
    raise DurabilityUnknown(
        f"durability unknown: {_reason(error)} while {', '.join(streams[:3])}{'…' if streams[3:] else ''} was written",
        "the next writer settles it: run the same append again with the same --id; without one, look first with"
        f" 'evcli log {streams[0]} --tail 1'",
        streams=streams,
    ) from error


def _reason(error: OSError) -> str:
    return f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
