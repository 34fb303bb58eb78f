"""Small files of evcli's own, written so that a reader finds the old one or the new one."""

import os
from contextlib import suppress


def write_record(path: str, text: bytes, *, durable: bool) -> None:
    """Put ``text`` in the place of the file at ``path``, atomically, making its directory; ``durable`` syncs both.

    Raises:
        OSError: If it cannot be written.
    """
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    temporary = os.path.join(folder, f".new-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        with open(temporary, "xb") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    if durable:
        sync_folder(folder)


def sync_folder(folder: str) -> None:
    """Make a directory's entries durable.

    Raises:
        OSError: If the operating system says no.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
