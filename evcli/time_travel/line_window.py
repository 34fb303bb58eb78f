"""The stored lines of a stream, those of one's neighbourhood at hand: a commit is read whole, however few of its events are wanted."""

from collections.abc import Iterable, Iterator
from typing import Final

from evcli.errors import Damaged
from evcli.storage.contract import Chunk, EventStore

_AHEAD: Final = 256
_MOST_LINES: Final = 4096
_MOST_BYTES: Final = 32 << 20


class LineWindow:
    """Reads a stream's lines, and keeps the last ones that it has read, with some that come next.

    Args:
        store: The store.
        stream: The stream's name.
        end: The position up to which events count.
        version: The stream's version.
    """

    def __init__(self, store: EventStore, stream: str, *, end: int, version: int) -> None:
        self._store = store
        self._stream = stream
        self._end = end
        self._version = version
        self._after = 0
        self._lines: list[bytes] = []

    def between(self, after: int, to: int, chunks: Iterable[Chunk] | None = None) -> Iterator[list[bytes]]:
        """Yield the lines with versions above ``after``, up to and including ``to``.

        Args:
            after: The version before the first.
            to: The last version.
            chunks: These lines, where somebody has begun to read them already; None to read them.

        Raises:
            Damaged: As soon as something does not verify.
        """
        at = after
        while self._after <= at < min(to, self._after + len(self._lines)):
            held = self._lines[at - self._after : min(at + _AHEAD, to) - self._after]
            yield held
            at += len(held)
        if at >= to:
            return
        if at != self._after + len(self._lines):
            self._after, self._lines = at, []
        if chunks is None or at > after:
            chunks = self._read(at, min(self._version, to + _AHEAD))
        try:
            for chunk in chunks:
                lines = chunk.lines
                self._keep(lines)
                begun, at = at, chunk.version
                if begun < to:
                    yield lines[: to - begun]
        except Damaged:
            # What is damaged further on keeps nobody from what stands before it.
            if at < to:
                for chunk in self._read(at, to):
                    yield chunk.lines

    def _read(self, after: int, to: int) -> Iterator[Chunk]:
        return self._store.read_stream(self._stream, end=self._end, after=after, to=to)

    def _keep(self, lines: list[bytes]) -> None:
        """Keep lines that come next, all of them, and of those before them as many as there is room for."""
        room = max(0, _MOST_LINES - len(lines))
        before = self._lines[len(self._lines) - min(room, len(self._lines)) :]
        if sum(map(len, before)) > _MOST_BYTES:
            before = []
        self._after += len(self._lines) - len(before)
        self._lines = before + lines
