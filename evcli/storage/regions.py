"""The bytes of commits as the journal tells of them, each checked against the seal that it vouches for."""

from collections import OrderedDict
from types import TracebackType
from typing import Final, Self

from evcli.errors import Damaged
from evcli.storage.files import close, open_file, read_at
from evcli.storage.layout import stream_path
from evcli.storage.lines import SUFFIX_BYTES, ZEROS, JournalWrite, chain, seal_in

_MOST_OPEN: Final = 64


class RegionReader:
    """Reads the regions of commits; keeps the files it read last open. A context manager."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._open: OrderedDict[str, int] = OrderedDict()
        self._read_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._open:
            close(self._open.popitem()[1])

    def read(self, write: JournalWrite, *, previous: str | None = None) -> list[bytes]:
        """Return the event lines of one write, without newlines.

        Args:
            write: The write.
            previous: The seal before it, where that is known; else it is taken from the stream.

        Raises:
            Damaged: If they are not what the journal vouches for.
        """
        name = stream_path(write.stream)
        before = min(write.offset, SUFFIX_BYTES + 1)
        text = read_at(self._fd(write.stream, name), before + write.length, write.offset - before)
        if previous is None:
            previous = (
                (seal_in(text[: before - 1]) if text[before - 1 : before] == b"\n" else None) if before else ZEROS
            )
        region = text[before:]
        if len(region) < write.length:
            raise Damaged(name, write.offset + len(region), f"the file ends within the commit at byte {write.offset}")
        self._read_bytes += write.length
        body = memoryview(region)[: -SUFFIX_BYTES - 1]
        if previous is None or chain(previous, body, among=self._read_bytes) != write.seal:
            raise Damaged(name, write.offset, "a commit does not match the seal that the journal has for it")
        lines = region.split(b"\n")[:-1]
        if len(lines) != write.count or seal_in(lines[-1]) != write.seal:
            raise Damaged(name, write.offset, "a commit does not match the journal")
        return lines

    def _fd(self, stream: str, name: str) -> int:
        fd = self._open.pop(stream, None)
        if fd is None:
            fd = open_file(self._root, name)
            if fd is None:
                raise Damaged(name, 0, "the file is missing")
        self._open[stream] = fd
        if len(self._open) > _MOST_OPEN:
            close(self._open.popitem(last=False)[1])
        return fd
