"""Checking a whole store: every seal and hash, positions and versions without gaps, journal against streams."""

from typing import Final

from evcli.errors import Damaged
from evcli.storage import journal
from evcli.storage.codec import loads
from evcli.storage.commit import NO_TIP, Tip
from evcli.storage.contract import Report
from evcli.storage.files import opened
from evcli.storage.layout import JOURNAL_FILE, find_streams, stream_path
from evcli.storage.lines import JournalEntry, JournalWrite, read_front
from evcli.storage.regions import RegionReader
from evcli.storage.stream_file import StreamFile
from evcli.storage.view import counted_end, read_view

_MEMBERS: Final = (
    "position",
    "stream",
    "version",
    "time",
    "type",
    "data",
    "meta",
    "id",
    "recorded",
    "v",
    "commit",
    "seal",
)


def verify_store(root: str) -> Report:
    """Go through the journal and all it vouches for, then look for what it does not.

    Raises:
        Damaged: At the first thing that is wrong.
    """
    view = read_view(root)
    tips: dict[str, Tip] = {}
    commits = events = 0
    last: JournalEntry | None = None
    with opened(root, JOURNAL_FILE) as fd, RegionReader(root) as regions:
        if fd is not None:
            for entry in journal.entries_after(fd, 0, view.head.token):
                _check_time(entry, last)
                position = entry.position
                for write in entry.writes:
                    lines = regions.read(write)
                    tips[write.stream] = _check_write(entry, write, position, lines, tips.get(write.stream, NO_TIP))
                    position += write.count
                commits, events, last = commits + 1, events + entry.count, entry
    _check_files(root, view.head.position, tips)
    size = view.head.token + sum(tip.offset for tip in tips.values())
    return Report(len(tips), events, commits, size, view.head, view.pending is not None)


def _check_time(entry: JournalEntry, last: JournalEntry | None) -> None:
    if last and entry.time < last.time:
        raise Damaged(JOURNAL_FILE, 0, f"the commit time at position {entry.position} is before the last one's")


def _check_write(entry: JournalEntry, write: JournalWrite, position: int, lines: list[bytes], tip: Tip) -> Tip:
    """Check one write of a commit on its stream's ``tip``; return the new tip."""
    name = stream_path(write.stream)
    if (write.offset, write.version) != (tip.offset, tip.version + 1):
        raise Damaged(name, write.offset, f"version {write.version} stands where {tip.version + 1} should")
    time, offset = tip.time, write.offset
    around = [entry.position, entry.count] if len(entry.writes) > 1 else None
    for index, line in enumerate(lines):
        front = read_front(line)
        expected = (position + index, write.stream, write.version + index)
        if front is None or front[:3] != expected or front.time < time:
            raise Damaged(
                name, offset, f"not the event of version {write.version + index} at position {position + index}"
            )
        sealed = index == len(lines) - 1
        _check_line(name, offset, line, entry.time, around if sealed else None, sealed=sealed)
        time, offset = front.time, offset + len(line) + 1
    return Tip(write.version + write.count - 1, time, write.offset + write.length, write.seal)


def _check_line(
    name: str, offset: int, line: bytes, commit_time: str, around: list[int] | None, *, sealed: bool
) -> None:
    try:
        event = loads(line)
    except ValueError as error:
        raise Damaged(name, offset, f"not JSON: {error}") from error
    members = list(event)
    if members != [member for member in _MEMBERS if member in event] or ("seal" in event) != sealed:
        raise Damaged(name, offset, "not an event line of format 1")
    if event.get("commit") != around or event.get("recorded", event["time"]) != commit_time:
        raise Damaged(name, offset, "the line and the journal differ about the commit it belongs to")


def _check_files(root: str, end: int, tips: dict[str, Tip]) -> None:
    for stream in find_streams(root):
        name = stream_path(stream)
        with opened(root, name) as fd:
            limit = counted_end(root, StreamFile(fd, stream, name), end) if fd is not None else 0
        if limit != tips.get(stream, NO_TIP).offset:
            raise Damaged(name, tips.get(stream, NO_TIP).offset, "events that the journal does not know")
