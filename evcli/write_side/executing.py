"""Executing a command: read the state, decide, append at the version read; decide again where somebody was faster."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from evcli.domain.commands import Command, Decider, Request, read_decision, said
from evcli.domain.conditions import Condition
from evcli.domain.events import NewEvent, Write
from evcli.domain.expected import ANY, check_expected
from evcli.domain.names import RESERVED, check_writable
from evcli.domain.reducers import ReducerDefinition
from evcli.domain.tries import ATTEMPTS, TIMEOUT
from evcli.errors import CodeFailed, Conflict, IdReused, Refused, Rejected, StoreNotFound
from evcli.replay import StreamState, read_events
from evcli.storage.codec import new_event, with_meta
from evcli.storage.contract import EventStore, Head, Receipt, StreamReceipt
from evcli.write_side.accepted import Accepted, accepted_by, done_elsewhere, find_earlier

REJECTIONS: Final = f"{RESERVED}/rejections"
_MOST_TOLD: Final = 100
_MOST_NAMED: Final = 3
_NO_STORE: Final = Head(0, "", "")


StateBy = Callable[[str, ReducerDefinition], StreamState]
"""Returns the newest state of a stream by a definition; the initial one where there is no such stream."""


class Deciding(NamedTuple):
    """What a command is decided by: a decider, on states made by ``definition``, in at most ``timeout`` seconds."""

    decider: Decider
    definition: ReducerDefinition
    state_by: StateBy
    timeout: float | None = TIMEOUT


class Decided(NamedTuple):
    """What follows from a command: writes, at the version that was read, and what must not be there then.

    Where nothing is written to the command's own stream, ``guard`` says that it is as it was.
    """

    version: int
    writes: list[Write]
    unless: tuple[Condition, ...]
    guard: Condition | None = None


class _Found(NamedTuple):
    """What a command is decided on: its stream's state, which holds all that there is up to a position of the store."""

    state: StreamState
    position: int


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
        found = _find(store, request, deciding, lock_wait=lock_wait)
        if isinstance(found, Accepted):
            return found
        decided = _decide_on(found, request, deciding)
        before = decided.version if before is None else before
        if not decided.writes and not also:
            return _nothing_stored(store, request, decided)
        try:
            return _store(store, request, decided, also, lock_wait=lock_wait)
        except Conflict as conflict:
            if conflict.facts["stream"] != request.command.stream or not _has_moved(conflict, decided):
                raise
            if attempt == attempts or request.expect != ANY:
                raise _moved_on(store, request, conflict, before, attempt) from conflict
    raise AssertionError("the last attempt ends it")


def decide(store: EventStore, request: Request, deciding: Deciding) -> Decided:
    """Decide on a command in the state that its stream is in, and store nothing; see `execute`."""
    position = _end(store).position
    found = _Found(deciding.state_by(request.command.stream, deciding.definition), position)
    return _decide_on(found, request, deciding)


def _find(store: EventStore, request: Request, deciding: Deciding, *, lock_wait: float) -> _Found | Accepted:
    """Find what a command is to be decided on, or what was stored for it before: the state never holds its own effect."""
    end = _end(store)
    if (earlier := find_earlier(store, request, lock_wait=lock_wait)) is not None:
        return earlier
    state = deciding.state_by(request.command.stream, deciding.definition)
    if store.has_more(end) and (earlier := find_earlier(store, request, lock_wait=lock_wait)) is not None:
        return earlier
    return _Found(state, end.position)


