"""Tracing: finding what led to an event and all that came of it, or the events of one conversation."""

import json
from collections.abc import Iterator
from typing import Final

from evcli.domain.commands import recorded_command
from evcli.domain.events import Event, parse_place, was_keyed
from evcli.domain.queue import QUEUE
from evcli.domain.traces import Broken, Traced, cause_place, grow
from evcli.storage.codec import loader, loads
from evcli.storage.contract import EventStore

_MOST_AT_ONCE: Final = 1000


def trace(store: EventStore, what: str, *, end: int) -> list[Traced]:
    """Return the trees of causes and effects that ``what`` is about; none if there is nothing of it.

    Where ``what`` is ``STREAM@VERSION`` of an event, that is the one tree in which it stands. Otherwise they are the
    events whose correlation, or whose id, it is.

    Raises:
        Damaged: As soon as something does not verify.
    """
    place = parse_place(what)
    found = _Places(store, end).line(*place) if place else None
    return trace_event(store, found, end=end) if found else trace_conversation(store, what, end=end)


def trace_event(store: EventStore, line: bytes, *, end: int) -> list[Traced]:
    """Return the tree in which a stored event stands: from the first cause that is there to all that came of it.

    What comes of an event stands after it, so that one pass from the root on finds everything.
    """
    asked: Event = loads(line)
    root, broken = _root_above(_Places(store, end), line)
    event: Event = loads(root)
    events = [(event, root), *_effects_of(store, event, end)]
    return grow(events, asked=(asked["stream"], asked["version"]), otherwise=broken)


def trace_conversation(store: EventStore, key: str, *, end: int) -> list[Traced]:
    """Return the events whose correlation or id is ``key``, as trees; an event whose cause is not among them is a root.

    What was stored under an id is all of it with what came of that, and a submitted command's id stands for the command.
    """
    return grow(_events_of(store, key, end))


class _Places:
    """Finds single events by their places: the more of a stream are asked for, the more of it are read at once."""

    def __init__(self, store: EventStore, end: int) -> None:
        self._store = store
        self._end = end
        self._read: dict[str, tuple[int, list[bytes]]] = {}

    def line(self, stream: str, version: int) -> bytes | None:
        """Return the event's stored line; None if there is none."""
        after, lines = self._read.get(stream, (version, []))
        if not after < version <= after + len(lines):
            after = max(0, version - min(_MOST_AT_ONCE, 2 * len(lines) + 1))
            chunks = self._store.read_stream(stream, end=self._end, after=after, to=version)
            lines = [line for chunk in chunks for line in chunk.lines]
            self._read[stream] = after, lines
        return lines[version - after - 1] if version <= after + len(lines) else None


def _root_above(places: _Places, line: bytes) -> tuple[bytes, Broken]:
    """Follow the causes up to the first event that has none; say what is wrong with the cause there, if it names one.

    A cause stands before its effect. One that does not ends the walk, which therefore ends in any case.
    """
    while True:
        event: Event = loads(line)
        cause = cause_place(event)
        above = places.line(*cause) if cause else None
        if above is None:
            return line, "missing"
        if loads(above)["position"] >= event["position"]:
            return line, "later"
        line = above


def _effects_of(store: EventStore, root: Event, end: int) -> Iterator[tuple[Event, bytes]]:
    """Yield what came of an event, and of that, in the order of positions."""
    load, known = loader(), {(root["stream"], root["version"])}
    for lines in store.read_all(end=end, after=root["position"]):
        for line in lines:
            if b'"cause"' in line or b"\\" in line:  # a member's name is there as it is, unless the line has escapes
                event: Event = load(line)
                if cause_place(event) in known:
                    known.add((event["stream"], event["version"]))
                    yield event, line


def _events_of(store: EventStore, key: str, end: int) -> Iterator[tuple[Event, bytes]]:
    """Yield the events of a conversation, or those of an id and what came of them, in the order of positions."""
    load, text = loader(), json.dumps(key, ensure_ascii=False)[:-1].encode(errors="surrogateescape")
    under_id: set[tuple[str, int]] = set()
    for lines in store.read_all(end=end):
        maybe: list[tuple[Event, bytes]] = [
            (load(line), line) for line in lines if text in line or b"\\" in line or (under_id and b'"cause"' in line)
        ]
        is_whole = any(event.get("id") == key and recorded_command(event) is not None for event, _ in maybe)
        for event, line in ((load(line), line) for line in lines) if is_whole else maybe:
            cause = cause_place(event)
            if is_whole or _has_id(event, key) or (cause is not None and cause in under_id):
                under_id.add((event["stream"], event["version"]))  # what came of it belongs to it
                yield event, line
            elif event.get("meta", {}).get("correlation") == key:
                yield event, line


def _has_id(event: Event, key: str) -> bool:
    if event["stream"] == QUEUE and event["data"]["id"] == key:  # a submitted command, or what became of it
        return True
    return was_keyed(event, key)
