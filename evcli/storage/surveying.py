"""What can still be told of a damaged store: each stream's sound commits, and what the journal knows of the rest."""

import json
import os
from collections.abc import Iterator
from typing import NamedTuple

from evcli.errors import Damaged
from evcli.storage.ends import Line
from evcli.storage.files import opened
from evcli.storage.journal import lines_between
from evcli.storage.layout import JOURNAL_FILE, find_streams, stream_path
from evcli.storage.lines import (
    SUFFIX_BYTES,
    ZEROS,
    Front,
    JournalEntry,
    JournalWrite,
    chain,
    hash_in,
    hash_is_right,
    read_front,
    read_journal_line,
    seal_in,
)


class Known(NamedTuple):
    """A part of a commit: one stream's events, where they are in its file (``length`` 0: lost), and the commit.

    ``position`` and ``version`` are the first event's, ``commit`` is the whole commit's first position and count,
    ``time`` the commit time.
    """

    stream: str
    version: int
    count: int  # type: ignore[assignment]  # the part's word for it; nobody counts in the tuple
    position: int
    time: str
    commit: tuple[int, int]
    offset: int = 0
    length: int = 0

    @property
    def next_version(self) -> int:
        """The version after it."""
        return self.version + self.count

    @property
    def next_position(self) -> int:
        """The position after it."""
        return self.position + self.count


class Survey(NamedTuple):
    """All parts that are known, by position, and the sizes of the streams' files."""

    parts: list[Known]
    sizes: dict[str, int]


def survey(root: str) -> Survey:
    """Collect what is sound in the streams, and what the journal's sound lines tell of what is not.

    Raises:
        Damaged: If something cannot be told at all: it has to come from a backup.
    """
    told: dict[str, dict[int, tuple[JournalEntry, JournalWrite, int]]] = {}
    for entry, write, at in _journal_parts(root):
        told.setdefault(write.stream, {})[write.version] = (entry, write, at)
    parts: list[Known] = []
    sizes: dict[str, int] = {}
    for stream in sorted({*find_streams(root), *told}):
        own = told.get(stream, {}).values()
        seals = {write.version + write.count: write.seal for _, write, _ in own}
        sound = list(_sound_commits(root, stream, seals, sizes))
        held = {(part.version, part.count) for part in sound}
        lost = [
            Known(stream, write.version, write.count, at, entry.time, (entry.position, entry.count))
            for entry, write, at in own
            if (write.version, write.count) not in held
        ]
        parts += sound + [part for part in lost if not any(_overlap(part, other) for other in sound)]
    parts.sort(key=lambda part: part.position)
    return Survey(_close_gaps(parts), sizes)


def _overlap(one: Known, other: Known) -> bool:
    return one.version < other.next_version and other.version < one.next_version


def _journal_parts(root: str) -> Iterator[tuple[JournalEntry, JournalWrite, int]]:
    """Yield what the sound lines of the journal tell: entry, write, and the position of the write's first event."""
    previous: str | None = ZEROS
    with opened(root, JOURNAL_FILE) as fd:
        for line in lines_between(fd, 0, os.fstat(fd).st_size) if fd is not None else ():
            entry = read_journal_line(line.text)
            if entry is not None and (previous is None or hash_is_right(line.text, previous)):
                for write, position in entry.placed_writes():
                    yield entry, write, position
            previous = hash_in(line.text)


def _sound_commits(root: str, stream: str, seals: dict[int, str], sizes: dict[str, int]) -> Iterator[Known]:
    """Yield the commits of a stream that match their seals, in order; ``seals`` has the seal before a version."""
    with opened(root, stream_path(stream)) as fd:
        if fd is None:
            return
        sizes[stream] = os.fstat(fd).st_size
        version, previous = 1, ZEROS
        held: list[Line] = []
        for line in lines_between(fd, 0, sizes[stream]):
            held.append(line)
            seal = seal_in(line.text)
            if seal is None:
                continue
            part = _read_commit(stream, held, version, {previous, seals.get(version, previous)}, seals)
            if part is not None:
                yield part
                version = part.next_version
            previous, held = seal, []


def _read_commit(
    stream: str, lines: list[Line], version: int, previous: set[str], seals: dict[int, str]
) -> Known | None:
    """Read one commit, if it is sound and not before ``version``."""
    while lines and read_front(lines[0].text) is None:  # what stands before it may be the rest of a damaged one
        lines = lines[1:]
    fronts = [read_front(line.text) for line in lines]
    first = fronts[0] if fronts else None
    if first is None or first.version < version or not _in_order(stream, first, fronts):
        return None
    text = b"\n".join(line.text for line in lines)
    candidates = previous | {seals.get(first.version, ZEROS)}
    if not any(chain(seal, text[:-SUFFIX_BYTES]) == text[-66:-2].decode("latin-1") for seal in candidates):
        return None
    event = json.loads(lines[-1].text)
    around = event.get("commit", [first.position, len(lines)])
    time = event.get("recorded", event["time"])
    return Known(
        stream, first.version, len(lines), first.position, time, (around[0], around[1]), lines[0].offset, len(text) + 1
    )


def _in_order(stream: str, first: Front, fronts: list[Front | None]) -> bool:
    return all(
        front is not None and front[:3] == (first.position + index, stream, first.version + index)
        for index, front in enumerate(fronts)
    )


class _Gap(NamedTuple):
    """Versions that a stream lacks: the first, how many, and the positions between which they must have stood."""

    stream: str
    version: int
    count: int  # type: ignore[assignment]  # as above
    after: int
    before: int


def _close_gaps(parts: list[Known]) -> list[Known]:
    """Add what is lost without the journal knowing of it: positions that nothing holds, where a stream has a gap.

    Raises:
        Damaged: If it cannot be told to which stream they belonged.
    """
    gaps = _find_gaps(parts)
    commits = {part.commit: part.time for part in parts}
    found: list[Known] = []
    position, time = 1, parts[0].time if parts else ""
    for part in parts:
        while position < part.position:
            around = next((commit for commit in commits if commit[0] <= position < sum(commit)), None)
            run = min(part.position, sum(around) if around else part.position) - position
            gap = next((gap for gap in gaps if gap.after < position < gap.before), None)
            if gap is None:
                raise Damaged(
                    JOURNAL_FILE,
                    0,
                    f"nobody knows what stood at positions {position}-{part.position - 1}",
                    "restore the store from a backup: neither the journal nor a stream tells of them",
                )
            count = min(gap.count, run)
            commit = around or (position, count)
            found.append(Known(gap.stream, gap.version, count, position, commits.get(commit, time), commit))
            gaps.remove(gap)
            if gap.count > count:
                gaps.insert(0, gap._replace(version=gap.version + count, count=gap.count - count))
            position += count
        found.append(part)
        position, time = part.next_position, part.time
    return found


def _find_gaps(parts: list[Known]) -> list[_Gap]:
    last: dict[str, Known] = {}
    gaps: list[_Gap] = []
    for part in parts:
        before = last.get(part.stream)
        version, position = (before.next_version, before.next_position - 1) if before else (1, 0)
        if part.version > version:
            gaps.append(_Gap(part.stream, version, part.version - version, position, part.position))
        last[part.stream] = part
    return gaps
