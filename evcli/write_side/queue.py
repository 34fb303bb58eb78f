"""Submitted commands: put into the queue durably, and what became of each."""

import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

from evcli.domain.commands import Request
from evcli.domain.events import Event, NewEvent, Write, caused_by
from evcli.domain.queue import (
    ACCEPTED,
    QUEUE,
    QUEUE_REDUCER,
    REJECTED,
    RETRIED,
    SUBMITTED,
    done_key,
    parked_key,
    retried_key,
    submitted_key,
)
from evcli.domain.reducers import FOLD_VERSION, Reducer
from evcli.errors import IdReused, NotFound, Refused, Usage
from evcli.storage.codec import MAX_LINE_BYTES, loads, new_event, with_meta
from evcli.storage.contract import EventStore, Receipt
from evcli.write_side.accepted import accepted_in, commit_around

_MOST_BYTES: Final = MAX_LINE_BYTES // 2
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.1


class QueueDefinition:
    """What the queue's state is made by, as a state that is queried."""

    def fingerprint(self, cache_dir: str | None) -> str:
        """Digest what the fold is."""
        del cache_dir
        return sha256(f"queue 1 {FOLD_VERSION}".encode()).hexdigest()

    def load(self) -> Reducer:
        """Return the fold."""
        return QUEUE_REDUCER


class Status(NamedTuple):
    """How a submitted command stands.

    ``status`` is ``pending``, ``accepted``, ``rejected`` or ``parked``; ``receipt`` is what was stored for it, as it
    is printed; ``reason`` and ``code`` say why it was rejected or parked.
    """

    id: str
    stream: str
    command: dict[str, Any]
    status: str
    receipt: dict[str, Any] | None = None
    reason: str | None = None
    code: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as it is printed: without what there is nothing to say of."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def queue_event(
    kind: str,
    key: str,
    own_id: str,
    *,
    meta: Mapping[str, Any] | None = None,
    **more: Any,  # noqa: ANN401 (JSON values)
) -> NewEvent:
    """Make an event of the queue about the command ``key``, under an id of its own; ``more`` is its data."""
    return new_event({"type": kind, "data": {"id": key, **more}, "id": own_id, "meta": meta})


def submit(store: EventStore, request: Request, *, lock_wait: float) -> Receipt:
    """Store a command in the queue, durably; a repeat under the same id stores nothing.

    Raises:
        IdReused: If the id was used for another command.
        Refused: If it cannot be stored.
        StorageFailed: If the operating system fails.
    """
    try:
        return store.append([submission(request)], lock_wait=lock_wait).as_first()
    except IdReused as error:
        raise IdReused(
            f"the id {request.id!r} was given to another command", "use a new id for a new command", stream=QUEUE
        ) from error


def submission(request: Request) -> Write:
    """Return what puts a command into the queue.

    Raises:
        Refused: If it is so long that what becomes of it might not fit on a line.
    """
    command, key = request.command, str(request.id)
    told = {"type": command.type, "data": command.data}
    event = queue_event(SUBMITTED, key, submitted_key(key), stream=command.stream, command=told)
    event = with_meta(event, request.meta)
    if len(f"{event.data}{event.meta}".encode()) > _MOST_BYTES:
        raise Refused("a command of over 512 KiB", "keep the document in a file, and its name and hash in the command")
    return Write(QUEUE, [event])


def status_of(store: EventStore, key: str) -> Status:
    """Say how a submitted command stands.

    Raises:
        NotFound: If there is none of that id.
    """
    line = store.find_id(QUEUE, submitted_key(key))
    if line is None:
        raise NotFound(f"no command {key} was submitted", "see what is pending or parked: evcli submit --list", id=key)
    about = loads(line)["data"]
    known = Status(key, about["stream"], about["command"], "pending")
    done = store.find_id(QUEUE, done_key(key))
    if done is not None:
        return _settled(store, known, loads(done))
    parked = _parked(store, key)
    return known._replace(status="parked", reason=parked["data"]["reason"]) if parked else known


def wait_for(store: EventStore, key: str, *, timeout: float) -> Status:
    """Say how a submitted command stands, once it is not pending any more, at most after ``timeout`` seconds.

    Raises:
        NotFound: If there is none of that id.
    """
    deadline, pause = time.monotonic() + timeout, _FIRST_PAUSE
    head = store.head()
    found = status_of(store, key)
    while found.status == "pending" and time.monotonic() < deadline:
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(_LONGEST_PAUSE, pause * 1.2)
        if store.has_more(head):
            head = store.head()
            found = status_of(store, key)
    return found


def retry(store: EventStore, key: str, *, lock_wait: float) -> None:
    """Take a parked command up again.

    Raises:
        NotFound: If there is none of that id.
        Usage: If it is not parked.
    """
    found = status_of(store, key)
    if found.status != "parked":
        raise Usage(f"the command {key} is {found.status}, not parked", f"see it: evcli submit --status {key}")
    event = queue_event(RETRIED, key, retried_key(key, _retries(store, key)), meta=_meta(store, key))
    store.append([Write(QUEUE, [event])], lock_wait=lock_wait)


def drop(store: EventStore, key: str, *, lock_wait: float) -> None:
    """Reject a command that is pending or parked, by hand.

    Raises:
        NotFound: If there is none of that id.
        Usage: If it is settled, or is settled meanwhile.
    """
    found = status_of(store, key)
    if found.status not in ("pending", "parked"):
        raise Usage(f"the command {key} is {found.status} already", f"see it: evcli submit --status {key}")
    told = {"stream": found.stream, "reason": "dropped by hand", "code": "dropped"}
    try:
        event = queue_event(REJECTED, key, done_key(key), meta=_meta(store, key), **told)
        store.append([Write(QUEUE, [event])], lock_wait=lock_wait)
    except IdReused as error:
        raise Usage(f"the command {key} was settled just now", f"see it: evcli submit --status {key}") from error


def _meta(store: EventStore, key: str) -> dict[str, str]:
    line = store.find_id(QUEUE, submitted_key(key))
    assert line is not None
    return caused_by(loads(line))


def _settled(store: EventStore, known: Status, done: Event) -> Status:
    data = done["data"]
    if done["type"] != ACCEPTED:
        return known._replace(status="rejected", reason=data["reason"], code=data["code"])
    first = data.get("position") or done.get("commit", [None])[0]
    receipt = accepted_in(commit_around(store, first)).as_json() if first else {"events": []}
    return known._replace(status="accepted", receipt=receipt)


def _retries(store: EventStore, key: str) -> int:
    number = 0
    while store.find_id(QUEUE, retried_key(key, number)) is not None:
        number += 1
    return number


def _parked(store: EventStore, key: str) -> Event | None:
    line = store.find_id(QUEUE, parked_key(key, _retries(store, key)))
    return loads(line) if line else None
