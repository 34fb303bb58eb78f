"""The queue of submitted commands: the events that it is made of, and the state that they fold into."""

from typing import Any, Final, NamedTuple

from evcli.domain.events import Event
from evcli.domain.names import RESERVED
from evcli.domain.reducers import Evolving

QUEUE: Final = f"{RESERVED}/commands"
"""The stream that holds all commands of a store and what became of them."""

SUBMITTED: Final = "command.submitted"
ACCEPTED: Final = "command.accepted"
REJECTED: Final = "command.rejected"
PARKED: Final = "command.parked"
RETRIED: Final = "command.retried"


class Queued(NamedTuple):
    """A submitted command: its id, its version in the queue, the stream it is for, what it is, and its ``meta``.

    ``command`` has ``type`` and ``data``; ``retries`` counts how often it was taken up again after it was parked;
    ``reason`` says why it is parked.
    """

    id: str
    version: int
    stream: str
    command: dict[str, Any]
    meta: dict[str, Any]
    retries: int = 0
    reason: str = ""


def submitted_key(key: str) -> str:
    """Return the id of the event that a command was submitted by: so it is submitted once."""
    return f"submitted:{key}"


def done_key(key: str) -> str:
    """Return the id of the event that says what became of a command: so it is settled once, whoever settles it."""
    return f"done:{key}"


def parked_key(key: str, retries: int) -> str:
    """Return the id of the event that parks a command, after so many retries."""
    return f"parked:{key}:{retries}"


def retried_key(key: str, retries: int) -> str:
    """Return the id of the event that takes a parked command up again."""
    return f"retried:{key}:{retries}"


def _evolve(state: dict[str, dict[str, Any]], event: Event) -> dict[str, dict[str, Any]]:
    kind, data = event["type"], event["data"]
    pending, parked = state["pending"], state["parked"]
    if kind == SUBMITTED:
        queued = {"version": event["version"], "stream": data["stream"], "command": data["command"]}
        pending[data["id"]] = queued | {"meta": event.get("meta", {}), "retries": 0, "reason": ""}
    elif kind in (ACCEPTED, REJECTED):
        pending.pop(data["id"], None)
        parked.pop(data["id"], None)
    elif kind == PARKED and data["id"] in pending:
        parked[data["id"]] = pending.pop(data["id"]) | {"reason": data["reason"]}
    elif kind == RETRIED and data["id"] in parked:
        queued = parked.pop(data["id"])
        pending[data["id"]] = queued | {"retries": queued["retries"] + 1, "reason": ""}
    return state


QUEUE_REDUCER: Final = Evolving(lambda: {"pending": {}, "parked": {}}, _evolve)
"""Folds the queue into ``{"pending":{ID:…},"parked":{ID:…}}``."""


def listed(commands: dict[str, dict[str, Any]]) -> list[Queued]:
    """Return the pending, or the parked, commands of a queue's state in the order in which they were submitted."""
    found = [Queued(key, **queued) for key, queued in commands.items()]
    return sorted(found, key=lambda queued: queued.version)
