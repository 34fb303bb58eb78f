"""What would compensate an event: as its stream's rules declare it, or as its decider says."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from evcli.domain.commands import Decider, read_decision
from evcli.domain.events import Event, caused_by, place_of
from evcli.domain.undoing import Undo
from evcli.domain.values import Json
from evcli.errors import CodeFailed, NotFound, Refused, Rejected
from evcli.replay import StreamState
from evcli.storage.codec import new_event


def compensate(
    event: Event,
    before: Json,
    now: StreamState,
    *,
    rules: Undo | None,
    load_decider: Callable[[], Decider] | None,
    timeout: float | None,
) -> list[dict[str, Any]] | None:
    """Return the lines for ``append --from -`` that compensate an event; None where nothing says how.

    They name the event as their cause and expect the version that the stream is at now; their ids are made of the
    event's place, so that it is not compensated twice.

    Args:
        event: The event.
        before: The state right before it.
        now: The state that its stream is in.
        rules: What the stream's rules declare, if anything.
        load_decider: Returns the stream's decider, if it has one.
        timeout: Seconds that the decider may take; None for any.

    Raises:
        Rejected: If the decider refuses.
        CodeFailed: If what undoes it fails.
    """
    try:
        returned: Any = rules(event, before, now.state) if rules else None
        if returned is None and load_decider is not None:
            returned = load_decider().undo(event, now.state, timeout=timeout)
        if returned is None:
            return None
        events = read_decision(returned, event["stream"]).events
        for listed in events.values():
            for members in listed:
                new_event(members)
    except Rejected:
        raise
    except (CodeFailed, Refused, ValueError) as error:
        raise CodeFailed(
            f"undoing {place_of(event)} ({event['type']}) failed: {error}",
            "correct what undoes it; see 'evcli help deciders'",
        ) from error
    return list(_lines(event, events, now.version))


def nothing_undoes(event: Event) -> NotFound:
    """Make the error for an event of which nothing says how it is undone: what to declare."""
    kind = event["type"]
    pattern = event["stream"].rpartition("/")[0]
    table = f'[streams."{pattern + "/*" if pattern else event["stream"]}".undo]'
    return NotFound(
        f"nothing says how {kind} is undone ({place_of(event)})",
        f'declare it in evcli.toml: {table} "{kind}" = {{ type = "…", data = {{ … = "/data/…" }} }},'
        " or def undo(event, state) in the decider",
        stream=event["stream"],
        version=event["version"],
    )


def _lines(event: Event, events: Mapping[str, list[dict[str, Any]]], version: int) -> Iterator[dict[str, Any]]:
    for stream, listed in events.items():
        for number, members in enumerate(listed):
            line = {"stream": stream, **members}
            line["meta"] = caused_by(event) | line.get("meta", {})
            line["id"] = f"undo:{place_of(event)}" + (f"#{number + 1}" if number else "")
            if stream == event["stream"]:
                line.setdefault("expect", version + number)
            yield line
