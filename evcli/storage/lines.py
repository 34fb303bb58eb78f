"""Format 1: the lines of streams and journal, their seals and hashes, the mark, and holes. Pure functions on bytes.

The format is written down in ``evcli help format``. Seals and hashes are hex SHA-256 (FIPS 180-4), chained.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from evcli.domain.events import NewEvent
from evcli.domain.names import is_name
from evcli.light_typing import Final, NamedTuple
from evcli.storage.digests import hasher, sha256

ZEROS: Final = "0" * 64
SEAL_KEY: Final = b',"seal":"'
HASH_KEY: Final = b',"hash":"'
SUFFIX_BYTES: Final = len(SEAL_KEY) + 64 + 2
"""How long ``,"seal":"<64 hex>"}`` is at the end of a line; ``hash`` likewise."""

SECTOR: Final = 512
MARK_BYTES: Final = 20 + 1 + 64 + 1 + 8 + 1

_FRONT: Final = re.compile(
    rb'\{"position":([1-9][0-9]{0,18}),"stream":"([A-Za-z0-9._/-]{1,200})","version":([1-9][0-9]{0,18}),'
    rb'"time":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{15}Z)","type":'
)
_JOURNAL_FRONT: Final = rb'\{"position":([1-9][0-9]{0,18}),"count":([1-9][0-9]{0,18}),'
_SEALED: Final = re.compile(SEAL_KEY + rb'[0-9a-f]{64}"\}\n')
_NULS: Final = rb"\0+"
_HEX: Final = b"0123456789abcdef"


class Front(NamedTuple):
    """What stands at the front of every event line; each of the numbers and the time never decreases in a stream."""

    position: int
    stream: str
    version: int
    time: str


class JournalWrite(NamedTuple):
    """One stream's part of a commit: its first version, its number of events, and the bytes it fills."""

    stream: str
    version: int
    count: int  # type: ignore[assignment]  # the commit's word for it; nobody counts in the tuple
    offset: int
    length: int
    seal: str


class JournalEntry(NamedTuple):
    """One commit as the journal has it; ``position`` is that of its first event."""

    position: int
    count: int  # type: ignore[assignment]  # the commit's word for it; nobody counts in the tuple
    time: str
    writes: tuple[JournalWrite, ...]
    hash: str

    @property
    def last_position(self) -> int:
        """Position of the commit's last event."""
        return self.position + self.count - 1

    def placed_writes(self) -> Iterator[tuple[JournalWrite, int]]:
        """Yield the writes, each with the position of its first event."""
        position = self.position
        for write in self.writes:
            yield write, position
            position += write.count


class JournalLine(NamedTuple):
    """A journal line's bytes and its hash."""

    text: bytes
    hash: str


class Mark(NamedTuple):
    """The last commit known to be durable: the position of its last event, and its hash."""

    position: int
    hash: str


def chain(previous: str, body: bytes | memoryview, *, among: int = 0) -> str:
    """Seal (or hash) ``body`` onto the chain that ended in ``previous``; it is one of ``among`` bytes that are to be digested."""
    digest = hasher(max(len(body), among))(previous.encode())
    digest.update(body)
    return digest.hexdigest()


def chain_all(previous: str, bodies: Iterable[bytes]) -> tuple[str, int]:
    """Seal likewise what is in several pieces, at least one; return their size, too, in bytes."""
    pieces = iter(bodies)
    body = next(pieces)
    digest, size = hasher(len(body))(previous.encode() + body), len(body)
    for body in pieces:
        digest.update(body)
        size += len(body)
    return digest.hexdigest(), size


def read_front(line: bytes) -> Front | None:
    """Read the front of an event line; None if it is not one."""
    found = _FRONT.match(line)
    if found is None:
        return None
    return Front(int(found[1]), found[2].decode(), int(found[3]), found[4].decode())


def seal_in(line: bytes) -> str | None:
    """Return the seal at the end of a line without its newline; None if it has none.

    Only the digits make sure of it: a ``"seal"`` within the data may stand at the same distance from the end.
    """
    if line[-SUFFIX_BYTES : -SUFFIX_BYTES + len(SEAL_KEY)] != SEAL_KEY or line[-2:] != b'"}':
        return None
    seal = line[-66:-2]
    return None if seal.strip(_HEX) else seal.decode()


def commit_ends(text: bytes) -> list[int]:
    """Return where the lines that have a seal, as `seal_in` says, end in ``text``, behind their newlines; the last first."""
    ends = []
    at = len(text)
    while (at := text.rfind(SEAL_KEY, 0, at)) >= 0:  # backwards, since that is twice as fast
        if found := _SEALED.match(text, at):
            ends.append(found.end())
    return ends


def seal_before(text: bytes, end: int) -> str:
    """Return the seal of the line that ends, behind its newline, at one of the `commit_ends` of ``text``."""
    return text[end - 67 : end - 3].decode()


def open_event_line(
    *, position: int, stream: str, version: int, time: str, event: NewEvent, recorded: str | None
) -> bytes:
    """Write an event's line up to, not including, what a seal may follow: the caller closes it with ``}``."""
    text = (
        f'{{"position":{position},"stream":"{stream}","version":{version},"time":"{time}",'
        f'"type":{json.dumps(event.type, ensure_ascii=False)},"data":{event.data}'
    )
    if event.meta:
        text += f',"meta":{event.meta}'
    if event.id is not None:
        text += f',"id":{json.dumps(event.id, ensure_ascii=False)}'
    if recorded is not None:
        text += f',"recorded":"{recorded}"'
    if event.v is not None:
        text += f',"v":{event.v}'
    return text.encode()