def _decide_on(found: _Found, request: Request, deciding: Deciding) -> Decided:
    command, decider = request.command, deciding.decider
    _, version, state = found.state
    check_expected(command.stream, request.expect, version)
    try:
        returned = decider.decide(command, state, timeout=deciding.timeout)
        decision = read_decision(returned, command.stream)
        events = {stream: [_new_event(each) for each in listed] for stream, listed in decision.events.items()}
        for stream in events:
            check_writable(stream)
    except Rejected as rejected:
        raise _rejected(rejected, command, version) from rejected
    except (CodeFailed, Refused, ValueError) as error:
        problem, hint = (error.message, error.hint) if isinstance(error, CodeFailed | Refused) else (str(error), "")
        raise (type(error) if isinstance(error, CodeFailed) else CodeFailed)(
            f"{decider.name} failed on the command {command.type} to {command.stream}@{version}: {problem}",
            hint or "correct the decider; 'evcli help deciders' shows how it is done",
            stream=command.stream,
            version=version,
            command=command.type,
        ) from error
    writes = [Write(stream, listed) for stream, listed in events.items()]
    guard = None
    if command.stream in events:
        writes[0] = writes[0]._replace(expect=version)
    else:
        guard = Condition(command.stream, "*", after=found.position)
    return Decided(version, _tell(writes, request), decision.unless, guard)


def _store(
    store: EventStore, request: Request, decided: Decided, also: Sequence[Write], *, lock_wait: float
) -> Accepted:
    """Store what was decided, unless it is there by now: by the same command, which may have been decided otherwise."""
    elsewhere = done_elsewhere(request) if decided.writes and decided.guard else []
    unless = (*decided.unless, decided.guard) if decided.guard else decided.unless
    try:
        writes = [*decided.writes, *elsewhere, *also]
        receipt = store.append(writes, lock_wait=lock_wait, unless=unless, once=True)
        if receipt.count:
            return accepted_by(receipt, decided.writes)
        reused = IdReused("somebody else was faster", stream=receipt.writes[0].stream)
    except IdReused as error:
        reused = error
    earlier = find_earlier(store, request, lock_wait=lock_wait)
    if earlier is None:
        raise reused
    return earlier


def rejection(request: Request, rejected: Rejected) -> Write:
    """Return what is stored of a rejected command for the audit, in a stream of evcli's own."""
    command = {"type": request.command.type, "data": request.command.data}
    data = {
        "stream": request.command.stream,
        "command": command,
        "reason": said(rejected.reason),
        "code": said(rejected.code),
    }
    return Write(REJECTIONS, [with_meta(new_event({"type": "command.rejected", "data": data}), request.meta)])


def _new_event(members: Mapping[str, Any]) -> NewEvent:
    return new_event(members)


def _tell(writes: Sequence[Write], request: Request) -> list[Write]:
    """Say in the events' meta what they are part of, and in the first which command they follow from, under its id.

    One id is enough, since they are stored together; and in another stream it may be that of another stream's command.
    """
    command = request.command
    found = [write._replace(events=[with_meta(event, request.meta) for event in write.events]) for write in writes]
    for write, given in zip(found[:1], writes, strict=False):
        is_own = write.stream == command.stream
        stream = "" if is_own else f',"stream":"{command.stream}"'
        told = f'{{"type":{json.dumps(command.type, ensure_ascii=False)},"data":{command.text}{stream}}}'
        first = with_meta(given.events[0], {**request.meta, "command": told})
        found[0] = write._replace(events=[first._replace(id=request.id if is_own else None), *write.events[1:]])
    return found


def _end(store: EventStore) -> Head:
    """Return the end up to which nothing is taken back any more."""
    try:
        return store.settled_head()
    except StoreNotFound:
        return _NO_STORE


def _has_moved(conflict: Conflict, decided: Decided) -> bool:
    """Say whether a conflict is about what was decided on, and not about what the decider demands."""
    condition = conflict.facts.get("condition")
    if condition is not None:
        return bool(condition == str(decided.guard))
    return decided.guard is None and conflict.index is None


def _nothing_stored(store: EventStore, request: Request, decided: Decided) -> Accepted:
    writes = (StreamReceipt(request.command.stream, decided.version, 0),)
    head = _end(store)
    return Accepted(Receipt(head.position, 0, head.time, writes), [])


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
