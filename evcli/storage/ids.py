"""Finding an event by its idempotency key (``id``), in constant time on a long stream.

A short stream is simply read. For a long one an index is kept in the cache: a table of buckets, each a list of key
hashes and versions with a digest over them, caught up from the stream's verified tail before it is asked. Nothing
depends on it: what it finds is looked up in the stream, and an index whose digests do not hold is made anew.
"""

import os
import struct
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from evcli.storage.codec import loads
from evcli.storage.commit import NO_TIP, Tip
from evcli.storage.ends import line_at
from evcli.storage.files import make_private_folder
from evcli.storage.lines import ZEROS, read_front
from evcli.storage.stream_file import StreamFile

if TYPE_CHECKING:
    import sqlite3

SHORT_BYTES: Final = 64 << 10
_FIRST_BUCKETS: Final = 64
_FULL: Final = 64
_ENTRY: Final = struct.Struct(">8sQ")
_ID_KEY: Final = b'"id":"'


class _Covered(NamedTuple):
    """How far an index goes, and how large it is."""

    offset: int
    seal: str
    entries: int
    buckets: int


class _Unusable(Exception):  # noqa: N818 (never leaves this module)
    """The index is of another history, or does not hold what it should."""


def find_ids(stream: StreamFile, tip: Tip, keys: Collection[str], cache: str | None) -> dict[str, bytes]:
    """Return the stored line of each of ``keys`` that the stream has.

    Args:
        stream: The stream's open file.
        tip: Its verified end.
        keys: The idempotency keys.
        cache: The directory for indexes; None to do without.

    Raises:
        Damaged: If the stream does not verify where it is read.
    """
    if tip == NO_TIP or not keys:
        return {}
    if tip.offset <= SHORT_BYTES or cache is None:
        return _scan(stream, tip, keys)
    import sqlite3

    path = os.path.join(cache, stream.stream + ".sqlite")
    for _ in range(2):
        try:
            make_private_folder(os.path.dirname(path))
            with closing(sqlite3.connect(path, isolation_level=None)) as database:
                return _ask(database, stream, tip, keys)
        except (sqlite3.Error, UnicodeDecodeError, _Unusable):
            _discard(path)
        except OSError:
            break
    return _scan(stream, tip, keys)


def _scan(stream: StreamFile, tip: Tip, keys: Collection[str]) -> dict[str, bytes]:
    return {key: line for key, line in _ids_between(stream, 0, ZEROS, tip.offset) if key in keys}


def _ids_between(stream: StreamFile, start: int, seal: str, end: int) -> Iterator[tuple[str, bytes]]:
    for commits in stream.commits(start, seal, end):
        for line in commits.lines:
            if _ID_KEY in line:
                key = loads(line).get("id")
                if key is not None:
                    yield key, line


def _discard(path: str) -> None:
    for suffix in ("", "-wal", "-shm"):
        with suppress(OSError):
            os.unlink(path + suffix)


def _ask(database: "sqlite3.Connection", stream: StreamFile, tip: Tip, keys: Collection[str]) -> dict[str, bytes]:
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = normal")  # a power cut may lose the last changes, never half of one
    database.execute("begin immediate")
    covered = _catch_up(database, stream, tip)
    found: dict[str, bytes] = {}
    for key in keys:
        digest = _hash(key)
        for entry, version in _ENTRY.iter_unpack(_read_bucket(database, covered, _place(digest, covered))):
            if entry == digest and (line := _line_of(stream, tip, version, key)):
                found[key] = line
    database.execute("commit")
    return found


def _line_of(stream: StreamFile, tip: Tip, version: int, key: str) -> bytes | None:
    line = line_at(stream.fd, stream.after_version(version - 1, tip.offset), tip.offset)
    if line is None or (front := read_front(line.text)) is None or front.version != version:
        raise _Unusable
    return line.text if loads(line.text).get("id") == key else None


def _catch_up(database: "sqlite3.Connection", stream: StreamFile, tip: Tip) -> _Covered:
    covered = _read_covered(database)
    if covered.offset > tip.offset or stream.seal_before(covered.offset) != covered.seal:
        raise _Unusable
    if covered.offset == tip.offset:
        return covered
    new = [
        _ENTRY.pack(_hash(key), front.version)
        for key, line in _ids_between(stream, covered.offset, covered.seal, tip.offset)
        if (front := read_front(line))
    ]
    covered = covered._replace(offset=tip.offset, seal=tip.seal, entries=covered.entries + len(new))
    if covered.entries > covered.buckets * _FULL:
        new += [entry for place in range(covered.buckets) for entry in _entries(_read_bucket(database, covered, place))]
        covered = covered._replace(buckets=1 << (covered.entries // _FULL * 4).bit_length())
        _make_buckets(database, covered)
    _add(database, covered, new)
    database.execute("delete from covered")
    database.execute("insert into covered values (?, ?, ?, ?, ?)", (*covered, _digest(*covered)))
    return covered


def _read_covered(database: "sqlite3.Connection") -> _Covered:
    database.execute("create table if not exists covered (offset, seal, entries, buckets, digest)")
    database.execute("create table if not exists bucket (place integer primary key, entries blob, digest text)")
    row = database.execute("select offset, seal, entries, buckets, digest from covered").fetchone()
    if row is None:
        covered = _Covered(0, ZEROS, 0, _FIRST_BUCKETS)
        _make_buckets(database, covered)
        return covered
    if row[4] != _digest(*row[:4]):
        raise _Unusable
    return _Covered(*row[:4])


def _make_buckets(database: "sqlite3.Connection", covered: _Covered) -> None:
    database.execute("delete from bucket")
    for place in range(covered.buckets):
        _write_bucket(database, covered, place, b"")


def _add(database: "sqlite3.Connection", covered: _Covered, entries: Iterable[bytes]) -> None:
    by_place: dict[int, list[bytes]] = {}
    for entry in entries:
        by_place.setdefault(_place(entry[:8], covered), []).append(entry)
    for place, added in by_place.items():
        _write_bucket(database, covered, place, _read_bucket(database, covered, place) + b"".join(added))


def _read_bucket(database: "sqlite3.Connection", covered: _Covered, place: int) -> bytes:
    row = database.execute("select entries, digest from bucket where place = ?", (place,)).fetchone()
    if row is None or row[1] != _digest(covered.buckets, place, row[0]):
        raise _Unusable
    entries: bytes = row[0]
    return entries


def _write_bucket(database: "sqlite3.Connection", covered: _Covered, place: int, entries: bytes) -> None:
    row = (place, entries, _digest(covered.buckets, place, entries))
    database.execute("insert or replace into bucket values (?, ?, ?)", row)


def _entries(bucket: bytes) -> Iterator[bytes]:
    return (bucket[at : at + _ENTRY.size] for at in range(0, len(bucket), _ENTRY.size))


def _hash(key: str) -> bytes:
    return sha256(key.encode()).digest()[:8]


def _place(digest: bytes, covered: _Covered) -> int:
    return int.from_bytes(digest) % covered.buckets


def _digest(*values: object) -> str:
    return sha256(repr(values).encode()).hexdigest()[:32]
