"""Repair: make a damaged store whole again out of what is sound in it, and keep every byte that is taken away.

First each stream is made sound by itself, then the journal is rebuilt from the streams: the order in which a repair
that is cut short can simply be done again. Where events are lost, a visible ``evcli.gap`` event stands in the place
of each, and what follows is sealed anew, so that checkpoints taken before no longer match.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from typing import Final, NamedTuple

from evcli.domain.events import NewEvent
from evcli.errors import Damaged
from evcli.storage.commit import EMPTY
from evcli.storage.contract import Head, RepairStep
from evcli.storage.files import opened, read_at, replace_file, sync_tree_above
from evcli.storage.layout import (
    JOURNAL_FILE,
    LOCK_FILE,
    QUARANTINE,
    STORE_FILE,
    make_store,
    read_identity,
    stream_path,
    sync_stream_folders,
)
from evcli.storage.lines import (
    SEAL_KEY,
    SUFFIX_BYTES,
    ZEROS,
    JournalWrite,
    Mark,
    chain,
    journal_line,
    open_event_line,
    read_front,
)
from evcli.storage.settle import blank_mark, set_mark
from evcli.storage.surveying import Known, survey

GAP: Final = "evcli.gap"
_FRONT_BYTES: Final = 512


class Repair(NamedTuple):
    """A repair, worked out: its steps, and the new texts of the files that it replaces."""

    steps: list[RepairStep]
    streams: dict[str, list[bytes]]
    journal: bytes | None
    head: Head
    identity: bool = False


def plan_repair(root: str, mark: Mark | None) -> Repair:
    """Work out how a store can be made whole; nothing is written.

    Args:
        root: The store.
        mark: The mark in its lock: what was acknowledged for certain.

    Raises:
        Damaged: If it cannot: what is missing has to come from a backup.
    """
    found = survey(root)
    marked = mark.position if mark else 0
    parts = _without_torn_end(found.parts, marked)
    steps: list[RepairStep] = []
    streams: dict[str, list[bytes]] = {}
    writes: dict[int, JournalWrite] = {}
    by_stream: dict[str, list[Known]] = {stream: [] for stream in sorted(found.sizes)}
    for part in parts:
        by_stream.setdefault(part.stream, []).append(part)
    for stream, own in by_stream.items():
        texts = list(_rebuild_stream(root, own, writes))
        size = sum(map(len, texts))
        lost = sum(part.count for part in own if not part.length)
        changed = lost or any(part.offset != writes[part.position].offset for part in own)
        if changed or size != found.sizes.get(stream, 0):
            streams[stream] = texts
            steps.append(RepairStep(stream_path(stream), _describe(own, found.sizes.get(stream, 0) - size), lost))
    journal, head = _rebuild_journal(parts, writes)
    if journal == _read(root, JOURNAL_FILE):
        rebuilt = None
    else:
        rebuilt = journal
        steps.append(RepairStep(JOURNAL_FILE, "rebuild it from the streams"))
    if head.position < marked:
        gone = f"accept that positions {head.position + 1}-{marked} are gone: nobody knows what stood there"
        steps.append(RepairStep(LOCK_FILE, gone, marked - head.position))
    identity = _is_without_identity(root)
    if identity:
        steps.insert(0, RepairStep(STORE_FILE, "write it anew, with a new id: caches and checkpoints start over"))
    return Repair(steps, streams, rebuilt, head, identity)


def apply_repair(root: str, lock_fd: int, repair: Repair, *, now: str) -> str:
    """Do a repair, under the lock; return the directory in ``quarantine/`` that keeps what was there before.

    Raises:
        OSError: If something cannot be written; the repair can be done again.
        SyncFailed: If it cannot be made durable; likewise.
    """
    kept = os.path.join(root, QUARANTINE, f"repair-{now.replace(':', '')}-{os.urandom(3).hex()}")
    names = [stream_path(stream) for stream in repair.streams]
    names += [JOURNAL_FILE] if repair.journal is not None else []
    names += [STORE_FILE] if repair.identity else []
    for name in names:
        _keep(root, kept, name)
    blank_mark(lock_fd)
    if repair.identity:
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(root, STORE_FILE))
    make_store(root, now=now)
    for stream, texts in repair.streams.items():
        path = os.path.join(root, stream_path(stream))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        replace_file(path, b"".join(texts), durable=True)
        sync_stream_folders(root, stream)
    if repair.journal is not None:
        replace_file(os.path.join(root, JOURNAL_FILE), repair.journal, durable=True)
    if repair.head.position:
        set_mark(lock_fd, repair.head)
    return kept


def _without_torn_end(parts: list[Known], marked: int) -> list[Known]:
    """Leave out a last commit that is not all there, unless it was acknowledged for certain."""
    if not parts:
        return parts
    first, count = parts[-1].commit
    whole = sum(part.count for part in parts if part.commit == (first, count) and part.length) == count
    if whole or first + count - 1 <= marked:
        return parts
    return [part for part in parts if part.commit != (first, count)]


def _rebuild_stream(root: str, parts: list[Known], writes: dict[int, JournalWrite]) -> Iterator[bytes]:
    """Yield a stream's commits, sealed anew where that is needed; note each part's new place in ``writes``."""
    if not parts:
        return
    with opened(root, stream_path(parts[0].stream)) as fd:
        seal, offset = ZEROS, 0
        time = _first_time(fd, parts)
        for part in parts:
            if part.length and fd is not None:
                text = read_at(fd, part.length, part.offset)
                body, time = text[: -SUFFIX_BYTES - 1], _last_time(text)
            else:
                body = _gap_lines(part, time)
            seal = chain(seal, body)
            text = body + SEAL_KEY + seal.encode() + b'"}\n'
            writes[part.position] = JournalWrite(part.stream, part.version, part.count, offset, len(text), seal)
            offset += len(text)
            yield text


def _first_time(fd: int | None, parts: list[Known]) -> str:
    """Return a time for events lost before the first sound one."""
    sound = next((part for part in parts if part.length), None)
    if fd is None or sound is None:
        return parts[0].time
    front = read_front(read_at(fd, _FRONT_BYTES, sound.offset))
    return min(parts[0].time, front.time) if front else parts[0].time


def _last_time(text: bytes) -> str:
    front = read_front(text[text.rfind(b"\n", 0, -1) + 1 :])
    assert front is not None
    return front.time


def _gap_lines(part: Known, time: str) -> bytes:
    """Make the events that stand in the place of lost ones, at the time of the event before, without the seal."""
    event = NewEvent(GAP, meta='{"reason":"the event was lost and is not known any more"}')
    lines = [
        open_event_line(
            position=part.position + index,
            stream=part.stream,
            version=part.version + index,
            time=time,
            event=event,
            recorded=None if time == part.time else part.time,
        )
        for index in range(part.count)
    ]
    body = b"}\n".join(lines)
    return body + b',"commit":[%d,%d]' % part.commit if part.commit != (part.position, part.count) else body


def _rebuild_journal(parts: list[Known], writes: dict[int, JournalWrite]) -> tuple[bytes, Head]:
    lines: list[bytes] = []
    head = EMPTY
    for (first, count), group in groupby(parts, key=lambda part: part.commit):
        members = list(group)
        if first != head.position + 1 or count != sum(part.count for part in members):
            raise Damaged(
                stream_path(members[0].stream),
                members[0].offset,
                f"the commit at position {first} is not whole",
                "restore the store from a backup",
            )
        time = max(head.time, members[0].time)
        line = journal_line(first, count, time, [writes[part.position] for part in members], head.hash)
        lines.append(line.text)
        head = Head(first + count - 1, line.hash, time, head.token + len(line.text))
    return b"".join(lines), head


def _describe(parts: Iterable[Known], surplus: int) -> str:
    lost = [part for part in parts if not part.length]
    if lost:
        places = ", ".join(f"{part.version}-{part.next_version - 1}" for part in lost[:5])
        return f"put {GAP} events in the place of versions {places}, and seal what follows anew"
    return f"take {surplus} bytes away that no commit explains"


def _is_without_identity(root: str) -> bool:
    try:
        return read_identity(root) is None
    except Damaged:
        return True


def _read(root: str, name: str) -> bytes:
    with opened(root, name) as fd:
        return read_at(fd, os.fstat(fd).st_size, 0) if fd is not None else b""


def _keep(root: str, kept: str, name: str) -> None:
    """Copy a file into the quarantine, durably."""
    path = os.path.join(kept, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    replace_file(path, _read(root, name), durable=True)
    sync_tree_above(os.path.dirname(path))
