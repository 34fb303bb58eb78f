"""A commit, built whole in memory before a byte is written. Pure: the clock's time comes in as an argument."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from evcli.domain.events import NewEvent, Write
from evcli.domain.names import check_name
from evcli.errors import Refused
from evcli.storage.codec import MAX_LINE_BYTES
from evcli.storage.contract import Head, Receipt, StreamReceipt
from evcli.storage.event_texts import EventTexts
from evcli.storage.lines import (
    SEAL_KEY,
    SUFFIX_BYTES,
    ZEROS,
    JournalWrite,
    chain,
    journal_line,
    open_event_line,
    open_event_lines,
)

MAX_COMMIT_BYTES: Final = 64 << 20
EMPTY: Final = Head(0, ZEROS, "")


class Tip(NamedTuple):
    """The end of a stream: version and time of its last event, its size in bytes, its last seal."""

    version: int
    time: str
    offset: int
    seal: str


NO_TIP: Final = Tip(0, "", 0, ZEROS)


class Part(NamedTuple):
    """One stream's part of a commit: its bytes, as the journal tells of them, and the stream's end after them."""

    text: bytes
    write: JournalWrite
    tip: Tip


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
    if sum(len(part.text) for part in parts) > MAX_COMMIT_BYTES:
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
    events, stream = write.events, write.stream
    if isinstance(events, EventTexts) and tip.time <= commit_time:
        time = commit_time
        lines = open_event_lines(position, stream, tip.version + 1, time, events.texts())
    else:
        lines, time = _open_lines(events, stream, tip, position, commit_time)
    if max(map(len, lines)) + len("}\n") > MAX_LINE_BYTES:
        raise _too_long(next(index for index, line in enumerate(lines) if len(line) + len("}\n") > MAX_LINE_BYTES))
    if around:
        lines[-1] += b',"commit":[%d,%d]' % around
    if len(lines[-1]) + SUFFIX_BYTES + len("\n") > MAX_LINE_BYTES:
        raise _too_long(len(lines) - 1)
    body = b"}\n".join(lines)
    seal = chain(tip.seal, body)
    text = body + SEAL_KEY + seal.encode() + b'"}\n'
    version, count = tip.version + len(lines), len(lines)
    written = JournalWrite(stream, tip.version + 1, count, tip.offset, len(text), seal)
    return Part(text, written, Tip(version, time, tip.offset + len(text), seal))


def _open_lines(
    events: Sequence[NewEvent], stream: str, tip: Tip, position: int, commit_time: str
) -> tuple[list[bytes], str]:
    """Return the events' lines, open at their end, and the time of the last one."""
    lines: list[bytes] = []
    time = tip.time
    for index, event in enumerate(events):
        time = _time_of(event, index, stream, time, commit_time)
        line = open_event_line(
            position=position + index,
            stream=stream,
            version=tip.version + index + 1,
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
