"""Searching files of lines without an index: their last lines, and the first line that satisfies a condition.

Position, version and time stand at the front of each event line and never decrease, so the log is its own index.
"""

from collections.abc import Callable

from evcli.errors import Damaged
from evcli.light_typing import Final, NamedTuple
from evcli.storage.files import read_at

FIRST_BLOCK: Final = 1024
_SCAN: Final = 4 << 10


class Line(NamedTuple):
    """A line without its newline, and the byte offset at which it begins."""

    offset: int
    text: bytes

    @property
    def end(self) -> int:
        """The offset behind its newline."""
        return self.offset + len(self.text) + 1


class Ending(NamedTuple):
    """The last complete lines of a file, oldest first, and the bytes behind the last newline.

    ``size`` is how far the file went when it was read: less than was asked for, if it was cut just then.
    """

    lines: list[Line]
    rest: bytes
    size: int


def last_lines(fd: int, size: int, enough: Callable[[list[Line]], bool]) -> Ending:
    """Read complete lines from the end of the first ``size`` bytes backwards until there are ``enough``, or all of them."""
    block = FIRST_BLOCK
    while True:
        start = max(0, size - block)
        text = read_at(fd, size - start, start)
        if len(text) < size - start:  # a torn line was cut since its size was taken
            size = start + len(text)
            continue
        first = 0 if start == 0 else text.find(b"\n") + 1
        cut = text.rfind(b"\n") + 1
        lines: list[Line] = []
        if first or start == 0:
            at = start + first
            for line in text[first:cut].split(b"\n")[:-1]:
                lines.append(Line(at, line))
                at += len(line) + 1
        if start == 0 or (lines and enough(lines)):
            return Ending(lines, text[cut:], size)
        block *= 2


def line_at(fd: int, offset: int, limit: int) -> Line | None:
    """Read the line that begins at ``offset``; None if no newline ends it before ``limit``."""
    block = FIRST_BLOCK
    while True:
        text = read_at(fd, min(block, limit - offset), offset)
        cut = text.find(b"\n")
        if cut >= 0:
            return Line(offset, text[:cut])
        if len(text) < block:
            return None
        block *= 4


def find_line(fd: int, low: int, high: int, satisfies: Callable[[bytes], bool | None], *, file: str) -> int:
    """Return the offset of the first line between ``low`` and ``high`` that satisfies a condition which, once true, stays so.

    ``low`` is where a line begins and ``high`` where one ends; ``high`` is returned if no line satisfies it.

    Raises:
        Damaged: If a line that was looked at cannot be judged (the condition answers None).
    """
    while high - low > _SCAN:
        start = _line_start(fd, (low + high) // 2, high)
        line = line_at(fd, start, high) if start < high else None
        if line is None:  # one line fills the upper half: look at the last line that begins in the lower one
            break
        if _judge(satisfies, line, file):
            high = start
        else:
            low = line.end
    at = low
    for text in read_at(fd, high - low, low).split(b"\n")[:-1]:
        if _judge(satisfies, Line(at, text), file):
            return at
        at += len(text) + 1
    return high


def _judge(satisfies: Callable[[bytes], bool | None], line: Line, file: str) -> bool:
    answer = satisfies(line.text)
    if answer is None:
        raise Damaged(file, line.offset, "not a line of this format")
    return answer


def _line_start(fd: int, offset: int, limit: int) -> int:
    """Return where the first line that begins after ``offset`` begins; ``limit`` if none does."""
    block = FIRST_BLOCK
    while offset < limit:
        text = read_at(fd, min(block, limit - offset), offset)
        cut = text.find(b"\n")
        if cut >= 0:
            return offset + cut + 1
        if not text:
            break
        offset += len(text)
        block *= 2
    return limit
