"""An event, as it is read and as it is given to be stored."""

import re
from collections.abc import Mapping, Sequence

from evcli.domain.expected import ANY, Expected
from evcli.domain.names import is_name
from evcli.errors import Usage
from evcli.light_typing import Any, Final, NamedTuple, NotRequired, TypedDict

_VERSION: Final = r"[1-9][0-9]{0,18}"
_NUMBER: Final = r"#[1-9][0-9]*"


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


def place_of(event: Mapping[str, object]) -> str:
    """Return ``STREAM@VERSION`` of an event, or of what is told of one."""
    return f"{event['stream']}@{event['version']}"


def parse_place(text: str) -> tuple[str, int] | None:
    """Split ``STREAM@VERSION``, as `place_of` writes it; None if it is none."""
    stream, _, version = text.rpartition("@")
    return (stream, int(version)) if is_name(stream) and re.fullmatch(_VERSION, version) else None


def caused_by(event: Event) -> dict[str, str]:
    """Return the ``meta`` of what an event leads to: it is the cause, and the correlation, if it has one, is handed on."""
    correlation = event.get("meta", {}).get("correlation")
    return {"cause": place_of(event)} | ({"correlation": correlation} if isinstance(correlation, str) else {})


def parse_event_pointer(text: str) -> tuple[str, ...]:
    """Split a JSON pointer (RFC 6901) that leads into an event.

    Raises:
        Usage: If it is none, or begins with what no event has.
    """
    from evcli.domain.pointers import parse_pointer

    tokens = parse_pointer(text)
    if not tokens:
        raise Usage("the pointer is empty, which is the whole event", 'name a member, as in "/data/sku"')
    if tokens[0] not in Event.__annotations__:
        raise Usage(f"an event has no member {tokens[0]!r}", f'perhaps it is "/data{text}"')
    return tokens


class NewEvent(NamedTuple):
    """An event to be stored, checked already: see `evcli.storage.codec.new_event`.

    ``data`` and ``meta`` are JSON texts that are stored as they are (``meta`` an object's, or None); ``time`` is
    a canonical instant where the event happened before it is recorded, else None; ``expect`` is what its stream must be
    at right before it.
    """

    type: str
    data: str = "{}"
    meta: str | None = None
    id: str | None = None
    time: str | None = None
    v: int | None = None
    expect: Expected = ANY


class Write(NamedTuple):
    """The events one commit adds to one stream, and the version its writer expects there."""

    stream: str
    events: Sequence[NewEvent]
    expect: Expected = ANY


def with_id(write: Write, key: str) -> Write:
    """Return the write with ``key`` as the id of its first event, ``key#2`` of its second, and so on."""
    keyed = [event._replace(id=f"{key}#{n}" if n > 1 else key) for n, event in enumerate(write.events, 1)]
    return write._replace(events=keyed)


def was_keyed(event: Event, key: str) -> bool:
    """Say whether an event has an id that `with_id` gives with ``key``."""
    found = event.get("id")
    if found is None or not found.startswith(key):
        return False
    return found == key or re.fullmatch(_NUMBER, found[len(key) :]) is not None
