"""The journal: the store's commits in their order. Its end, its places, its entries."""

import os
from collections.abc import Iterator

from evcli.errors import Damaged
from evcli.light_typing import Final, NamedTuple
from evcli.storage.ends import Line, find_line, last_lines
from evcli.storage.files import read_at
from evcli.storage.lines import (
    ZEROS,
    JournalEntry,
    find_holes,
    hash_in,
    hash_is_right,
    read_journal_line,
    read_journal_position,
)

FILE: Final = "journal.jsonl"
_BLOCK: Final = 256 << 10


class Tail(NamedTuple):
    """The journal's end.

    ``last`` is the last complete entry and ``before`` the one before it, each None where there is none; ``start``
    and ``end`` are where ``last`` begins and ends; ``torn`` says whether bytes of a torn line follow it.
    """

    before: JournalEntry | None
    last: JournalEntry | None
    start: int
    end: int
    torn: bool


NO_TAIL: Final = Tail(None, None, 0, 0, torn=False)


def size_of(root: str) -> int:
    """Return the journal's size in bytes, 0 where there is none."""
    try:
        return os.stat(os.path.join(root, FILE)).st_size
    except FileNotFoundError:
        return 0


def read_tail(fd: int, size: int) -> Tail:
    """Read the last entries of the first ``size`` bytes, their hashes checked.

    Raises:
        Damaged: If a complete line is not what it was, or there are NULs that no power cut leaves.
    """
    ending = last_lines(fd, size, lambda lines: len(lines) > 3)  # noqa: PLR2004 (torn, last, before, and its hash)
    lines, size = ending.lines, ending.size
    torn_at = size - len(ending.rest)
    if lines and not ending.rest and b"\0" in lines[-1].text:
        torn_at = lines.pop().offset
    if torn_at < size:
        holes = find_holes(read_at(fd, size - torn_at, torn_at), torn_at)
        if holes is not None and not holes.torn:
            raise Damaged(FILE, holes.first, "NUL bytes that no power cut leaves")
    entries = _check_lines(lines[-3:])
    last = entries[-1] if entries else None
    before = entries[-2] if len(entries) > 1 else None
    start = lines[-1].offset if lines else 0
    return Tail(before, last, start, torn_at, torn_at < size)


def _check_lines(lines: list[Line]) -> list[JournalEntry]:
    """Parse consecutive lines; check each one's hash and place, the first's only where it begins the journal."""
    entries: list[JournalEntry] = []
    for line in lines:
        previous = entries[-1] if entries else None
        if previous is None and line.offset > 0:
            entry = read_journal_line(line.text)
            if entry is None or hash_in(line.text) is None:
                raise Damaged(FILE, line.offset, "not a journal line")
        else:
            entry = check_entry(line, previous)
        entries.append(entry)
    return entries


def check_entry(line: Line, previous: JournalEntry | None) -> JournalEntry:
    """Parse a journal line and check that it follows ``previous`` (None: that it is the first).

    Raises:
        Damaged: If it does not.
    """
    entry = read_journal_line(line.text)
    if entry is None or not hash_is_right(line.text, previous.hash if previous else ZEROS):
        raise Damaged(FILE, line.offset, "a line does not match its hash")
    expected = previous.last_position + 1 if previous else 1
    if entry.position != expected or entry.count != sum(write.count for write in entry.writes):
        raise Damaged(FILE, line.offset, f"position {entry.position} stands where {expected} should")
    return entry


def entries_after(fd: int, position: int, end: int) -> Iterator[JournalEntry]:
    """Yield the entries that hold events with positions above ``position``, from the first ``end`` bytes, checked.

    Raises:
        Damaged: If one does not match its hash.
    """
    start = find_line(fd, 0, end, lambda line: _reaches(line, position), file=FILE)
    previous: JournalEntry | None = None
    if start > 0:
        line = last_lines(fd, start, bool).lines[-1]
        previous = read_journal_line(line.text)
        if previous is None:
            raise Damaged(FILE, line.offset, "not a journal line")
    for line in lines_between(fd, start, end):
        previous = check_entry(line, previous)
        yield previous


def lines_between(fd: int, start: int, end: int) -> Iterator[Line]:
    """Yield the lines from ``start`` to ``end``, both line boundaries."""
    at, rest = start, b""
    while start < end:
        text = read_at(fd, min(_BLOCK, end - start), start)
        if not text:
            raise Damaged(FILE, start, "the file became shorter while it was read")
        start += len(text)
        lines = (rest + text).split(b"\n")
        rest = lines.pop()
        for line in lines:
            yield Line(at, line)
            at += len(line) + 1


def _reaches(line: bytes, position: int) -> bool | None:
    found = read_journal_position(line)
    return None if found is None else found[0] + found[1] - 1 > position
