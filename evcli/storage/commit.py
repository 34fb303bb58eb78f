"""A commit, built whole in memory before a byte is written. Pure: the clock's time comes in as an argument."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from evcli.domain.events import NewEvent, Write
from evcli.domain.names import check_name
from evcli.errors import Refused
from evcli.light_typing import Final, NamedTuple
from evcli.storage.codec import MAX_LINE_BYTES
from evcli.storage.contract import Head, Receipt, StreamReceipt
from evcli.storage.event_texts import EventTexts
from evcli.storage.lines import (
    SEAL_KEY,
    SUFFIX_BYTES,
    ZEROS,
    JournalWrite,
    chain_all,
    journal_line,
    open_event_line,
    open_event_lines,
)

MAX_COMMIT_BYTES: Final = 64 << 20
_AT_ONCE: Final = 1000
EMPTY: Final = Head(0, ZEROS, "")


class Tip(NamedTuple):
    """The end of a stream: version and time of its last event, its size in bytes, its last seal."""

    version: int
    time: str
    offset: int
    seal: str


NO_TIP: Final = Tip(0, "", 0, ZEROS)


class Part(NamedTuple):
    """One stream's part of a commit: its lines up to the seal, as the journal tells of them, and the stream's end after them.

    The ``bodies`` are the lines in pieces. Those of many events are made anew each time they are gone through, so that
    so much is never held at once.
    """

    bodies: Iterable[bytes]
    write: JournalWrite
    tip: Tip

    def pieces(self) -> Iterator[bytes]:
        """Yield the part's bytes, the seal with the last of them."""
        last = b""
        for body in self.bodies:
            if last:
                yield last
            last = body
        yield last + SEAL_KEY + self.write.seal.encode() + b'"}\n'

    def lines(self) -> list[bytes]:
        """Return its lines, without newlines."""
        return b"".join(self.pieces()).split(b"\n")[:-1]


class Commit(NamedTuple):
    """A commit ready to be written; ``head`` is the store's end after it."""

    journal_text: bytes
    parts: tuple[Part, ...]
    head: Head
    receipt: Receipt


def check_writes(writes: Sequence[Write]) -> None:
    """Do nothing if ``writes`` can be one commit.

    Raises:
        Refused: If a stream has no proper name.
        ValueError: If a stream is named twice, or there is no event for one.
    """
    for write in writes:
        check_name(write.stream)
    if (
        not writes
        or len({write.stream for write in writes}) != len(writes)
        or not all(write.events for write in writes)
    ):
        raise ValueError("a commit takes each stream once, with at least one event")


def build_commit(head: Head, tips: Mapping[str, Tip], writes: Sequence[Write], *, now: str) -> Commit:
    """Build the commit that stores ``writes`` after ``head``, each on its stream's tip.

    Raises:
        Refused: If an event's time does not fit its stream, a line is over 1 MiB, or the commit over 64 MiB.
    """
    time = max(now, head.time)
    total = sum(len(write.events) for write in writes)
    first = position = head.position + 1
    parts: list[Part] = []
    for write in writes:
        around = (first, total) if len(writes) > 1 else None
        try:
            part = _build_part(write, tips.get(write.stream, NO_TIP), position, time, around)
        except Refused as error:
            if error.index is not None:
                error.index += position - first
            raise
        parts.append(part)
        position += len(write.events)
    if sum(part.write.length for part in parts) > MAX_COMMIT_BYTES:
        raise Refused("a commit of over 64 MiB", "append it in several commits")
    line = journal_line(first, total, time, [part.write for part in parts], head.hash)
    receipts = tuple(StreamReceipt(part.write.stream, part.tip.version, part.write.count) for part in parts)
    return Commit(
        line.text,
        tuple(parts),
        Head(position - 1, line.hash, time, head.token + len(line.text)),
        Receipt(position - 1, total, parts[-1].tip.time, receipts),
    )


def _build_part(write: Write, tip: Tip, position: int, commit_time: str, around: tuple[int, int] | None) -> Part:
    stream, count = write.stream, len(write.events)
    bodies: Iterable[bytes] = _Bodies(write, tip, position, commit_time, around)
    if count <= _AT_ONCE:
        bodies = list(bodies)
    seal, size = chain_all(tip.seal, bodies)
    length = size + SUFFIX_BYTES + len("\n")
    time = write.events[-1].time or max(commit_time, tip.time)
    written = JournalWrite(stream, tip.version + 1, count, tip.offset, length, seal)
    return Part(bodies, written, Tip(tip.version + count, time, tip.offset + length, seal))


class _Bodies:
    """A part's lines in pieces of up to 1,000, the last of them open for its seal."""

    def __init__(self, write: Write, tip: Tip, position: int, commit_time: str, around: tuple[int, int] | None) -> None:
        self._write = write
        self._tip = tip
        self._position = position
        self._commit_time = commit_time
        self._around = around

    def __iter__(self) -> Iterator[bytes]:
        time, count = self._tip.time, len(self._write.events)
        for first in range(0, count, _AT_ONCE):
            lines, time = self._open_lines(first, time)
            if max(map(len, lines)) + len("}\n") > MAX_LINE_BYTES:
                raise _too_long(first + next(n for n, line in enumerate(lines) if len(line) + 2 > MAX_LINE_BYTES))
            if first + _AT_ONCE < count:
                yield b"}\n".join(lines) + b"}\n"
                continue
            if self._around:
                lines[-1] += b',"commit":[%d,%d]' % self._around
            if len(lines[-1]) + SUFFIX_BYTES + len("\n") > MAX_LINE_BYTES:
                raise _too_long(count - 1)
            yield b"}\n".join(lines)

    def _open_lines(self, first: int, time: str) -> tuple[list[bytes], str]:
        """Return lines from one on, open at their end, and the time of the last of them."""
        stream, events, commit_time = self._write.stream, self._write.events, self._commit_time
        position, version = self._position + first, self._tip.version + 1 + first
        if isinstance(events, EventTexts) and time <= commit_time:
            texts = events.texts(first, first + _AT_ONCE)
            return open_event_lines(position, stream, version, commit_time, texts), commit_time
        lines: list[bytes] = []
        for index, event in enumerate(events[first : first + _AT_ONCE]):
            time = _time_of(event, first + index, stream, time, commit_time)
            line = open_event_line(
                position=position + index,
                stream=stream,
                version=version + index,
                time=time,
                event=event,
                recorded=None if time == commit_time else commit_time,
            )
            lines.append(line)
        return lines, time


def _time_of(event: NewEvent, index: int, stream: str, last: str, commit_time: str) -> str:
    if event.time is None:
        return max(commit_time, last)
    if event.time < last:
        raise _refused(
            index, f"the time {event.time} is before {stream}'s last event ({last})", "a stream's times never go back"
        )
    if event.time > commit_time:
        raise _refused(index, f"the time {event.time} is in the future", "an event is recorded after it happened")
    return event.time


def _too_long(index: int) -> Refused:
    hint = "keep the document in a file, and its name and hash in the event"
    return _refused(index, "a line of over 1 MiB", hint)


def _refused(index: int, message: str, hint: str) -> Refused:
    error = Refused(message, hint)
    error.index = index
    return error
