"""Handling submitted commands: each once in effect, a stream's in their order, and what cannot be handled set aside.

What became of a command is stored in one commit with the events that follow from it, under an id that the queue has
once; so several workers may meet at a command, and one of them settles it. That they take turns at a stream spares them
the work, and is not what this rests on.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, Final, NamedTuple

from evcli.domain.commands import Command, Decider, Request, said
from evcli.domain.events import Event, Write
from evcli.domain.queue import ACCEPTED, PARKED, QUEUE, QUEUE_REDUCER, REJECTED, Queued, done_key, listed, parked_key
from evcli.domain.tries import ATTEMPTS
from evcli.domain.values import Json
from evcli.errors import (
    BadConfig,
    Busy,
    CodeFailed,
    ConditionNotMet,
    Conflict,
    EvcliError,
    IdReused,
    NotFound,
    NotPermitted,
    Refused,
    Rejected,
    StoreNotFound,
    Usage,
)
from evcli.replay import StreamState, read_events
from evcli.storage.attempts import Attempts
from evcli.storage.codec import encode_value
from evcli.storage.contract import EventStore, Head, Receipt
from evcli.write_side.accepted import Accepted, not_done_since
from evcli.write_side.executing import Deciding, execute
from evcli.write_side.queue import queue_event

MOST_DEATHS: Final = 5
_SLOW: Final = 0.1
_NO_FAULT_OF_ITS: Final = (NotFound, NotPermitted, BadConfig, CodeFailed)
"""Why a stream's decider cannot be had: its commands wait until it can."""

Report = Callable[[Queued, Accepted | EvcliError], None]
"""Is told what became of a command: accepted; rejected, or parked, and why; or why it has to wait."""


class Handling(NamedTuple):
    """How commands are handled.

    ``deciding`` gives what decides on a stream's commands, ``refresh`` lets it look at the definitions anew; ``attempts``
    counts what kills its process, and says whose turn a stream is; ``tries`` is how often a command is decided where its
    stream moves on; ``jobs`` is how many streams are handled at a time.
    """

    deciding: Callable[[str], Deciding]
    attempts: Attempts
    report: Report
    refresh: Callable[[], None] = lambda: None
    tries: int = ATTEMPTS
    jobs: int = 1
    lock_wait: float = 10.0


class CommandWorker:
    """Handles the commands of a store's queue.

    Args:
        store: The store.
        queue: Returns the queue's state.
        handling: How commands are handled.
    """

    def __init__(self, store: EventStore, queue: Callable[[], StreamState], handling: Handling) -> None:
        self._store = store
        self._load_queue = queue
        self._handling = handling
        self._queue: StreamState | None = None
        self._head: Head | None = None
        self._seen: Head | None = None
        self._told: set[tuple[str, str]] = set()
        self._is_ending = False
        self.others: set[str] = set()
        """The streams that were left to other workers when it last looked."""

    def look(self) -> bool:
        """Handle what is pending; return whether anything was settled.

        Raises:
            Damaged: If the store is.
            StorageFailed: If the operating system fails.
        """
        if self._head is not None and not self._store.has_more(self._head):
            return False
        try:
            head = self._store.settled_head()  # what its submitter may still take back is not acted on
        except StoreNotFound:
            return False
        pending = self._pending(head)
        if pending:
            self._handling.refresh()
        self.others.clear()
        settled = [done for lane in self._handle_lanes(_lanes(pending)) for done in lane]
        # What has to wait is looked at again; what was settled has made the store grow.
        self._head = None if not all(settled) else head
        return any(settled)

    def is_done(self) -> bool:
        """Say whether nothing is pending, nor parked."""
        try:
            self._pending(self._store.head())
        except StoreNotFound:
            return True
        return self._queue is None or not any(self._queue.state.values())

    def _pending(self, head: Head) -> list[Queued]:
        if self._seen is not None and not self._store.holds(self._seen.position, self._seen.hash):
            self._queue = None  # another history, as after a backup was restored
        self._seen = head
        if self._queue is None:
            self._queue = self._load_queue()
        stream, version, state = self._queue
        events = list(read_events(self._store, stream, end=head.position, after=version))
        if events:
            self._queue = StreamState(stream, events[-1]["version"], QUEUE_REDUCER.fold(state, events))
        return listed(self._queue.state["pending"])

    def _handle_lanes(self, lanes: Sequence[list[Queued]]) -> Iterator[list[bool]]:
        if self._handling.jobs == 1:
            yield from map(self._handle_lane, lanes)
            return
        suspects = [lane for lane in lanes if self._handling.attempts.deaths(lane[0].id)]
        for lane in suspects:  # alone: whatever kills the worker is not to be laid to another's charge
            yield self._handle_lane(lane[:1])
        with ThreadPoolExecutor(self._handling.jobs) as pool:
            running = {pool.submit(self._handle_lane, lane) for lane in lanes if lane not in suspects}
            try:
                while running:  # not for longer: a signal that another thread got is heeded once this one goes on
                    ended, running = wait(running, timeout=_SLOW, return_when=FIRST_EXCEPTION)
                    yield from [lane.result() for lane in ended]
            except BaseException:
                self._is_ending = True
                for left in running:
                    left.cancel()
                raise

    def _handle_lane(self, lane: Sequence[Queued]) -> list[bool]:
        """Handle a stream's commands in their order, up to one that has to wait; say of each whether it is settled.

        A stream that another worker is at is left to that one.
        """
        stream, done = lane[0].stream, list[bool]()
        with self._handling.attempts.turn(stream) as is_ours:
            if not is_ours:
                self.others.add(stream)
                return [False]
            for queued in lane:
                if self._is_ending:
                    break
                done.append(self._settle(queued))
                if not done[-1]:
                    break
        return done

    def _settle(self, queued: Queued) -> bool:
        """Handle a command; return whether it is settled, by whomever."""
        try:
            deciding = self._handling.deciding(queued.stream)
        except _NO_FAULT_OF_ITS as error:
            self._tell_once(queued, error)
            return False
        try:
            outcome = self._outcome_of(queued, deciding)
        except (Busy, Conflict) as error:
            self._tell_once(queued, error)
            return False
        if outcome is not None:
            self._handling.report(queued, outcome)
        return True

    def _outcome_of(self, queued: Queued, deciding: Deciding) -> Accepted | EvcliError | None:
        """Settle a command and return what became of it; None if somebody else was faster.

        Raises:
            Conflict: If its stream moved on each time that it was decided.
            Busy: If the store's lock was not free in time.
        """
        since = self._store.settled_head().position
        try:
            return self._accept(queued, deciding)
        except IdReused as error:
            if self._is_settled(queued):
                return None
            refused: EvcliError = error
        except Conflict as error:
            if "came" in error.facts:
                raise
            refused = error
        except (Rejected, Usage, CodeFailed, Refused) as error:
            refused = error
        unless = not_done_since(_request(queued), since)  # it may have been executed by itself meanwhile
        try:
            self._store.append([_refusal(queued, refused)], lock_wait=self._handling.lock_wait, unless=unless)
        except IdReused:
            return None
        except ConditionNotMet:
            return self._outcome_of(queued, deciding)
        return refused

    def _accept(self, queued: Queued, deciding: Deciding) -> Accepted:
        guarded = deciding._replace(decider=_Guarded(deciding.decider, self._handling.attempts, queued.id))
        tries, wait = self._handling.tries, self._handling.lock_wait
        request, also = _request(queued), [_acceptance(queued)]
        accepted = execute(self._store, request, guarded, attempts=tries, lock_wait=wait, also=also)
        if accepted.receipt.repeated:  # it was executed by itself, under the same id, or by another worker
            with suppress(IdReused):
                self._store.append([_acceptance(queued, accepted.receipt)], lock_wait=wait)
        return accepted

    def _is_settled(self, queued: Queued) -> bool:
        return self._store.find_id(QUEUE, done_key(queued.id)) is not None

    def _tell_once(self, queued: Queued, error: EvcliError) -> None:
        if (queued.id, error.message) not in self._told:
            self._told.add((queued.id, error.message))
            self._handling.report(queued, error)


