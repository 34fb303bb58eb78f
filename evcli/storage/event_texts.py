"""Many events at once, as the lines they came in: no object is made of each."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import itemgetter

from evcli.domain.events import NewEvent
from evcli.light_typing import NamedTuple, overload
from evcli.storage.codec import input_line


class EventTexts(Sequence[NewEvent]):
    """Events that are but type, data, and perhaps meta and id: all that is stored of them stands in their lines.

    Args:
        lines: The lines they came in, each of one JSON object.
        start: Where ``"type":`` stands in each line; from there on it is stored as it is.
        ids: The ids of those that have one.
    """

    def __init__(self, lines: Sequence[bytes], start: int = 1, ids: Sequence[str] = ()) -> None:
        self._lines = lines
        self._start = start
        self.ids = ids

    def texts(self, first: int, last: int) -> Iterator[bytes]:
        """Yield what stands from the type on in the lines of some events, without the closing brace."""
        return map(itemgetter(slice(self._start, -1)), self._lines[first:last])

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> NewEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[NewEvent]: ...
    def __getitem__(self, index: int | slice) -> NewEvent | list[NewEvent]:
        """Return one event, or several, as such."""
        found = self._lines[index]
        return input_line(found).event if isinstance(found, bytes) else [input_line(line).event for line in found]


class Group(NamedTuple):
    """The events for one stream that lines have given, and the places of these lines, from 0."""

    events: Sequence[NewEvent]
    places: Sequence[int]

    def without(self, place: int) -> "Group":
        """Return the group without one line, if that is in it."""
        kept = [(event, at) for event, at in zip(self.events, self.places, strict=True) if at != place]
        return Group([event for event, _ in kept], [at for _, at in kept])


def line_of(groups: Mapping[str, Group], index: int) -> int:
    """Return the place of the line that has given the event with that index, from 0, over all groups."""
    return next(islice(chain.from_iterable(group.places for group in groups.values()), index, None))
