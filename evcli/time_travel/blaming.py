"""Which event made something what it is: a place's last change, all of its changes, and the last one of every leaf."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from evcli.domain.patches import Change, changes_between
from evcli.domain.pointers import MISSING, compile_pointer, resolve
from evcli.domain.values import Json, same_json
from evcli.replay import StreamState, to_json
from evcli.storage.codec import loads, sketch
from evcli.time_travel.timeline import Step, Stretch, Timeline
from evcli.time_travel.view_timeline import ViewTimeline

Place = tuple[str, ...]


class Cause(NamedTuple):
    """The event that changed a place, and what was there before and after it; `MISSING` where nothing was.

    ``line`` is the event as it is stored; None where the value is what the reducer began with (``version`` 0).
    """

    version: int
    line: bytes | None
    place: Place
    before: Json
    after: Json

    def changes(self) -> list[Change]:
        """Return what the event changed at the place, and below it."""
        return list(changes_between(self.before, self.after, self.place))


class Leaf(NamedTuple):
    """A value that has no parts, its place, and the event (version 0 and None: none) that made it what it is."""

    place: Place
    value: Json
    version: int
    line: bytes | None


def last_cause(timeline: Timeline, place: Place, to: int) -> Cause | None:
    """Return what last changed a place up to version ``to``; None if nothing has ever been there.

    The stream is searched backwards, from one snapshot to the one before, and no further than needed.

    Raises:
        CodeFailed: If the reducer fails, or makes what is not JSON.
        Damaged: As soon as something does not verify.
    """
    for version, state, steps in timeline.stretches_back(to):
        for found in deque(causes(timeline.stream, place, state, steps), maxlen=1):
            return found
        if version == 0 and (value := resolve(state, place)) is not MISSING:
            return Cause(0, None, place, MISSING, value)
    return None


def all_causes(timeline: Timeline, place: Place, to: int) -> Iterator[Cause]:
    """Yield what changed a place, from its first value up to version ``to``; see `last_cause`."""
    state = timeline.state_at(0)
    if (value := resolve(state, place)) is not MISSING:
        yield Cause(0, None, place, MISSING, value)
    yield from causes(timeline.stream, place, state, timeline.steps(0, to))


def causes(name: str, place: Place, state: Json, steps: Iterable[Step]) -> Iterator[Cause]:
    """Yield the events among ``steps`` that changed a place.

    Args:
        name: Whose states they are, for messages.
        place: The place.
        state: The state before the first step.
        steps: The steps.
    """
    find = compile_pointer(place)
    before = find(state)
    for line, event, now in steps:
        value = find(now)
        if not same_json(before, value):
            after = _own(value, name, event["version"])
            yield Cause(event["version"], line, place, before, after)
            before = after


def blame(timeline: Timeline, place: Place, to: int) -> list[Leaf]:
    """Return the leaves of the state at and below a place, each with the event that last changed it up to version ``to``.

    A leaf is a value that has no parts; an empty object or array is one too.

    Raises:
        CodeFailed: If the reducer fails, or makes what is not JSON.
        Damaged: As soon as something does not verify.
    """
    whole = timeline.state_at(to)
    leaves = dict(leaves_of(resolve(whole, place), place))
    unexplained = set(leaves)
    found: dict[Place, tuple[int, bytes | None]] = {}
    for stretch in timeline.stretches_back(to):
        if not unexplained:
            break
        last = _last_changes(timeline.stream, unexplained, stretch)
        found |= last
        unexplained -= last.keys()
    return [Leaf(place, value, *found.get(place, (0, None))) for place, value in leaves.items()]


def blame_row(view: ViewTimeline, key: str, place: Place) -> list[Leaf]:
    """Return the leaves of a view's row at and below a place, each with the event that last changed it; see `blame`."""
    row = MISSING
    for step in view.steps_of(key):
        row = step.state
    leaves = dict(leaves_of(resolve(row, place), place))
    found = _last_changes(key, set(leaves), Stretch(0, MISSING, view.steps_of(key)))
    return [Leaf(place, value, *found.get(place, (0, None))) for place, value in leaves.items()]


def leaves_of(value: Json, place: Place) -> Iterator[tuple[Place, Json]]:
    """Yield the values at and below a place that have no parts, each with its place; none where nothing is."""
    if isinstance(value, dict) and value:
        for name, member in value.items():
            yield from leaves_of(member, (*place, name))
    elif isinstance(value, list) and value:
        for index, element in enumerate(value):
            yield from leaves_of(element, (*place, str(index)))
    elif value is not MISSING:
        yield place, value


def _last_changes(name: str, wanted: set[Place], stretch: Stretch) -> dict[Place, tuple[int, bytes | None]]:
    """Return the last event of a stretch that changed each of the ``wanted`` places, where one did."""
    found: dict[Place, tuple[int, bytes | None]] = {}
    seen = _Seen(name, stretch.state)
    for line, event, state in stretch.steps:
        for change in seen.look_again(state, event["version"]):
            for place in _concerned(change):
                if place in wanted and _differs(change, place):
                    found[place] = event["version"], line
    return found


class _Seen:
    """A state as it was when it was last looked at: a text for each of its members, which are cheap to compare."""

    def __init__(self, name: str, state: Json) -> None:
        self._name = name
        self._kind = type(state)
        self._texts = self._sketch(state, 0)

    def look_again(self, state: Json, version: int) -> Iterator[Change]:
        """Yield what has changed since.

        Raises:
            CodeFailed: If it is not JSON.
        """
        before, self._texts = self._texts, self._sketch(state, version)
        kind, self._kind = self._kind, type(state)
        if kind is not self._kind:
            yield from changes_between(_assemble(kind, before), _assemble(self._kind, self._texts))
            return
        for place in before.keys() | self._texts.keys():
            one, other = before.get(place), self._texts.get(place)
            if one != other:
                yield from changes_between(_thaw(one), _thaw(other), place)

    def _sketch(self, state: Json, version: int) -> dict[Place, bytes]:
        if isinstance(state, dict):
            return {(member,): self._text(value, version) for member, value in state.items()}
        if isinstance(state, list):
            return {(str(index),): self._text(value, version) for index, value in enumerate(state)}
        return {} if state is MISSING else {(): self._text(state, version)}

    def _text(self, value: Json, version: int) -> bytes:
        try:
            return sketch(value)
        except TypeError:
            return to_json(StreamState(self._name, version, value))


def _assemble(kind: type, texts: dict[Place, bytes]) -> Json:
    if kind is dict:
        return {place[0]: loads(text) for place, text in texts.items()}
    if kind is list:
        return [loads(text) for text in texts.values()]
    return _thaw(texts.get(()))


def _thaw(text: bytes | None) -> Json:
    return MISSING if text is None else loads(text)


def _concerned(change: Change) -> Iterator[Place]:
    """Yield the places above a change, its own, and those of the leaves below it."""
    for depth in range(len(change.place) + 1):
        yield change.place[:depth]
    for place, _ in leaves_of(change.after, change.place):
        if len(place) > len(change.place):
            yield place


def _differs(change: Change, place: Place) -> bool:
    """Say whether a change is one at ``place``: where an array gives way to an object, something in it may stay."""
    below = place[len(change.place) :]
    return not same_json(resolve(change.before, below), resolve(change.after, below))


def _own(value: Json, name: str, version: int) -> Json:
    """Return a copy of what is in a state that the fold goes on with."""
    return value if value is MISSING else loads(to_json(StreamState(name, version, value)))
