"""Examining a whole store: every seal and hash, positions and versions without gaps, journal against streams.

Nothing stops it: each thing that is wrong becomes a finding, with the place and with what is still trustworthy.
"""

import os
from collections.abc import Iterator
from typing import Final

from evcli.errors import Damaged
from evcli.storage import journal
from evcli.storage.codec import loads
from evcli.storage.commit import EMPTY, NO_TIP, Tip
from evcli.storage.contract import Finding, Head, Report
from evcli.storage.ends import Line
from evcli.storage.files import opened
from evcli.storage.layout import JOURNAL_FILE, find_streams, stream_path
from evcli.storage.lines import (
    ZEROS,
    JournalEntry,
    JournalWrite,
    Mark,
    hash_in,
    hash_is_right,
    read_front,
    read_journal_line,
)
from evcli.storage.looking import Look, Looks, counted_end
from evcli.storage.regions import RegionReader
from evcli.storage.settle import head_of
from evcli.storage.stream_file import StreamFile

_MEMBERS: Final = [
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
]


def examine(root: str, *, against: Mark | None = None) -> Report:
    """Go through the journal and all it vouches for, then look for what it does not know.

    Args:
        root: The store.
        against: A checkpoint kept elsewhere, which the history must still hold.
    """
    return _Examination(root, against).run()


def require_sound(report: Report) -> Report:
    """Return the report if nothing was found.

    Raises:
        Damaged: For the first finding; ``facts["findings"]`` has all of them as JSON objects.
    """
    if not report.findings:
        return report
    first = report.findings[0]
    error = Damaged(first.file, first.offset, first.problem)
    records = (finding._asdict().items() for finding in report.findings)
    error.facts["findings"] = [{key: value for key, value in record if value not in (None, "")} for record in records]
    raise error


