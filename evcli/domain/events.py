"""An event, as it is read and as it is given to be stored."""

from collections.abc import Sequence
from typing import Any, NamedTuple, NotRequired, TypedDict

from evcli.domain.expected import ANY, Expected


class Event(TypedDict):
    """A stored event: its parsed line, as reducers and readers meet it.

    ``position`` and ``version`` count from 1; ``time`` and ``recorded`` are RFC 3339 UTC with six digits
    (``2026-11-23T08:00:00.000001Z``).
    """

    position: int
    stream: str
    version: int
    time: str
    type: str
    data: Any
    meta: NotRequired[dict[str, Any]]
    id: NotRequired[str]
    recorded: NotRequired[str]
    v: NotRequired[int]
    commit: NotRequired[list[int]]
    seal: NotRequired[str]


class NewEvent(NamedTuple):
    """An event to be stored, checked already: see `evcli.storage.codec.new_event`.

    ``data`` and ``meta`` are JSON texts that are stored as they are (``meta`` an object's, or None); ``time`` is
    a canonical instant where the event happened before it is recorded, else None.
    """

    type: str
    data: str = "{}"
    meta: str | None = None
    id: str | None = None
    time: str | None = None
    v: int | None = None


class Write(NamedTuple):
    """The events one commit adds to one stream, and the version its writer expects there."""

    stream: str
    events: Sequence[NewEvent]
    expect: Expected = ANY
