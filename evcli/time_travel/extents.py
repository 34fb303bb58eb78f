"""Which streams, and each of them up to which version, as of one moment."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from evcli.storage.contract import EventStore


class Extent(NamedTuple):
    """A stream from its first event up to and including ``version``."""

    stream: str
    version: int


def extent_of(store: EventStore, stream: str, *, end: int, until: str | None = None, to: int | None = None) -> Extent:
    """Return how far a stream reaches as of an instant, a version, or both: the earlier; 0 where it has no event by then."""
    info = store.info(stream, end=end)
    version = info.version if info else 0
    if version and until is not None:
        version = store.version_at(stream, until, end=end)
    return Extent(stream, version if to is None else min(version, to))


def extents(
    store: EventStore, wanted: Callable[[str], bool], *, end: int, until: str | None = None
) -> Iterator[Extent]:
    """Yield how far the wanted streams reach as of an instant, in the order of their names; without those that had no event."""
    for stream in store.streams():
        if wanted(stream):
            found = extent_of(store, stream, end=end, until=until)
            if found.version:
                yield found
