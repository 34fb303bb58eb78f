"""The operating system's part: descriptors, durable writes, directory entries, the writer's lock."""

import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from evcli.errors import Busy, Damaged, NotPermitted
from evcli.light_typing import Final

if sys.platform == "win32":
    raise ImportError("evcli needs Linux or macOS: it locks and syncs files as POSIX has it; on Windows, use it in WSL")

import fcntl

_FULL_SYNC: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)
_NO_FOLLOW: Final = os.O_NOFOLLOW | os.O_CLOEXEC


class SyncFailed(Exception):  # noqa: N818 (never shown: it becomes DurabilityUnknown)
    """The operating system could not say that data are durable; such a sync is never tried again."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def sync_data(fd: int) -> None:
    """Make a file's bytes durable (and its length), past the drive's cache on macOS (F_FULLFSYNC).

    Raises:
        SyncFailed: If the operating system says no.
    """
    _sync(fd, os.fsync if _FULL_SYNC is not None else os.fdatasync)


def sync_file(fd: int) -> None:
    """Make a file durable after it was cut or created; likewise.

    Raises:
        SyncFailed: If the operating system says no.
    """
    _sync(fd, os.fsync)


def _sync(fd: int, plain: Callable[[int], None]) -> None:
    try:
        if _FULL_SYNC is not None:
            fcntl.fcntl(fd, _FULL_SYNC)
        else:
            plain(fd)
    except OSError as error:
        raise SyncFailed(error) from error


def sync_directory(path: str) -> None:
    """Make a directory's entries durable.

    Raises:
        OSError: If it cannot be opened.
        SyncFailed: If the operating system says no.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_file(fd)
    except SyncFailed as failed:
        if failed.error.errno != errno.EINVAL:  # a file system that has no such thing (some FUSE ones)
            raise
    finally:
        close(fd)


def sync_tree_above(folder: str) -> None:
    """Make the entries of a directory and of every one above it durable; one that may not be opened is skipped."""
    path = os.path.realpath(folder)
    while True:
        with suppress(PermissionError):
            sync_directory(path)
        if path == os.path.dirname(path):
            return
        path = os.path.dirname(path)


def close(fd: int) -> None:
    """Close a descriptor whose file was only read, or synced: then whatever closing it answers changes nothing."""
    with suppress(OSError):
        os.close(fd)


def write_all(fd: int, text: bytes, offset: int) -> None:
    """Write ``text`` at ``offset``, in one call where the operating system takes it whole."""
    view = memoryview(text)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def read_at(fd: int, length: int, offset: int) -> bytes:
    """Read ``length`` bytes at ``offset``; fewer only at the end of the file."""
    parts: list[bytes] = []
    while length > 0:
        part = os.pread(fd, length, offset)
        if not part:
            break
        parts.append(part)
        length -= len(part)
        offset += len(part)
    return b"".join(parts) if len(parts) != 1 else parts[0]


@contextmanager
def opened(root: str, name: str, flags: int = os.O_RDONLY) -> Iterator[int | None]:
    """Open the store's file ``name``, and give its descriptor; None if it is not there.

    Raises:
        Damaged: If the file, or a directory on the way to it below ``root``, is a symbolic link.
    """
    fd = open_file(root, name, flags)
    try:
        yield fd
    finally:
        if fd is not None:
            close(fd)


def open_file(root: str, name: str, flags: int = os.O_RDONLY) -> int | None:
    """Open the store's file ``name``; None if it is not there (and ``flags`` do not create it).

    Raises:
        Damaged: If the file, or a directory on the way to it below ``root``, is a symbolic link, or it is no file.
        NotPermitted: If it is to be written and has other names (hard links), as in a ``cp -al`` backup.
    """
    at = 0
    while (at := name.find("/", at + 1)) != -1:
        if os.path.islink(f"{root}/{name[:at]}"):
            raise _not_ours(name[:at])
    try:
        fd = os.open(f"{root}/{name}", flags | _NO_FOLLOW | os.O_NONBLOCK, 0o666)
    except (FileNotFoundError, NotADirectoryError):
        if flags & os.O_CREAT:
            raise
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _not_ours(name) from error
        raise
    try:
        found = os.fstat(fd)
    except OSError:
        close(fd)
        raise
    if stat.S_ISREG(found.st_mode) and (found.st_nlink <= 1 or not flags & (os.O_RDWR | os.O_WRONLY)):
        return fd
    close(fd)
    if not stat.S_ISREG(found.st_mode):
        raise Damaged(name, 0, "it is not a regular file", "move it away and restore the file from a backup")
    raise NotPermitted(
        f"{name} has another name (a hard link, as in a 'cp -al' backup), and writing to it would change both",
        f"give the store a file of its own: cp -p {name} {name}.new && mv {name}.new {name}",
    )


