"""Short words for the tests of traces: events, each with its stored line, that name their causes."""

import json
from typing import Any

from evcli.domain.events import Event


def event(position: int, cause: Any = None, **members: Any) -> tuple[Event, bytes]:
    """Make the event at a position of a stream ``s`` that has all of them."""
    found: Any = {"position": position, "stream": "s", "version": position, "time": "2026-01-01T00:00:00.000000Z"}
    found |= {"type": "t", "data": position, **members}
    if cause is not None:
        found["meta"] = {"cause": cause}
    return found, json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()


def chain(length: int) -> list[tuple[Event, bytes]]:
    """Make events that each lead to the next one."""
    return [event(n, f"s@{n - 1}" if n > 1 else None) for n in range(1, length + 1)]
