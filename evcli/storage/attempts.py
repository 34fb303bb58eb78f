"""How often something was begun and its process died: what kills its process is known by that, and can be set aside."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256

from evcli.storage.files import close, make_private_folder


class Attempts:
    """Attempts by key: a small file for each key that is being tried, locked by whoever tries it, until it ends.

    So a death is told from another process, or thread, that is at the same thing; it is not counted while that lives.
    Nothing is synced: a power cut forgets the deaths.

    Args:
        folder: The directory that holds them; None to count none.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def begin(self, key: str) -> int:
        """Note that an attempt begins, and return how many before it ended with the death of their process."""
        path = self._path(key)
        if path is None:
            return 0
        with suppress(OSError, ValueError):
            fd = _lock(path)
            try:
                before = int(os.pread(fd, 20, 0) or b"0")
                os.pwrite(fd, b"%d" % (before + 1), 0)
            except BaseException:
                close(fd)
                raise
            self._held[key] = fd
            return before
        return 0

    def deaths(self, key: str) -> int:
        """Return how many attempts ended, or may yet end, with the death of their process."""
        path = self._path(key)
        if path is not None:
            with suppress(OSError, ValueError), open(path, "rb") as file:
                return int(file.read() or b"0")
        return 0

    def end(self, key: str) -> None:
        """Note that the attempt has ended, however: all attempts before are forgotten."""
        path, fd = self._path(key), self._held.pop(key, None)
        if path is not None and fd is not None:
            with suppress(OSError):
                os.unlink(path)
            close(fd)

    @contextmanager
    def turn(self, name: str) -> Iterator[bool]:
        """Take a turn at something, if nobody else is at it; give whether it is ours. A turn ends with its process."""
        path, fd, is_ours = self._path(f"turn {name}"), None, True
        if path is not None:
            try:
                fd = _lock(path)
            except BlockingIOError:
                is_ours = False
            except OSError:
                pass  # without a place to tell the others, everybody is at everything
        try:
            yield is_ours
        finally:
            if path is not None and fd is not None:
                with suppress(OSError):
                    os.unlink(path)
                close(fd)

    def _path(self, key: str) -> str | None:
        return os.path.join(self._folder, sha256(key.encode()).hexdigest()) if self._folder else None


def _lock(path: str) -> int:
    """Open a file, which is made if need be, and lock it.

    Raises:
        BlockingIOError: If somebody else has it.
    """
    make_private_folder(os.path.dirname(path))
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        close(fd)
        raise
    return fd
