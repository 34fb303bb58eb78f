"""The lines of an input, in the parts that are committed together."""

import os
import stat
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from evcli.errors import Refused
from evcli.storage.commit import MAX_COMMIT_BYTES

MOST_EVENTS: Final = 1000
MOST_BYTES: Final = 1 << 20
LONGEST_LINE: Final = 8 << 20


class Line(NamedTuple):
    """An input line: its number from 1 and its bytes."""

    number: int
    text: bytes


class Part(NamedTuple):
    """Lines that are not blank, at least one, and the number of each."""

    lines: Sequence[bytes]
    numbers: Sequence[int]

    def at(self, place: int) -> Line:
        """Return the line at a place, from 0."""
        return Line(self.numbers[place], self.lines[place])


def read_parts(fd: int, *, atomic: bool) -> Iterator[Part]:
    """Yield lines to be committed together: of a pipe what is there, of a file up to 1,000 or 1 MiB, atomically all.

    Raises:
        Refused: If a line is over 8 MiB, or all are to be one part and over 64 MiB; ``facts["line"]`` is its number.
    """
    live = not stat.S_ISREG(os.fstat(fd).st_mode)
    waiting: list[bytes] = []
    number = 1  # that of the first one of them
    size = 0
    for lines in _reads(fd):
        good = _before_long(lines)
        waiting += lines[:good]
        if atomic:
            size += sum(map(len, lines))
            if size > MAX_COMMIT_BYTES:
                hint = "append it without --atomic, or in several files"
                raise Refused("the input is over 64 MiB", hint, line=1 + _fill(waiting, MAX_COMMIT_BYTES))
        else:
            ends = live or good < len(lines)
            while waiting and ((count := _fill(waiting[:MOST_EVENTS], MOST_BYTES)) < len(waiting) or ends):
                yield from _part(waiting[:count], number)
                del waiting[:count]
                number += count
        if good < len(lines):
            raise Refused("a line of over 8 MiB", "give JSON lines: one object a line", line=number + len(waiting))
    yield from _part(waiting, number)


def _reads(fd: int) -> Iterator[list[bytes]]:
    """Yield the complete lines of each read; at the end, or when it gets too long, what is left without a newline."""
    rest = b""
    while text := os.read(fd, MOST_BYTES):
        *lines, rest = (rest + text).split(b"\n")
        yield [*lines, rest] if len(rest) > LONGEST_LINE else lines
    if rest:
        yield [rest]


def _before_long(lines: Sequence[bytes]) -> int:
    """Return how many lines come before the first one that is too long."""
    if max(map(len, lines), default=0) <= LONGEST_LINE:
        return len(lines)
    return next(place for place, line in enumerate(lines) if len(line) > LONGEST_LINE)


def _fill(lines: Sequence[bytes], most: int) -> int:
    """Return how many of the first lines are no more than ``most`` bytes together, at least 1."""
    if sum(map(len, lines)) <= most:  # nearly always
        return len(lines)
    return max(1, bisect_right(list(accumulate(map(len, lines))), most))


def _part(lines: Sequence[bytes], number: int) -> Iterator[Part]:
    if not all(map(bytes.strip, lines)):
        kept = [(line, at) for at, line in enumerate(lines, number) if line.strip()]
        if kept:
            yield Part([line for line, _ in kept], [at for _, at in kept])
    elif lines:
        yield Part(lines, range(number, number + len(lines)))
