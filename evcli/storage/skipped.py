"""The events that the user has decided to leave out of a view: a decision, so it outlives the cache."""

import json
import os
from contextlib import suppress

from evcli.storage.files import make_private_folder, replace_file, sync_tree_above


class Skipped:
    """The skipped events of one view, each by its position, for one fingerprint: a changed definition meets them again.

    Args:
        folder: The directory of such decisions about a store; None to know of none.
        view: The view's name.
    """

    def __init__(self, folder: str | None, view: str) -> None:
        self._path = os.path.join(folder, f"{view}.json") if folder else None

    def read(self, fingerprint: str) -> frozenset[int]:
        """Return the positions that are left out.

        Raises:
            OSError: If they are there and cannot be read.
        """
        if self._path is None:
            return frozenset()
        with suppress(FileNotFoundError), open(self._path, "rb") as file:
            found = json.load(file)
            if found["fingerprint"] == fingerprint:
                return frozenset(found["skipped"])
        return frozenset()

    def add(self, fingerprint: str, position: int) -> None:
        """Leave one more event out, durably."""
        assert self._path is not None
        positions = sorted(self.read(fingerprint) | {position})
        folder = os.path.dirname(self._path)
        is_new = not os.path.isdir(folder)
        make_private_folder(folder)
        replace_file(self._path, json.dumps({"fingerprint": fingerprint, "skipped": positions}).encode(), durable=True)
        if is_new:
            sync_tree_above(folder)

    def forget(self) -> None:
        """Leave nothing out any more."""
        if self._path is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._path)
