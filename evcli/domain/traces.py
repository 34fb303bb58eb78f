"""Traces: which event led to which, as trees. However deep they are, they are grown and walked without recursion."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from evcli.domain.events import Event, parse_place
from evcli.domain.values import Json

Broken = Literal["missing", "malformed", "later", "outside"]
"""What is wrong with a cause: no such event; no ``STREAM@VERSION``; not before its effect; not part of the trace."""

_SAYING: Final[dict[Broken, str]] = {
    "missing": "is not there",
    "malformed": "names no event",
    "later": "did not come before",
    "outside": "is not part of it",
}


class Traced(NamedTuple):
    """An event, and the events that it led to, in the order of their positions.

    ``line`` is the event as it is stored. ``broken`` says why the cause that it names does not stand above it, if it
    names one; ``asked`` marks the event that was asked for.
    """

    event: Event
    line: bytes
    children: "list[Traced]"
    broken: Broken | None = None
    asked: bool = False


class Visit(NamedTuple):
    """An event met on a walk: how deep below its root it stands, and whether it is its cause's last effect."""

    traced: Traced
    depth: int
    is_last: bool


def cause_of(event: Event) -> Json:
    """Return what an event's ``meta`` names as its cause, whatever it is; None if it names none."""
    return event.get("meta", {}).get("cause")


def cause_place(event: Event) -> tuple[str, int] | None:
    """Return stream and version of the event that led to this one; None if it names none, or nothing that can be one."""
    cause = cause_of(event)
    return parse_place(cause) if isinstance(cause, str) else None


def grow(
    events: Iterable[tuple[Event, bytes]], *, asked: tuple[str, int] | None = None, otherwise: Broken = "outside"
) -> list[Traced]:
    """Put each event below its cause, and return the roots: those whose cause is not among the events before them.

    Args:
        events: The events, each with its stored line, in the order of their positions.
        asked: Stream and version of the event to mark.
        otherwise: What is said of a cause that could be one, and is not among the events.
    """
    events = list(events)
    places = {(event["stream"], event["version"]) for event, _ in events}
    roots: list[Traced] = []
    grown: dict[tuple[str, int], Traced] = {}
    for event, line in events:
        cause = cause_place(event)
        above = grown.get(cause) if cause else None
        broken: Broken | None = None
        if above is None and cause_of(event) is not None:
            broken = "malformed" if cause is None else "later" if cause in places else otherwise
        place = (event["stream"], event["version"])
        grown[place] = Traced(event, line, [], broken, place == asked)
        (roots if above is None else above.children).append(grown[place])
    return roots


def walk(roots: Sequence[Traced]) -> Iterator[Visit]:
    """Meet every event of the trees, causes before their effects."""
    ahead = _visits(roots, 0)
    while ahead:
        visit = ahead.pop()
        yield visit
        ahead += _visits(visit.traced.children, visit.depth + 1)


def _visits(traced: Sequence[Traced], depth: int) -> list[Visit]:
    return [Visit(each, depth, number == 0) for number, each in enumerate(reversed(traced))]


def tell_broken(traced: Traced) -> str:
    """Say in a few words what is wrong with the cause that an event names; "" if nothing is."""
    if traced.broken is None:
        return ""
    cause = cause_of(traced.event)
    named = cause if isinstance(cause, str) else json.dumps(cause, ensure_ascii=False)
    return f"cause {named} {_SAYING[traced.broken]}"


def flat_texts(roots: Sequence[Traced]) -> Iterator[bytes]:
    """Write each event of a walk as one JSON text, ``{"depth":…,"event":{…}}``, the event as it is stored."""
    for traced, depth, _ in walk(roots):
        yield b'{"depth":%d,"event":%b%b}' % (depth, traced.line, _about(traced))


def nested_text(root: Traced) -> bytes:
    """Write a tree as one JSON text, ``{"event":{…},"children":[…]}``, each event as it is stored."""
    parts: list[bytes] = []
    before = -1
    for traced, depth, _ in walk([root]):
        if depth <= before:
            parts.append(b"]}" * (before - depth + 1) + b",")
        parts.append(b'{"event":%b%b,"children":[' % (traced.line, _about(traced)))
        before = depth
    return b"".join([*parts, b"]}" * (before + 1)])


def _about(traced: Traced) -> bytes:
    """Return the members that say more of an event, where there is more to say."""
    asked = b',"asked":true' if traced.asked else b""
    return asked + (b',"cause":"%b"' % traced.broken.encode() if traced.broken else b"")