def _not_ours(name: str) -> Damaged:
    return Damaged(name, 0, "it is a symbolic link", "put the file itself there: evcli follows no links in a store")


@contextmanager
def writer_lock(root: str, *, wait: float) -> Iterator[int]:
    """Hold the store's lock, waiting at most ``wait`` seconds for it, and give the descriptor of its file.

    The directory is locked with the file, which somebody may delete or replace while it is held. Both are opened anew
    each time, and unlocked rather than merely closed, so that a forked child never shares the lock nor keeps it.

    Raises:
        Busy: If it was not free in time.
    """
    deadline = time.monotonic() + wait
    pause = 0.001
    while not (held := _try_lock(root)):
        left = deadline - time.monotonic()
        if left <= 0:
            raise Busy(
                f"another writer has held the lock of {root} for {wait:g} s",
                "try again, or wait longer: --lock-wait 1m",
            )
        import random

        time.sleep(min(left, pause * random.uniform(0.5, 1.5)))  # noqa: S311 (so that rivals do not march in step)
        pause = min(0.02, pause * 1.5)
    holder = os.getpid()
    try:
        yield held[0]
    finally:
        _close(held, unlock=os.getpid() == holder)


@contextmanager
def folder_lock(folder: str) -> Iterator[bool]:
    """Try to hold the lock of one of evcli's own folders, in caches and records; give whether it was free."""
    held = _try_lock(folder)
    holder = os.getpid()
    try:
        yield bool(held)
    finally:
        _close(held, unlock=os.getpid() == holder)


def writer_is_alive(root: str) -> bool:
    """Say whether somebody holds the store's lock as a writer."""
    with opened(root, "lock") as fd:
        if fd is None:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(fd, fcntl.LOCK_UN)
        return False


def _try_lock(root: str) -> list[int]:
    """Lock the lock file and the directory; return their descriptors, or none if one of the two is taken."""
    fds: list[int] = []
    taken = False
    try:
        fd = open_file(root, "lock", os.O_RDWR | os.O_CREAT)
        assert fd is not None
        fds.append(fd)
        if _flock(fd) and _is_still_there(fd, os.path.join(root, "lock")):
            with suppress(PermissionError):  # who may not list it has the lock of the file alone
                fds.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            taken = all(_flock_directory(fd) for fd in fds[1:])
    finally:
        if not taken:
            _close(fds, unlock=True)
    return fds if taken else []


def _close(fds: list[int], *, unlock: bool) -> None:
    for fd in fds:
        if unlock:
            with suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)
        close(fd)


def _flock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _flock_directory(fd: int) -> bool:
    try:
        return _flock(fd)
    except OSError as error:
        if error.errno in (errno.EBADF, errno.EINVAL, errno.EOPNOTSUPP):  # NFS locks only what is open for writing
            return True
        raise


def _is_still_there(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def make_private_folder(path: str) -> None:
    """Make a directory for the user's own caches and records, and those above it, if they are not there."""
    os.makedirs(path, mode=0o700, exist_ok=True)


def replace_file(path: str, text: bytes, *, durable: bool) -> None:
    """Put ``text`` in the place of the file at ``path``, atomically; ``durable`` survives a power cut.

    Raises:
        OSError: If it cannot be written.
        SyncFailed: If a durable write could not be made sure of.
    """
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f".new-{os.getpid()}-{os.urandom(4).hex()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o666)
    try:
        try:
            write_all(fd, text, 0)
            if durable:
                sync_file(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    if durable:
        sync_directory(folder)
