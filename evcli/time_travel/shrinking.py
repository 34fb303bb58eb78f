"""The fewest events that still fail: delta debugging (A. Zeller and R. Hildebrandt, 2002, the algorithm ddmin)."""

from collections.abc import Callable, Sequence

from evcli.domain.events import Event
from evcli.domain.reducers import Reducer
from evcli.domain.values import copy_json
from evcli.replay import StreamState, to_json
from evcli.time_travel.checking import Check, Subject

Fails = Callable[[Sequence[Event]], bool]
"""Says whether a history of just these events fails."""
Progress = Callable[[int, int], None]
"""Is told how many of the events have been done without so far, of how many."""


def shrink(events: Sequence[Event], fails: Fails, *, progress: Progress | None = None) -> list[Event]:
    """Return events of a history that fails, in their order, which fail too; without any single one of them they do not.

    Nothing is asked twice in a row, but ``fails`` may be asked about as often as the square of their number.
    """
    if fails([]):
        return []
    left, parts = list(events), 2
    while len(left) > 1:
        found = _fewer(left, parts, fails)
        if found is not None:
            is_part = len(found) <= len(left) // parts + 1
            left, parts = found, 2 if is_part else max(parts - 1, 2)
            if progress is not None:
                progress(len(events) - len(left), len(events))
        elif parts >= len(left):
            break
        else:
            parts = min(len(left), parts * 2)
    return left


def _fewer(events: list[Event], parts: int, fails: Fails) -> list[Event] | None:
    """Return a part of the events that fails, or all but one part; None if neither does."""
    cuts = [len(events) * number // parts for number in range(parts + 1)]
    pieces = [(cuts[number], cuts[number + 1]) for number in range(parts)]
    for start, stop in pieces:
        if fails(events[start:stop]):
            return events[start:stop]
    if parts > 2:  # noqa: PLR2004 (of two parts, all but one is the other)
        for start, stop in pieces:
            if fails(rest := events[:start] + events[stop:]):
                return rest
    return None


def renumbered(events: Sequence[Event]) -> list[Event]:
    """Return copies of events as if they were all that a stream ever had: versions and positions from 1, without seals."""
    found: list[Event] = []
    for number, event in enumerate(events, 1):
        copied: Event = copy_json(event)
        copied.pop("seal", None)
        copied.pop("commit", None)
        copied["version"] = copied["position"] = number
        found.append(copied)
    return found


def state_text(stream: str, reducer: Reducer, events: Sequence[Event]) -> bytes:
    """Return the state that events fold into, as JSON text, if they are all that a stream ever had."""
    state = reducer.fold(reducer.initial(), renumbered(events))
    return to_json(StreamState(stream, len(events), state))


def failing_by(stream: str, reducer: Reducer, make_check: Callable[[], Check]) -> Fails:
    """Return what says whether a check fails on the state after events, folded as if they were all that there is."""

    def fails(events: Sequence[Event]) -> bool:
        text = state_text(stream, reducer, events)
        return make_check().judge(Subject(stream, text, len(events), len(events))) == "bad"

    return fails
