"""The audit trail: which stored lines to show, in which order, and the ones that come."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from evcli.domain.instants import just_before
from evcli.domain.names import compile_glob, is_pattern, select_by
from evcli.errors import Damaged, StreamNotFound, Usage
from evcli.storage.codec import loads
from evcli.storage.contract import EventStore, Head
from evcli.storage.lines import Front, read_front

_WINDOW: Final = 1000
_WIDEST: Final = 64_000


class Selection(NamedTuple):
    """Which lines of the history are wanted; nothing said is all of them.

    ``streams`` are names and patterns; ``since`` and ``until`` canonical instants, both included; ``after`` (not
    included) and ``to`` (included) are versions and take one plain name; ``types`` are globs; ``tail`` keeps the
    last so many, ``limit`` the first of what would be shown.
    """

    streams: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    after: int = 0
    to: int | None = None
    after_position: int = 0
    types: tuple[str, ...] = ()
    limit: int | None = None
    tail: int | None = None
    reverse: bool = False

    @property
    def one_stream(self) -> str | None:
        """The plain name, if it is one that is wanted and nothing else."""
        return self.streams[0] if len(self.streams) == 1 and not is_pattern(self.streams[0]) else None


_ALL: Final = Selection()


def check_selection(store: EventStore, selection: Selection, *, end: int) -> None:
    """Do nothing if what is selected can be.

    Raises:
        Usage: If versions are given for more than one stream.
        StreamNotFound: If a plainly named stream is not there.
    """
    if (selection.after or selection.to is not None) and not selection.one_stream:
        raise Usage("versions belong to one stream", "name it, as in 'evcli log accounts/ann --after 3'")
    for stream in selection.streams:
        if not is_pattern(stream) and store.info(stream, end=end) is None:
            raise StreamNotFound(stream)


def select_lines(store: EventStore, selection: Selection, *, end: int) -> Iterator[bytes]:
    """Yield the selected stored lines, without newlines: a stream's in its order, several streams' in global order.

    Raises:
        Damaged: As soon as something does not verify.
    """
    numbered = _Numbered(store, selection, end)
    if selection.tail is not None:
        found = list(islice(numbered.backward(), selection.tail))
        lines = iter(found if selection.reverse else found[::-1])
    else:
        lines = numbered.backward() if selection.reverse else numbered.forward()
    return islice(lines, selection.limit)


def select_text(store: EventStore, selection: Selection, *, end: int) -> Iterator[bytes]:
    """Yield what `select_lines` does as it is stored: one or many lines at a time, each with its newline.

    Raises:
        Damaged: As soon as something does not verify.
    """
    if not (selection.one_stream and selection._replace(streams=(), since=None, until=None, after=0, to=None) == _ALL):
        return (line + b"\n" for line in select_lines(store, selection, end=end))
    return _Numbered(store, selection, end).text()


class _Numbered:
    """The selected lines by number: versions in one stream, else positions; so that their end is found at once."""

    def __init__(self, store: EventStore, selection: Selection, end: int) -> None:
        self._store = store
        self._end = end
        self._stream = selection.one_stream
        self._wanted = select_by(selection.streams)
        self._passes = line_filter(selection)
        self._first, self._last = selection.after_position, end
        if self._stream:
            self._first, self._last = self._versions(self._stream, selection)
            self._passes = line_filter(selection._replace(since=None, until=None))  # the versions say it all

    def _versions(self, stream: str, selection: Selection) -> tuple[int, int]:
        info = self._store.info(stream, end=self._end)
        first, last = selection.after, info.version if info else 0
        if selection.to is not None:
            last = min(last, selection.to)
        if selection.until is not None:
            last = min(last, self._store.version_at(stream, selection.until, end=self._end))
        if selection.since is not None:
            first = max(first, self._store.version_at(stream, just_before(selection.since), end=self._end))
        return first, last

    def forward(self) -> Iterator[bytes]:
        if self._first < self._last:
            yield from filter(self._passes, self._between(self._first, self._last))

    def text(self) -> Iterator[bytes]:
        """Yield a stream's lines as stored, many at a time: for where the versions say it all."""
        assert self._stream is not None
        if self._first < self._last:
            for chunk in self._store.read_stream(self._stream, end=self._end, after=self._first, to=self._last):
                yield chunk.text

    def backward(self) -> Iterator[bytes]:
        high, window = self._last, _WINDOW
        while high > self._first:
            low = max(self._first, high - window)
            yield from reversed([line for line in self._between(low, high) if self._passes(line)])
            high, window = low, min(_WIDEST, window * 2)  # a commit is read whole, however little of it is wanted

    def _between(self, low: int, high: int) -> Iterator[bytes]:
        if self._stream:
            for chunk in self._store.read_stream(self._stream, end=self._end, after=low, to=high):
                yield from chunk.lines
            return
        for lines in self._store.read_all(end=high, after=low, wanted=self._wanted):
            yield from (line for line in lines if front_of(line).position <= high)


def line_filter(selection: Selection) -> Callable[[bytes], bool]:
    """Compile what a selection says of single lines: position, time and type."""
    since, until, after = selection.since or "", selection.until or "~", selection.after_position
    if not (since or selection.until or after or selection.types):
        return bool
    globs = [compile_glob(glob) for glob in selection.types]

    def passes(line: bytes) -> bool:
        front = front_of(line)
        if front.position <= after or not since <= front.time <= until:
            return False
        return not globs or any(matches(loads(line)["type"]) for matches in globs)

    return passes


def front_of(line: bytes) -> Front:
    """Return the front of a stored line that was read and verified."""
    front = read_front(line)
    assert front is not None
    return front


def follow_lines(
    store: EventStore, selection: Selection, head: Head, *, idle: Callable[[], None]
) -> Iterator[list[bytes]]:
    """Yield the selected lines that are committed after ``head``, for ever, by commit.

    Args:
        store: The store.
        selection: Which lines; ``to``, ``tail`` and ``limit`` were for the history.
        head: The end of the store up to which the caller has read.
        idle: Called when there is nothing new: it waits for as long as it likes, and ends the following by raising.

    Raises:
        Damaged: If something does not verify, or the store went back behind what was read.
    """
    wanted, passes = select_by(selection.streams), line_filter(selection)
    while True:
        if not store.has_more(head):
            idle()
            continue
        new = store.head()
        if new.position < head.position or (new.position == head.position and new.hash != head.hash):
            raise Damaged("journal.jsonl", 0, "it went back behind what was read: another history was put in its place")
        for lines in store.read_all(end=new.position, after=head.position, wanted=wanted):
            kept = [line for line in lines if passes(line) and front_of(line).version > selection.after]
            if kept:
                yield kept
        if new.position == head.position:
            idle()
        head = new