class _Examination:
    """One pass over a store, and what it has found so far."""

    def __init__(self, root: str, against: Mark | None) -> None:
        self._root = root
        self._against = against
        self._looks = Looks(root)
        self._findings: list[Finding] = []
        self._tips: dict[str, Tip] = {}
        self._journal_is_sound = True
        self._commits = self._events = 0

    def run(self) -> Report:
        look = self._look()
        last: JournalEntry | None = None
        with RegionReader(self._root) as regions:
            for entry in self._entries(look.head.token):
                for write, position in entry.placed_writes():
                    self._check_write(entry, write, position, regions)
                self._commits, self._events, last = self._commits + 1, self._events + entry.count, entry
        self._check_files(look)
        head = head_of(last, look.head.token)
        if self._against and self._against.position > head.position:
            self._miss_checkpoint(head)
        size = look.head.token + sum(tip.offset for tip in self._tips.values())
        pending = look.pending is not None
        return Report(len(self._tips), self._events, self._commits, size, head, pending, tuple(self._findings))

    def _look(self) -> Look:
        """Find the end of what counts; where it is damaged, all of the journal's complete lines."""
        try:
            return self._looks.look()
        except Damaged as error:
            self._find("end", error.file, error.offset, error.problem, trust="what other findings do not name")
            with opened(self._root, JOURNAL_FILE) as fd:
                end = 0
                if fd is not None:
                    for line in journal.lines_between(fd, 0, os.fstat(fd).st_size):
                        end = line.end
            return Look(EMPTY._replace(token=end), EMPTY)

    def _find(self, kind: str, file: str, offset: int, problem: str, **facts: object) -> None:
        self._findings.append(Finding(kind, file, offset, problem, **facts))  # type: ignore[arg-type]  # as Finding has them

    def _entries(self, end: int) -> Iterator[JournalEntry]:
        """Yield the journal's entries; a line that does not check is a finding, and the ones after it go on."""
        previous_hash, position, time = ZEROS, 0, ""
        with opened(self._root, JOURNAL_FILE) as fd:
            for number, line in enumerate(journal.lines_between(fd, 0, end) if fd is not None else (), 1):
                entry = read_journal_line(line.text)
                if entry is None or not hash_is_right(line.text, previous_hash):
                    self._find_line(number, line, position, "a line does not match its hash")
                    entry = None
                elif entry.position != position + 1 and self._journal_is_sound:
                    self._find_line(
                        number, line, position, f"position {entry.position} stands where {position + 1} should"
                    )
                elif entry.time < time or entry.count != sum(write.count for write in entry.writes):
                    self._find_line(number, line, position, "the line does not fit the ones before")
                previous_hash = hash_in(line.text) or previous_hash
                if entry is not None:
                    position, time = entry.last_position, entry.time
                    self._check_against(entry)
                    yield entry

    def _find_line(self, number: int, line: Line, position: int, problem: str) -> None:
        self._journal_is_sound = False
        trust = f"positions up to {position}; the streams themselves, from which the journal can be rebuilt"
        self._find("journal", JOURNAL_FILE, line.offset, problem, line=number, trust=trust)

    def _check_against(self, entry: JournalEntry) -> None:
        against = self._against
        if against and entry.position <= against.position <= entry.last_position and entry.hash != against.hash:
            problem = f"the history up to position {against.position} is another one than the checkpoint's"
            self._find(
                "rewritten", JOURNAL_FILE, 0, problem, positions=(1, against.position), trust="nothing up to there"
            )

    def _miss_checkpoint(self, head: Head) -> None:
        assert self._against is not None
        lost = (head.position + 1, self._against.position)
        problem = f"the checkpoint is at position {self._against.position}, and the store ends at {head.position}"
        self._find(
            "truncated", JOURNAL_FILE, head.token, problem, positions=lost, trust=f"positions up to {head.position}"
        )

    def _check_write(self, entry: JournalEntry, write: JournalWrite, position: int, regions: RegionReader) -> None:
        """Check one write of a commit on its stream's tip, and move that on as the journal has it."""
        tip = self._tips.get(write.stream, NO_TIP)
        versions, positions = (write.version, write.version + write.count - 1), (position, position + write.count - 1)
        time = tip.time
        try:
            if self._journal_is_sound:
                _check_follows(write, tip)
            lines = regions.read(write, previous=tip.seal if write.offset == tip.offset else None)
            time = check_lines(entry, write, position, lines, time)
        except Damaged as error:
            self._find(
                "commit",
                error.file,
                error.offset,
                error.problem,
                line=write.version,
                stream=write.stream,
                versions=versions,
                positions=positions,
                trust=f"{write.stream} up to version {write.version - 1}, and other streams",
            )
        self._tips[write.stream] = Tip(versions[1], time, write.offset + write.length, write.seal)

    def _check_files(self, look: Look) -> None:
        try:
            streams = set(find_streams(self._root))
        except Damaged as error:
            self._find("link", error.file, 0, error.problem, trust="what is not behind the link")
            return
        for stream in sorted(streams | self._tips.keys()):
            self._check_file(stream, self._tips.get(stream, NO_TIP), look)

    def _check_file(self, stream: str, tip: Tip, look: Look) -> None:
        name, problem = stream_path(stream), ""
        try:
            with opened(self._root, name) as fd:
                size = os.fstat(fd).st_size if fd is not None else 0
                if fd is None or size <= tip.offset:  # what is short was found when it was read
                    return
                end = counted_end(self._looks, StreamFile(fd, stream, name), look.head.position)
            if end > tip.offset:
                problem = "events that the journal does not know"
        except Damaged as error:
            problem = error.problem if error.file == name else "events that the journal does not know"
        if problem:
            trust = f"{stream} up to version {tip.version}" if tip.version else "other streams"
            self._find("unexplained", name, tip.offset, problem, line=tip.version + 1, stream=stream, trust=trust)


def _check_follows(write: JournalWrite, tip: Tip) -> None:
    if (write.offset, write.version) != (tip.offset, tip.version + 1):
        raise Damaged(stream_path(write.stream), write.offset, f"version {write.version} follows {tip.version}")


def check_lines(entry: JournalEntry, write: JournalWrite, position: int, lines: list[bytes], time: str) -> str:
    """Check that the lines of one write are the events that the journal tells of; return the last one's time.

    Raises:
        Damaged: If they are not.
    """
    name, offset = stream_path(write.stream), write.offset
    around = [entry.position, entry.count] if len(entry.writes) > 1 else None
    for index, line in enumerate(lines):
        front = read_front(line)
        version = write.version + index
        if front is None or front[:3] != (position + index, write.stream, version) or front.time < time:
            raise Damaged(name, offset, f"not the event of version {version} at position {position + index}")
        sealed = index == len(lines) - 1
        problem = _line_problem(line, entry.time, around if sealed else None, sealed=sealed)
        if problem:
            raise Damaged(name, offset, problem)
        time, offset = front.time, offset + len(line) + 1
    return time


def _line_problem(line: bytes, commit_time: str, around: list[int] | None, *, sealed: bool) -> str:
    try:
        event = loads(line)
    except ValueError as error:
        return f"not JSON: {error}"
    members = list(event)
    if members != [member for member in _MEMBERS if member in event] or ("seal" in event) != sealed:
        return "not an event line of format 1"
    if event.get("commit") != around or event.get("recorded", event["time"]) != commit_time:
        return "the line and the journal differ about the commit it belongs to"
    return ""
