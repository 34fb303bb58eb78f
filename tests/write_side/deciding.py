"""Commands decided by functions of a test's, which may do anything before they answer: what rivals do meanwhile."""

from collections.abc import Callable
from typing import Any

from evcli.domain.commands import Command, Request
from evcli.domain.events import Event
from evcli.domain.queue import QUEUE
from evcli.domain.reducers import ReducerDefinition
from evcli.domain.values import Json
from evcli.errors import EvcliError
from evcli.given import to_command, to_request
from evcli.project.definitions import BuiltInDefinition
from evcli.read_side.states import query_state
from evcli.replay import StreamState
from evcli.storage.attempts import Attempts
from evcli.storage.codec import encode_value, loads
from evcli.storage.contract import EventStore
from evcli.write_side.accepted import Accepted
from evcli.write_side.executing import Deciding
from evcli.write_side.queue import QueueDefinition, submit
from evcli.write_side.working import CommandWorker, Handling

Decide = Callable[[Command, Json], Any]
Reported = dict[str, Accepted | EvcliError]


class _Function:
    name = "a function"

    def __init__(self, decide: Decide) -> None:
        self._decide = decide

    def decide(self, command: Command, state: Json, *, timeout: float | None) -> Any:
        del timeout
        return self._decide(command, state)

    def undo(self, event: Event, state: Json, *, timeout: float | None) -> Any:
        raise NotImplementedError


def by(store: EventStore, decide: Decide) -> Deciding:
    """Decide by a function, on states that are lists of events' data."""

    def state_by(stream: str, definition: ReducerDefinition) -> StreamState:
        return query_state(store, stream, definition, None, end=store.head().position)

    return Deciding(_Function(decide), BuiltInDefinition("list"), state_by)


def request(stream: str, name: str, data: Any = None, *, id: str | None = None) -> Request:  # noqa: A002
    return to_request(to_command(stream, name, encode_value({} if data is None else data)), meta={}, id=id)


def put(store: EventStore, stream: str, name: str, data: Any = None, *, id: str) -> str:  # noqa: A002
    """Submit a command, and return its id."""
    submit(store, request(stream, name, data, id=id), lock_wait=10.0)
    return id


def worker(
    store: EventStore, decide: Decide, *, attempts: Attempts | None = None, jobs: int = 1
) -> tuple[CommandWorker, Reported]:
    """Return a worker that decides by a function, and what it reports, which it adds to."""
    reported: Reported = {}
    handling = Handling(
        lambda _stream: by(store, decide),
        attempts or Attempts(None),
        lambda queued, outcome: reported.update({queued.id: outcome}),
        jobs=jobs,
    )

    def queue() -> StreamState:
        return query_state(store, QUEUE, QueueDefinition(), None, end=store.head().position)

    return CommandWorker(store, queue, handling), reported


def told(store: EventStore, stream: str) -> list[tuple[str, Any]]:
    """Return the types and data of a stream's events."""
    lines = [line for chunk in store.read_stream(stream, end=store.head().position) for line in chunk.lines]
    return [(event["type"], event["data"]) for event in map(loads, lines)]
