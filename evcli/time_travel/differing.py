"""What is different: between two versions of a stream, two streams, or a view's rows as of two moments."""

from collections.abc import Iterator
from typing import NamedTuple

from evcli.domain.patches import Change, changes_between
from evcli.domain.pointers import MISSING
from evcli.domain.values import Json
from evcli.time_travel.timeline import Timeline

Rows = Iterator[tuple[str, Json]]
"""The rows of a view, key and value, in the order of their keys."""


class Side(NamedTuple):
    """What is compared: a stream, up to and including a version."""

    timeline: Timeline
    version: int


def changes_between_states(one: Side, other: Side) -> Iterator[Change]:
    """Yield what changed from one state to the other; see `changes_between`.

    Of two versions of one stream, the later is folded from the earlier where no snapshot lies between them.

    Raises:
        CodeFailed: If a reducer fails, or makes what is not JSON.
        Damaged: As soon as something does not verify.
    """
    # The earlier one first, whichever side it is, so that the later can be folded from it.
    first, second = sorted((one, other), key=lambda side: side.version)
    first_state, second_state = first.timeline.state_at(first.version), second.timeline.state_at(second.version)
    before, after = (first_state, second_state) if first is one else (second_state, first_state)
    return changes_between(before, after)


def changes_between_rows(before: Rows, after: Rows) -> Iterator[Change]:
    """Yield what changed from the rows of a view to later ones: each place begins with a row's key."""
    one, other = next(before, None), next(after, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            assert one is not None
            yield Change((one[0],), one[1], MISSING)
            one = next(before, None)
        elif one is None or other[0] < one[0]:
            yield Change((other[0],), MISSING, other[1])
            other = next(after, None)
        else:
            yield from changes_between(one[1], other[1], (one[0],))
            one, other = next(before, None), next(after, None)