def open_event_lines(position: int, stream: str, version: int, time: str, texts: Iterable[bytes]) -> list[bytes]:
    """Write lines likewise, from the first one's position and version on, of what stands in them from the type on."""
    form = f'{{"position":%d,"stream":"{stream}","version":%d,"time":"{time}",%b'.encode()
    return [form % (number + position, number + version, text) for number, text in enumerate(texts)]


def lines_of_types(text: bytes, types: tuple[str, ...] | None) -> Sequence[bytes]:
    """Split event lines, each with its newline, as `without_other_types` leaves them."""
    needles = None if types is None else _needles(types)
    if needles is None or len(needles) != 1:
        return without_other_types(text.split(b"\n")[:-1], types)
    [needle] = needles  # the usual case, several times faster since the other lines are not even split
    found: list[bytes] = []
    end = 0
    while (at := text.find(needle, end)) >= 0:
        start, end = text.rfind(b"\n", 0, at) + 1, text.index(b"\n", at)
        found.append(text[start:end])
    return found


def without_other_types(lines: Sequence[bytes], types: tuple[str, ...] | None) -> Sequence[bytes]:
    """Return event lines without those that show, unparsed, that they are of none of ``types``, which may be globs.

    Some that are of none may be left: such as hold in their data what looks like a type.
    """
    needles = None if types is None else _needles(types)
    if needles is None:
        return lines
    if len(needles) == 1:
        [needle] = needles
        return [line for line in lines if needle in line]
    return [line for line in lines if any(needle in line for needle in needles)]


@lru_cache
def _needles(types: tuple[str, ...]) -> tuple[bytes, ...] | None:
    """Return what stands in the lines of types, up to a glob's first wildcard; None if that may be anything."""
    found = []
    for name in types:
        plain = re.split(r"[*?]", name, maxsplit=1)[0]
        if not plain:
            return None
        spelled = json.dumps(plain, ensure_ascii=False)
        found.append(f'"type":{spelled if plain == name else spelled[:-1]}'.encode("utf-8", "surrogatepass"))
    return tuple(found)


def journal_line(position: int, count: int, time: str, writes: Sequence[JournalWrite], previous: str) -> JournalLine:
    """Write a commit's journal line, newline included, hashed onto ``previous``."""
    parts = [json.dumps(write._asdict(), separators=(",", ":")) for write in writes]
    body = f'{{"position":{position},"count":{count},"time":"{time}","writes":[{",".join(parts)}]'.encode()
    digest = chain(previous, body)
    return JournalLine(body + HASH_KEY + digest.encode() + b'"}\n', digest)


def hash_in(line: bytes) -> str | None:
    """Return the hash at the end of a journal line without its newline; None if it has none."""
    if line[-SUFFIX_BYTES : -SUFFIX_BYTES + len(HASH_KEY)] != HASH_KEY or line[-2:] != b'"}':
        return None
    return line[-66:-2].decode("latin-1")


def hash_is_right(line: bytes, previous: str) -> bool:
    """Say whether a journal line without its newline carries the hash that follows ``previous``."""
    return hash_in(line) == chain(previous, line[:-SUFFIX_BYTES])


def read_journal_position(line: bytes) -> tuple[int, int] | None:
    """Read first position and count at the front of a journal line; None if it is not one."""
    found = re.match(_JOURNAL_FRONT, line)
    return (int(found[1]), int(found[2])) if found else None


def read_journal_line(line: bytes) -> JournalEntry | None:
    """Parse a journal line without its newline; None if it is not one."""
    try:
        entry = json.loads(line)
        writes = tuple(JournalWrite(**write) for write in entry["writes"])
        found = JournalEntry(entry["position"], entry["count"], entry["time"], writes, entry["hash"])
        return found if _is_well_formed(found) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _is_well_formed(entry: JournalEntry) -> bool:
    """Check every member: a store may have been made by somebody else, and its names lead to files."""
    return (
        type(entry.position) is type(entry.count) is int
        and entry.position > 0
        and entry.count > 0
        and isinstance(entry.time, str)
        and isinstance(entry.hash, str)
        and all(map(_is_well_formed_write, entry.writes))
        and 0 < len(entry.writes) == len({write.stream for write in entry.writes})
    )


def _is_well_formed_write(write: JournalWrite) -> bool:
    stream, version, count, offset, length, seal = write
    return (
        type(version) is type(count) is type(offset) is type(length) is int
        and version > 0
        and count > 0
        and offset >= 0
        and length > 0
        and isinstance(seal, str)
        and isinstance(stream, str)
        and is_name(stream)
    )


def write_mark(mark: Mark) -> bytes:
    """Write the mark's line."""
    text = f"{mark.position:020d}:{mark.hash}:".encode()
    return text + sha256(text).hexdigest()[:8].encode() + b"\n"


def read_mark(text: bytes) -> Mark | None:
    """Read a mark's line; None if it is blank or does not check."""
    position, digest = text[:20], text[21:85]
    if not position.isdigit() or len(digest) < len(ZEROS) or digest.strip(_HEX):
        return None
    mark = Mark(int(position), digest.decode())
    return mark if text[:MARK_BYTES] == write_mark(mark) else None


class Holes(NamedTuple):
    """Where NUL bytes stand in the end of a file: ``torn`` if a power cut can have left all of them there."""

    first: int
    torn: bool


def find_holes(text: bytes, offset: int) -> Holes | None:
    """Look for NULs in ``text``, which stands at ``offset`` of a file and reaches to its end; None if there are none.

    A power cut leaves runs of them that end at a multiple of 512 bytes of the file, or at its end.
    """
    runs = list(re.finditer(_NULS, text))
    if not runs:
        return None
    torn = all((offset + run.end()) % SECTOR == 0 or run.end() == len(text) for run in runs)
    bad = next((run for run in runs if not torn), runs[0])
    return Holes(offset + bad.start(), torn)
