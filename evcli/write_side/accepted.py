"""What was stored for a command: found again under its id, and told as it is printed."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from evcli.domain.commands import Request, recorded_command
from evcli.domain.conditions import Condition
from evcli.domain.events import Event, Write, place_of
from evcli.domain.names import RESERVED
from evcli.domain.values import same_json
from evcli.errors import Busy, IdReused, StoreNotFound
from evcli.storage.codec import loads, new_event
from evcli.storage.contract import EventStore, Receipt, StreamReceipt

ELSEWHERE: Final = f"{RESERVED}/elsewhere"
"""Holds the ids of commands whose events all went to other streams than their own."""
_PAUSE: Final = 0.005


class Accepted(NamedTuple):
    """What was stored for a command: the receipt, and each event's stream, version, type and data."""

    receipt: Receipt
    events: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return the receipt as it is printed, with the events."""
        return self.receipt.as_first().as_json() | {"events": self.events}


def find_earlier(store: EventStore, request: Request, *, lock_wait: float = 10.0) -> Accepted | None:
    """Return what was stored for the command before, under its id; None if nothing was.

    What is there may still be taken back by its writer, who failed; that is waited for, ``lock_wait`` seconds at most.

    Raises:
        IdReused: If the id was used for another command, or for an event.
        Busy: If its writer did not come to an end in time.
    """
    if _event_under(store, request) is None:
        return None
    command = request.command
    deadline = time.monotonic() + lock_wait
    while True:
        settled = store.settled_head().position
        event = _event_under(store, request)
        if event is None:
            return None
        if event["position"] <= settled:
            break
        if time.monotonic() >= deadline:
            raise Busy(
                f"{place_of(event)} is being written for {lock_wait:g} s", "try again, or wait longer: --lock-wait 1m"
            )
        time.sleep(_PAUSE)
    commit = commit_around(store, event["position"])
    recorded = recorded_command(commit[0] if event["stream"] == ELSEWHERE else event)
    asked = {"type": command.type, "data": command.data}
    if recorded is None or not same_json({name: recorded[name] for name in asked}, asked):
        raise IdReused(
            f"the id {request.id!r} stands in {place_of(event)} for something else",
            "use a new id for a new command",
            stream=command.stream,
        )
    found = accepted_in(commit)
    return found._replace(receipt=found.receipt._replace(count=0, repeated=found.receipt.count))


def _event_under(store: EventStore, request: Request) -> Event | None:
    """Return the event that stands under a command's id: in its stream, or where it is noted that all went elsewhere."""
    if request.id is None:
        return None
    stream = request.command.stream
    with suppress(StoreNotFound):
        for place, key in ((stream, request.id), (ELSEWHERE, _elsewhere_key(request))):
            if (line := store.find_id(place, key)) is not None:
                event: Event = loads(line)
                return event
    return None


def not_done_since(request: Request, position: int) -> tuple[Condition, ...]:
    """Return the conditions that nothing was stored for a command, under its id, after a position."""
    assert request.id is not None
    places = ((request.command.stream, request.id), (ELSEWHERE, _elsewhere_key(request)))
    return tuple(Condition(stream, "*", (("/id", key),), position) for stream, key in places)


def done_elsewhere(request: Request) -> list[Write]:
    """Return what remembers the id of a command, if it has one, where no event in its own stream does."""
    if request.id is None:
        return []
    data = {"stream": request.command.stream, "id": request.id}
    return [Write(ELSEWHERE, [new_event({"type": "command.done", "data": data, "id": _elsewhere_key(request)})])]


def _elsewhere_key(request: Request) -> str:
    return f"{request.command.stream} {request.id}"


def commit_around(store: EventStore, position: int) -> list[Event]:
    """Return the events of the commit that the one at ``position`` is part of, from the first that says so on."""
    lines = next(iter(store.read_all(end=position, after=position - 1)), [])
    events: list[Event] = [loads(line) for line in lines]
    first = next((event["commit"][0] for event in events if "commit" in event), position)
    return events if first >= position else commit_around(store, first)


def accepted_in(events: Iterable[Event]) -> Accepted:
    """Return what a commit stored for a command; what evcli recorded beside it is left out."""
    own = [event for event in events if event["stream"].partition("/")[0] != RESERVED]
    streams: dict[str, list[Event]] = {}
    for event in own:
        streams.setdefault(event["stream"], []).append(event)
    writes = tuple(StreamReceipt(stream, listed[-1]["version"], len(listed)) for stream, listed in streams.items())
    receipt = Receipt(own[-1]["position"], len(own), own[-1]["time"], writes)
    return Accepted(receipt, [_told(event["stream"], event["version"], event["type"], event["data"]) for event in own])


def accepted_by(receipt: Receipt, writes: Sequence[Write]) -> Accepted:
    """Return what ``receipt`` says was stored of the ``writes`` for a command, without what evcli recorded beside it."""
    stored = tuple(part for part in receipt.writes if part.stream.partition("/")[0] != RESERVED)
    beside = sum(part.count for part in receipt.writes) - sum(part.count for part in stored)
    return Accepted(
        receipt._replace(writes=stored, count=receipt.count - beside, position=receipt.position - beside),
        list(_stored_events(stored, writes)),
    )


def _stored_events(stored: Sequence[StreamReceipt], writes: Sequence[Write]) -> Iterator[dict[str, Any]]:
    for part, write in zip(stored, writes, strict=False):
        for version, event in enumerate(write.events, part.version - part.count + 1):
            yield _told(part.stream, version, event.type, loads(event.data))


def _told(stream: str, version: int, kind: str, data: Any) -> dict[str, Any]:  # noqa: ANN401 (a JSON value)
    return {"stream": stream, "version": version, "type": kind, "data": data}
