"""One stream's file: its end, its places found by bisecting, its commits read and verified."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from evcli.domain.names import check_name
from evcli.errors import Damaged
from evcli.light_typing import Final, NamedTuple
from evcli.storage.codec import MAX_LINE_BYTES
from evcli.storage.commit import NO_TIP, Tip
from evcli.storage.contract import Bookmark, BookmarkLost, Chunk
from evcli.storage.ends import FIRST_BLOCK, Ending, Line, find_line, last_lines, line_at
from evcli.storage.files import opened, read_at
from evcli.storage.layout import stream_path
from evcli.storage.lines import SUFFIX_BYTES, ZEROS, Front, chain, commit_ends, read_front, seal_before, seal_in

_FIRST_READ: Final = 64 << 10
_MOST_READ: Final = 1 << 20
_SCAN: Final = 16 << 10
_KEPT: Final = 4 << 20
"""Once a block of this size was made and freed, glibc keeps those of up to that size at hand; before, each MiB that is
read comes from the kernel anew, and the page faults take as long as hashing does."""


class Commits(NamedTuple):
    """Whole verified commits: their lines as stored, newlines included, and the offset and seal at which they end."""

    text: bytes
    offset: int
    seal: str

    @property
    def lines(self) -> list[bytes]:
        """The lines, without newlines."""
        return self.text.split(b"\n")[:-1]


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
        return Commits(b"", int(offset), seal)

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
        for _ in self.commits(start.offset, start.seal, self.commit_end(min(offset + 1, limit), limit)):
            pass

    def _find(self, limit: int, test: Callable[[Front], bool]) -> int:
        def satisfies(line: bytes) -> bool | None:
            front = read_front(line)
            return None if front is None else test(front)

        return find_line(self.fd, 0, limit, satisfies, file=self.file)

    def commit_before(self, offset: int) -> Commits:
        """Return the last end of a commit up to ``offset``, with the seal that stands there."""
        block = FIRST_BLOCK
        while offset > 0:
            start = max(0, offset - block)
            text = read_at(self.fd, offset - start, start)
            if ends := commit_ends(text):
                return Commits(b"", start + ends[0], seal_before(text, ends[0]))
            offset = start and start + SUFFIX_BYTES  # a seal may begin in one block and end in the next
            block = min(_SCAN, block * 2)
        return Commits(b"", 0, ZEROS)

    def seal_before(self, offset: int) -> str | None:
        """Return the seal of the commit that ends at ``offset`` (zeros at 0); None if none ends there."""
        if offset == 0:
            return ZEROS
        text = read_at(self.fd, SUFFIX_BYTES + 1, offset - SUFFIX_BYTES - 1) if offset > SUFFIX_BYTES else b""
        return seal_in(text[:-1]) if text.endswith(b"\n") else None

    def commit_end(self, offset: int, limit: int) -> int:
        """Return where the commit ends that holds the event before or at ``offset``; ``limit`` if it does not end before.

        That is what the seals say, which nobody has verified; ``offset`` is next to where a line begins.
        """
        if self.seal_before(offset) is not None:
            return offset
        while offset < limit:
            text = read_at(self.fd, min(_SCAN, limit - offset), offset)
            if ends := commit_ends(text):
                return offset + ends[-1]
            if len(text) <= SUFFIX_BYTES:
                break
            offset += len(text) - SUFFIX_BYTES  # a seal may begin in one block and end in the next
        return limit

    def commits(self, start: int, seal: str, stop: int) -> Iterator[Commits]:
        """Yield the commits from the commit boundary ``start``, after ``seal``, up to ``stop``, verified, as many at once as fit.

        Nothing from ``stop`` on is read; all that is sound before damage is given.

        Raises:
            Damaged: If a commit does not match its seal, or the last one has none.
        """
        if stop - start > _MOST_READ:
            bytes(_KEPT)
        at, text, block = start, b"", _FIRST_READ
        while at < stop:
            begun = at + len(text)
            more = read_at(self.fd, min(max(block, len(text)), stop - begun), begun)
            text = text + more if text else more
            size, seal, broken = _verify(text, seal)
            if size:
                at += size
                yield Commits(text[:size], at, seal)
                text = text[size:]
            if broken:
                raise Damaged(self.file, at, "a commit does not match its seal")
            if not more:
                raise Damaged(self.file, at, "a commit without its seal")
            block = min(_MOST_READ, block * 2)

    def read(
        self, limit: int, *, after: int = 0, to: int | None = None, bookmark: Bookmark | None = None
    ) -> Iterator[Chunk]:
        """Yield the lines before the offset ``limit`` with versions above ``after``, up to and including ``to``, verified.

        With a ``bookmark`` (which takes the place of ``after``) nothing before it is read; with ``to`` nothing behind
        the commit of that version, but where the place of its end is looked for.

        Raises:
            BookmarkLost: If no commit ends at the bookmark.
            Damaged: As soon as something does not verify.
        """
        stop = limit if to is None else self.commit_end(self.after_version(to, limit), limit)
        if bookmark is not None:
            after = bookmark.version
            start = self.resume(bookmark, limit)
        else:  # from the commit of the event before, so that the place is verified too
            start = self.commit_before(self.after_version(after - 1, limit) if after > 1 else 0)
        for commits in self.commits(start.offset, start.seal, stop):
            chunk = self._cut(commits, after, to)
            if chunk.text:
                yield chunk
                after = chunk.version
        if to is not None and stop < limit and after < to:
            raise Damaged(self.file, stop, f"version {after + 1} does not stand before this byte")

    def _cut(self, commits: Commits, after: int, to: int | None) -> Chunk:
        """Keep the lines with versions above ``after`` and up to ``to``; the bookmark goes if the last line does.

        Raises:
            Damaged: If the versions have a gap, between ``after`` and the first one too.
        """
        text = commits.text
        count = len(text) - len(text.replace(b"\n", b""))  # several times faster than bytes.count
        first, last = read_front(text), read_front(text[text.rfind(b"\n", 0, -1) + 1 :])
        if first is None or last is None or first.version > after + 1 or last.version - first.version != count - 1:
            raise Damaged(self.file, commits.offset, "the versions before this byte have a gap")
        until = last.version if to is None else min(to, last.version)
        bookmark = Bookmark(last.version, last.time, f"{commits.offset}:{commits.seal}")
        if first.version <= after or until < last.version:
            lines = commits.lines[max(0, after + 1 - first.version) : max(0, until + 1 - first.version)]
            text = b"".join(line + b"\n" for line in lines)
        return Chunk(text, until, bookmark if until == last.version else None)


def _verify(text: bytes, seal: str) -> tuple[int, str, bool]:
    """Check the commits that begin at the start of ``text``, the first of them after ``seal``.

    Returns how many bytes the sound ones fill, the seal at their end, and whether one follows that does not match its seal.
    """
    view, begin = memoryview(text), 0
    for end in reversed(commit_ends(text)):
        stated = seal_before(text, end)
        if chain(seal, view[begin : end - SUFFIX_BYTES - 1], among=len(text)) != stated:
            return begin, seal, True
        seal, begin = stated, end
    return begin, seal, False
