"""How often something was begun and never ended: what kills its process is known by that, and can be set aside."""

import os
from contextlib import suppress
from hashlib import sha256

from evcli.storage.files import make_private_folder, replace_file


class Attempts:
    """Attempts by key, a small file for each that is going on. Nothing is synced: a power cut forgets them.

    Args:
        folder: The directory that holds them; None to count none.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder

    def begin(self, key: str) -> int:
        """Note that an attempt begins, and return how many before it have not ended."""
        path = self._path(key)
        if path is None:
            return 0
        before = 0
        with suppress(OSError, ValueError), open(path, "rb") as file:
            before = int(file.read())
        with suppress(OSError):
            make_private_folder(os.path.dirname(path))
            replace_file(path, str(before + 1).encode(), durable=False)
        return before

    def end(self, key: str) -> None:
        """Note that it has ended, however: all attempts before are forgotten."""
        if path := self._path(key):
            with suppress(OSError):
                os.unlink(path)

    def _path(self, key: str) -> str | None:
        return os.path.join(self._folder, sha256(key.encode()).hexdigest()) if self._folder else None