class _Guarded:
    """A decider that is not run for a command by which its process has died again and again."""

    def __init__(self, decider: Decider, attempts: Attempts, key: str) -> None:
        self.name = decider.name
        self._decider = decider
        self._attempts = attempts
        self._key = key

    def decide(self, command: Command, state: Json, *, timeout: float | None) -> Any:  # noqa: ANN401 (the decider's)
        if self._attempts.begin(self._key) >= MOST_DEATHS:
            self._attempts.end(self._key)
            raise CodeFailed(f"the worker has died {MOST_DEATHS} times while it was deciding on it")
        try:
            return self._decider.decide(command, state, timeout=timeout)
        finally:
            self._attempts.end(self._key)

    def undo(self, event: Event, state: Json, *, timeout: float | None) -> Any:  # noqa: ANN401 (the decider's)
        return self._decider.undo(event, state, timeout=timeout)


def _lanes(pending: Sequence[Queued]) -> list[list[Queued]]:
    lanes: dict[str, list[Queued]] = {}
    for queued in pending:
        lanes.setdefault(queued.stream, []).append(queued)
    return list(lanes.values())


def _request(queued: Queued) -> Request:
    data = queued.command["data"]
    command = Command(queued.stream, queued.command["type"], data, encode_value(data))
    return Request(command, {key: encode_value(value) for key, value in _meta(queued).items()}, queued.id)


def _meta(queued: Queued) -> dict[str, Any]:
    return {"correlation": queued.id, **queued.meta, "cause": f"{QUEUE}@{queued.version}"}


def _acceptance(queued: Queued, earlier: Receipt | None = None) -> Write:
    """Return what says that a command was accepted; if it was so ``earlier``, also where that stands."""
    where = {"position": earlier.position - earlier.repeated + 1} if earlier else {}
    return _outcome(ACCEPTED, queued, done_key(queued.id), **where)


def _refusal(queued: Queued, error: EvcliError) -> Write:
    """Return what says that a command was rejected; or is parked, since deciding on it failed."""
    reason = said(error.reason if isinstance(error, Rejected) else error.message)
    if isinstance(error, CodeFailed) or (isinstance(error, Refused) and not isinstance(error, IdReused)):
        return _outcome(PARKED, queued, parked_key(queued.id, queued.retries), reason=reason)
    return _outcome(REJECTED, queued, done_key(queued.id), reason=reason, code=said(error.code))


def _outcome(kind: str, queued: Queued, key: str, **more: Any) -> Write:  # noqa: ANN401 (JSON values)
    return Write(QUEUE, [queue_event(kind, queued.id, key, meta=_meta(queued), stream=queued.stream, **more)])
