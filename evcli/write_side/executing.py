"""Executing a command: read the state, decide, append at the version read; decide again where somebody was faster."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from evcli.domain.commands import ATTEMPTS, TIMEOUT, Command, Decider, Request, read_decision
from evcli.domain.conditions import Condition
from evcli.domain.events import Event, NewEvent, Write, place_of, with_id
from evcli.domain.expected import ANY, check_expected
from evcli.domain.names import RESERVED, check_writable
from evcli.domain.reducers import ReducerDefinition
from evcli.domain.values import same_json
from evcli.errors import CodeFailed, Conflict, IdReused, Refused, Rejected, StoreNotFound
from evcli.replay import StreamState, read_events
from evcli.storage.codec import loads, new_event, with_meta
from evcli.storage.contract import EventStore, Receipt, StreamReceipt

REJECTIONS: Final = f"{RESERVED}/rejections"
_MOST_TOLD: Final = 100
_MOST_NAMED: Final = 3


StateBy = Callable[[str, ReducerDefinition], StreamState]
"""Returns the newest state of a stream by a definition; the initial one where there is no such stream."""


class Deciding(NamedTuple):
    """What a command is decided by: a decider, on states made by ``definition``, in at most ``timeout`` seconds."""

    decider: Decider
    definition: ReducerDefinition
    state_by: StateBy
    timeout: float | None = TIMEOUT


class Decided(NamedTuple):
    """What follows from a command: writes, at the version that was read, and what must not be there then."""

    version: int
    writes: list[Write]
    unless: tuple[Condition, ...]


class Accepted(NamedTuple):
    """What was stored for a command: the receipt, and each event's stream, version, type and data."""

    receipt: Receipt
    events: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return the receipt as it is printed, with the events."""
        return self.receipt.as_first().as_json() | {"events": self.events}


def execute(
    store: EventStore,
    request: Request,
    deciding: Deciding,
    *,
    attempts: int = ATTEMPTS,
    lock_wait: float = 10.0,
    also: Sequence[Write] = (),
) -> Accepted:
    """Decide on a command and store what follows, as one commit; a repeat under the same id gives what the first gave.

    Args:
        store: The store.
        request: The command.
        deciding: What decides on it.
        attempts: How often it is decided, where the stream moves on in between.
        lock_wait: Seconds to wait for other writers.
        also: What is stored in the same commit.

    Raises:
        Rejected: If the decider refuses.
        Conflict: If the stream moved on each time (``facts["came"]`` has the events), or a condition is not met.
        IdReused: If the id was used before for another command.
        CodeFailed: If the decider fails.
        Usage: If its arguments are wrong.
    """
    before: int | None = None
    for attempt in range(1, attempts + 1):
        if (earlier := find_earlier(store, request)) is not None:
            return earlier
        decided = decide(store, request, deciding)
        before = decided.version if before is None else before
        if not decided.writes and not also:
            return _nothing_stored(store, request, decided)
        try:
            receipt = store.append([*decided.writes, *also], lock_wait=lock_wait, unless=decided.unless)
        except Conflict as conflict:
            if conflict.facts["stream"] != request.command.stream or not _has_moved(conflict, decided):
                raise
            if attempt == attempts or request.expect != ANY:
                raise _moved_on(store, request, conflict, before, attempt) from conflict
        else:
            if receipt.count:
                return _accepted(receipt, decided.writes)
    raise AssertionError("an id was there and is not")


def decide(store: EventStore, request: Request, deciding: Deciding) -> Decided:
    """Decide on a command in the state that its stream is in, and store nothing; see `execute`."""
    command, decider = request.command, deciding.decider
    position = _position(store)
    found = deciding.state_by(command.stream, deciding.definition)
    check_expected(command.stream, request.expect, found.version)
    try:
        returned = decider.decide(command, found.state, timeout=deciding.timeout)
        decision = read_decision(returned, command.stream)
        events = {stream: [_new_event(each) for each in listed] for stream, listed in decision.events.items()}
        for stream in events:
            check_writable(stream)
    except Rejected as rejected:
        raise _rejected(rejected, command, found.version) from rejected
    except (CodeFailed, Refused, ValueError) as error:
        problem, hint = (error.message, error.hint) if isinstance(error, CodeFailed | Refused) else (str(error), "")
        raise (type(error) if isinstance(error, CodeFailed) else CodeFailed)(
            f"{decider.name} failed on the command {command.type} to {command.stream}@{found.version}: {problem}",
            hint or "correct the decider; 'evcli help deciders' shows how it is done",
            stream=command.stream,
            version=found.version,
            command=command.type,
        ) from error
    writes = [Write(stream, listed) for stream, listed in events.items()]
    unless = decision.unless
    if command.stream in events:
        writes[0] = writes[0]._replace(expect=found.version)
    elif writes:
        unless = (*unless, Condition(command.stream, "*", after=position))  # what it decided on is to be so still
    return Decided(found.version, [_tell(write, n == 0, request) for n, write in enumerate(writes)], unless)


def find_earlier(store: EventStore, request: Request) -> Accepted | None:
    """Return what was stored for the command before, under its id; None if nothing was.

    Raises:
        IdReused: If the id was used for another command, or for an event.
    """
    command = request.command
    if request.id is None:
        return None
    try:
        line = store.find_id(command.stream, request.id)
    except StoreNotFound:
        return None
    if line is None:
        return None
    event: Event = loads(line)
    recorded = recorded_command(event)
    if recorded is None or not same_json(recorded, {"type": command.type, "data": command.data}):
        raise IdReused(
            f"the id {request.id!r} stands in {place_of(event)} for something else",
            "use a new id for a new command",
            stream=command.stream,
        )
    found = accepted_in(commit_around(store, event["position"]))
    return found._replace(receipt=found.receipt._replace(count=0, repeated=found.receipt.count))


def recorded_command(event: Event) -> dict[str, Any] | None:
    """Return the command that led to an event, as its ``meta`` has it: ``type`` and ``data``; None if it has none."""
    found = event.get("meta", {}).get("command")
    return found if isinstance(found, dict) and {"type", "data"} <= found.keys() else None


def commit_around(store: EventStore, position: int) -> list[Event]:
    """Return the events of a commit from ``position`` on."""
    lines = next(iter(store.read_all(end=position, after=position - 1)), [])
    return [loads(line) for line in lines]


def accepted_in(events: Iterable[Event]) -> Accepted:
    """Return what a commit stored for a command; what evcli recorded beside it is left out."""
    own = [event for event in events if event["stream"].partition("/")[0] != RESERVED]
    streams: dict[str, list[Event]] = {}
    for event in own:
        streams.setdefault(event["stream"], []).append(event)
    writes = tuple(StreamReceipt(stream, listed[-1]["version"], len(listed)) for stream, listed in streams.items())
    receipt = Receipt(own[-1]["position"], len(own), own[-1]["time"], writes)
    return Accepted(receipt, [_told(event["stream"], event["version"], event["type"], event["data"]) for event in own])


def rejection(request: Request, rejected: Rejected) -> Write:
    """Return what is stored of a rejected command for the audit, in a stream of evcli's own."""
    command = {"type": request.command.type, "data": request.command.data}
    data = {"stream": request.command.stream, "command": command, "reason": rejected.reason, "code": rejected.code}
    return Write(REJECTIONS, [with_meta(new_event({"type": "command.rejected", "data": data}), request.meta)])


