"""One stream's file: its end, its places found by bisecting, its commits read and verified."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from evcli.domain.names import check_name
from evcli.errors import Damaged
from evcli.storage.codec import MAX_LINE_BYTES
from evcli.storage.commit import NO_TIP, Tip
from evcli.storage.contract import Bookmark, BookmarkLost, Chunk
from evcli.storage.digests import hasher
from evcli.storage.ends import Ending, Line, find_line, last_lines, line_at
from evcli.storage.files import opened, read_at
from evcli.storage.layout import stream_path
from evcli.storage.lines import SEAL_KEY, SUFFIX_BYTES, ZEROS, Front, chain, read_front, seal_in

_FIRST_READ: Final = 64 << 10
_FIRST_BEYOND: Final = 4 << 10
_MOST_READ: Final = 1 << 20
_SEAL_AT: Final = slice(-SUFFIX_BYTES, -SUFFIX_BYTES + len(SEAL_KEY))


class Commits(NamedTuple):
    """Lines of whole verified commits, and the offset and seal at which they end."""

    lines: list[bytes]
    offset: int
    seal: str


def cut_chunk(commits: Commits, file: str, *, after: int, to: int | None) -> Chunk:
    """Keep the lines with versions above ``after`` and up to ``to``; the bookmark goes if the last line does.

    Raises:
        Damaged: If the versions have a gap, between ``after`` and the first one too.
    """
    lines = commits.lines
    first, last = read_front(lines[0]), read_front(lines[-1])
    if first is None or last is None or first.version > after + 1 or last.version - first.version != len(lines) - 1:
        raise Damaged(file, commits.offset, "the versions before this byte have a gap")
    cut = to is not None and to < last.version
    kept = lines[max(0, after + 1 - first.version) : to + 1 - first.version if cut and to is not None else None]
    return Chunk(kept, None if cut else Bookmark(last.version, last.time, f"{commits.offset}:{commits.seal}"))


@contextmanager
def opened_stream(root: str, stream: str) -> Iterator["StreamFile | None"]:
    """Open a stream's file for reading; None if it has none.

    Raises:
        Refused: If that is no stream's name.
        Damaged: If it is a symbolic link.
    """
    name = stream_path(check_name(stream))
    with opened(root, name) as fd:
        yield None if fd is None else StreamFile(fd, stream, name)


class StreamFile:
    """A stream's file, open for reading.

    Args:
        fd: The open descriptor; closing it is the caller's business.
        stream: The stream's name.
        file: The file's name in the store, for messages.
    """

    def __init__(self, fd: int, stream: str, file: str) -> None:
        self.fd = fd
        self.stream = stream
        self.file = file

    def front(self, line: Line) -> Front:
        """Read the front of one of this stream's lines.

        Raises:
            Damaged: If it is no event line, or another stream's.
        """
        front = read_front(line.text)
        if front is None or front.stream != self.stream:
            raise Damaged(self.file, line.offset, "not an event of this stream")
        return front

    def tip(self, size: int) -> Tip:
        """Return the stream's end at ``size`` bytes, its last commit's seal verified.

        Raises:
            Damaged: If the file does not end in a sealed commit.
        """
        if size == 0:
            return NO_TIP
        ending = last_lines(self.fd, size, lambda lines: any(seal_in(line.text) for line in lines[:-1]))
        self._check_ending(ending)
        begins = len(ending.lines) - 1
        while begins > 0 and seal_in(ending.lines[begins - 1].text) is None:
            begins -= 1
        previous = (begins > 0 and seal_in(ending.lines[begins - 1].text)) or ZEROS
        commit = ending.lines[begins:]
        text = b"\n".join(line.text for line in commit)
        seal = seal_in(text)
        if seal is None or chain(previous, text[:-SUFFIX_BYTES]) != seal:
            raise Damaged(self.file, commit[0].offset, "the last commit does not match its seal")
        front = self.front(commit[-1])
        return Tip(front.version, front.time, size, seal)

    def _check_ending(self, ending: Ending) -> None:
        if ending.rest:
            raise Damaged(
                self.file, ending.size - len(ending.rest), "bytes after the last event that no commit explains"
            )
        if seal_in(ending.lines[-1].text) is None:
            raise Damaged(self.file, ending.lines[-1].offset, "the last event has no seal")

    def last_front(self, size: int) -> Front | None:
        """Return the front of the last event in the first ``size`` bytes; None if they do not end in a sealed event."""
        ending = last_lines(self.fd, size, bool)
        if ending.rest or not ending.lines or seal_in(ending.lines[-1].text) is None:
            return None
        front = read_front(ending.lines[-1].text)
        return front if front is not None and front.stream == self.stream else None

    def front_before(self, offset: int) -> Front:
        """Return the front of the event that ends at ``offset``, or at 0 of the first event.

        Raises:
            Damaged: If there is none.
        """
        line = last_lines(self.fd, offset, bool).lines[-1:] if offset else [line_at(self.fd, 0, 2 * MAX_LINE_BYTES)]
        if not line or line[0] is None:
            raise Damaged(self.file, offset, "no event ends here")
        return self.front(line[0])

    def front_at(self, offset: int) -> Front | None:
        """Return the front of the event that begins at ``offset``, if there is one by now."""
        line = line_at(self.fd, offset, offset + MAX_LINE_BYTES)
        front = read_front(line.text) if line else None
        return front if front is not None and front.stream == self.stream else None

    def resume(self, bookmark: Bookmark, limit: int) -> Commits:
        """Return where a bookmark stands.

        Raises:
            BookmarkLost: If no such commit ends there.
        """
        offset, _, seal = bookmark.token.partition(":")
        if not offset.isdigit() or int(offset) > limit or self.seal_before(int(offset)) != seal:
            raise BookmarkLost
        return Commits([], int(offset), seal)

    def after_version(self, version: int, limit: int) -> int:
        """Return the offset of the first event with a version above ``version``; ``limit`` if there is none."""
        return self._find(limit, lambda front: front.version > version)

    def after_position(self, position: int, limit: int) -> int:
        """Return the offset of the first event with a position above ``position``; ``limit`` if there is none."""
        return self._find(limit, lambda front: front.position > position)

    def after_time(self, time: str, limit: int) -> int:
        """Return the offset of the first event with a time after ``time``; ``limit`` if there is none."""
        return self._find(limit, lambda front: front.time > time)

    def version_at(self, time: str, limit: int) -> int:
        """Return the version of the last event with a time not after ``time``; 0 if there is none.

        Raises:
            Damaged: If a commit next to that place does not match its seal.
        """
        offset = self.after_time(time, limit)
        self.check_around(offset, limit)
        return self.front_before(offset).version if offset else 0

    def check_around(self, offset: int, limit: int) -> None:
        """Verify the commits of the events before and at a place: bisecting found it by bytes that nobody had verified.

        Raises:
            Damaged: If one does not match its seal.
        """
        start = self.commit_before(max(0, offset - 1))
        for _ in self.commits(start.offset, start.seal, min(offset + 1, limit), limit):
            pass

    def _find(self, limit: int, test: Callable[[Front], bool]) -> int:
        def satisfies(line: bytes) -> bool | None:
            front = read_front(line)
            return None if front is None else test(front)

        return find_line(self.fd, 0, limit, satisfies, file=self.file)

    def commit_before(self, offset: int) -> Commits:
        """Return the last end of a commit up to ``offset``, with the seal that stands there."""
        if offset == 0:
            return Commits([], 0, ZEROS)
        ending = last_lines(self.fd, offset, lambda lines: any(seal_in(line.text) for line in lines))
        for line in reversed(ending.lines):
            seal = seal_in(line.text)
            if seal is not None:
                return Commits([], line.end, seal)
        return Commits([], 0, ZEROS)

    def seal_before(self, offset: int) -> str | None:
        """Return the seal of the commit that ends at ``offset`` (zeros at 0); None if none ends there."""
        if offset == 0:
            return ZEROS
        text = read_at(self.fd, SUFFIX_BYTES + 1, offset - SUFFIX_BYTES - 1) if offset > SUFFIX_BYTES else b""
        return seal_in(text[:-1]) if text.endswith(b"\n") else None

    def commits(self, start: int, seal: str, stop: int, limit: int) -> Iterator[Commits]:
        """Yield verified commits from the commit boundary ``start``, after ``seal``, in chunks.

        The last chunk holds the commit that reaches ``stop``; nothing from ``limit`` on is read.

        Raises:
            Damaged: If a commit does not match its seal, or the last one has none.
        """
        reader = _CommitReader(self.file, start, seal)
        at, block, beyond = start, _FIRST_READ, _FIRST_BEYOND
        while reader.offset < stop:
            if at < stop:
                wanted, block = min(block, stop - at), min(_MOST_READ, block * 2)
            else:  # to the end of the commit that holds `stop`
                wanted, beyond = min(beyond, limit - at), min(_MOST_READ, beyond * 2)
            text = read_at(self.fd, wanted, at)
            if not text:
                raise Damaged(self.file, reader.offset, "a commit without its seal")
            at += len(text)
            found = reader.feed(text)
            if found.lines:
                yield found


class _CommitReader:
    """Splits bytes into lines and checks each commit's seal, one hash update a line."""

    def __init__(self, file: str, offset: int, seal: str) -> None:
        self.file = file
        self.offset = offset
        self._seal = seal.encode()
        self._rest = b""
        self._open: list[bytes] = []

    def feed(self, text: bytes) -> Commits:
        text = self._rest + text if self._rest else text
        lines = text.split(b"\n")
        self._rest = lines.pop()
        open_lines, seal, offset = self._open, self._seal, self.offset
        done: list[bytes] = []
        sha256 = hasher(len(text))
        for line in lines:
            if line[_SEAL_AT] != SEAL_KEY or seal_in(line) is None:
                open_lines.append(line)
                continue
            if open_lines:
                open_lines.append(line)
                whole = b"\n".join(open_lines)
                done += open_lines
                open_lines = []
            else:
                whole = line
                done.append(line)
            expected = line[-66:-2]
            if sha256(seal + whole[:-SUFFIX_BYTES]).hexdigest().encode() != expected:
                raise Damaged(self.file, offset, "a commit does not match its seal")
            seal = expected
            offset += len(whole) + 1
        self._open, self._seal, self.offset = open_lines, seal, offset
        return Commits(done, offset, seal.decode("latin-1"))
