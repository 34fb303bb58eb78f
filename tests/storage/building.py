"""Short words for the tests of storage: events to be stored, commits, and what a store's files hold."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evcli.domain.events import NewEvent, Write
from evcli.domain.expected import ANY, Expected
from evcli.storage.codec import new_event
from evcli.storage.contract import EventStore


def event(data: Any = None, **members: Any) -> NewEvent:
    return new_event({"type": "tested", "data": {} if data is None else data, **members})


def write(stream: str, *data: Any, expect: Expected = ANY) -> Write:
    """Write one event for each of ``data``, or a single empty one."""
    return Write(stream, [event(value) for value in data or ({},)], expect)


def stored_lines(store: EventStore, stream: str, **bounds: Any) -> list[bytes]:
    end = bounds.pop("end", None) or store.head().position
    return [line for chunk in store.read_stream(stream, end=end, **bounds) for line in chunk.lines]


def all_lines(store: EventStore, after: int = 0) -> list[bytes]:
    return [line for lines in store.read_all(end=store.head().position, after=after) for line in lines]


def contents(root: Path) -> dict[str, bytes]:
    """Read every file of a store but the quarantine, which only ever grows."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if path.parent.name != "quarantine":
                found[str(path.relative_to(root))] = path.read_bytes()
    return found


def overwrite(path: Path, text: bytes, offset: int = 0) -> None:
    """Write in place, as evcli does to its lock file: the file stays the same one."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(text)


@contextmanager
def mark_of_before(root: Path) -> Iterator[None]:
    """Leave the mark after the block as it was before it, as a writer does that is killed before it marks."""
    lock = root / "lock"
    mark = lock.read_bytes() if lock.exists() else b""
    yield
    overwrite(lock, mark.ljust(95, b" "))


def rest_of_sector(size: int) -> int:
    return -size % 512