def _new_event(members: Mapping[str, Any]) -> NewEvent:
    return new_event(members)


def _tell(write: Write, is_first: bool, request: Request) -> Write:  # noqa: FBT001 (a helper of one caller)
    """Say in the events' meta what they are part of, and in the first which command they follow from."""
    command = request.command
    told = f'{{"type":{json.dumps(command.type, ensure_ascii=False)},"data":{command.text}}}'
    events = [
        with_meta(event, {**request.meta, "command": told} if is_first and number == 0 else request.meta)
        for number, event in enumerate(write.events)
    ]
    write = write._replace(events=events)
    return write if request.id is None else with_id(write, request.id)


def _position(store: EventStore) -> int:
    try:
        return store.head().position
    except StoreNotFound:
        return 0


def _has_moved(conflict: Conflict, decided: Decided) -> bool:
    """Say whether a conflict is about what was decided on, and not about what the decider demands."""
    condition = conflict.facts.get("condition")
    guards = [str(each) for each in decided.unless if each.type == "*" and not each.where]
    return condition in guards if condition else bool(decided.writes and conflict.index is None)


def _nothing_stored(store: EventStore, request: Request, decided: Decided) -> Accepted:
    writes = (StreamReceipt(request.command.stream, decided.version, 0),)
    head = store.head()
    return Accepted(Receipt(head.position, 0, head.time, writes), [])


def _accepted(receipt: Receipt, writes: Sequence[Write]) -> Accepted:
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


def _rejected(rejected: Rejected, command: Command, version: int) -> Rejected:
    facts = {"stream": command.stream, "version": version, "command": command.type, "reason": rejected.reason}
    told = Rejected(f"{command.type} rejected: {rejected.reason}", code=rejected.code, **(rejected.facts | facts))
    told.reason = rejected.reason
    return told


def _moved_on(store: EventStore, request: Request, conflict: Conflict, before: int, attempts: int) -> Conflict:
    """Say of a conflict which events came between."""
    stream = request.command.stream
    events = read_events(store, stream, end=store.head().position, after=before)
    came = [{"version": event["version"], "type": event["type"]} for event in islice(events, _MOST_TOLD)]
    named = ", ".join(f"{stream}@{event['version']} {event['type']}" for event in came[:_MOST_NAMED])
    more = f" and {len(came) - _MOST_NAMED} more" if len(came) > _MOST_NAMED else ""
    times = "" if attempts == 1 else f" each of {attempts} times"
    conflict.message = f"{stream} moved on while {request.command.type} was decided{times}; there came {named}{more}"
    conflict.hint = f"read them (evcli log {stream} --after {before}), or try more often: --attempts {attempts * 4}"
    conflict.facts |= {"came": came, "attempts": attempts}
    return conflict
