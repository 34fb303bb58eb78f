"""What if: a stream's history with events left out, put in or changed, folded in memory; nothing is written."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from evcli.domain.events import Event, NewEvent
from evcli.domain.names import compile_glob
from evcli.domain.pointers import make_way, spell_pointer
from evcli.domain.values import Json, copy_json
from evcli.errors import NotFound, Refused, Usage
from evcli.replay import read_events
from evcli.storage.codec import loads, new_event
from evcli.storage.contract import EventStore


class VersionRange(NamedTuple):
    """Versions from ``first`` up to and including ``last``; None for the stream's last."""

    first: int
    last: int | None

    def __contains__(self, version: object) -> bool:
        return isinstance(version, int) and self.first <= version and (self.last is None or version <= self.last)


class Insertion(NamedTuple):
    """Events that come after a version; after 0 they are before the first."""

    after: int
    events: tuple[NewEvent, ...]


class Setting(NamedTuple):
    """A value that takes a place (the tokens of its pointer) in the event of a version."""

    version: int
    place: tuple[str, ...]
    value: Json


class Supposition(NamedTuple):
    """How a history is supposed to differ from what is stored. All versions are the stored ones.

    ``without`` are the versions, ``without_types`` the types and globs over them, of events that are left out.
    """

    without: tuple[VersionRange, ...] = ()
    without_types: tuple[str, ...] = ()
    insertions: tuple[Insertion, ...] = ()
    settings: tuple[Setting, ...] = ()


def check_supposition(supposition: Supposition, stream: str, *, version: int) -> None:
    """Do nothing if all versions that are named are there, in a stream that is folded up to ``version``.

    Raises:
        NotFound: If one is not.
        Usage: If an event is both left out and changed.
    """
    named = [end for dropped in supposition.without for end in (dropped.first, dropped.last) if end is not None]
    named += [insertion.after for insertion in supposition.insertions]
    named += [setting.version for setting in supposition.settings]
    missing = min((number for number in named if number > version), default=None)
    if missing is not None:
        raise NotFound(
            f"{stream} has no version {missing} here: it is folded up to version {version}",
            f"see what there is: evcli log {stream}",
            stream=stream,
            version=missing,
        )
    for setting in supposition.settings:
        if any(setting.version in dropped for dropped in supposition.without):
            raise Usage(f"version {setting.version} is both left out and changed", "do one of the two")


def suppose(events: Iterable[Event], supposition: Supposition, *, stream: str, began: str) -> Iterator[Event]:
    """Yield a history as it is supposed to be.

    The stored events keep their versions, positions and times, so that what they lead to can be laid beside what they
    have led to. An event that is put in has the version, the position and (unless it says otherwise) the time of the
    one that it comes after; before the first that is version 0, position 0 and the time ``began``.

    Args:
        events: The stored events from the first one on; they are changed in place.
        supposition: How the history differs.
        stream: The stream's name.
        began: The time of the first event.

    Raises:
        Refused: If an event is set to what could not be stored.
        Usage: If there can be nothing at a place.
    """
    dropped_types = [compile_glob(glob) for glob in supposition.without_types]
    inserted: dict[int, list[NewEvent]] = defaultdict(list)
    for insertion in supposition.insertions:
        inserted[insertion.after] += insertion.events
    settings: dict[int, list[Setting]] = defaultdict(list)
    for setting in supposition.settings:
        settings[setting.version].append(setting)

    def put_in(after: int, position: int, time: str) -> Iterator[Event]:
        for event in inserted.get(after, ()):
            yield _as_stored(event, stream=stream, version=after, position=position, time=time)

    yield from put_in(0, 0, began)
    for event in events:
        version, position, time = event["version"], event["position"], event["time"]
        is_dropped = any(version in dropped for dropped in supposition.without)
        if not is_dropped and not any(matches(event["type"]) for matches in dropped_types):
            yield _set(event, settings[version]) if version in settings else event
        yield from put_in(version, position, time)


def supposed_events(store: EventStore, stream: str, supposition: Supposition, *, end: int, to: int) -> Iterator[Event]:
    """Return a stream's supposed history; the stored one counts up to and including version ``to``, which it has.

    Raises:
        Damaged: As soon as something does not verify.
        NotFound: If a version that is named is not there.
        Refused: If an event is set to what could not be stored.
        Usage: If the supposition contradicts itself.
    """
    check_supposition(supposition, stream, version=to)
    info = store.info(stream, end=end)
    stored = read_events(store, stream, end=end, to=to) if to else ()
    return suppose(stored, supposition, stream=stream, began=info.first if info else "")


def _as_stored(event: NewEvent, *, stream: str, version: int, position: int, time: str) -> Event:
    found = Event(
        position=position,
        stream=stream,
        version=version,
        time=event.time or time,
        type=event.type,
        data=loads(event.data),
    )
    if event.meta is not None:
        found["meta"] = loads(event.meta)
    if event.id is not None:
        found["id"] = event.id
    if event.v is not None:
        found["v"] = event.v
    return found


def _set(event: Event, settings: Sequence[Setting]) -> Event:
    changed: dict[str, Any] = dict(event)
    for setting in settings:
        where = f"{setting.version}{spell_pointer(setting.place)}"
        try:
            holder, key = make_way(changed, setting.place)
            holder[key] = copy_json(setting.value)
            checked = new_event(_given(changed))
        except ValueError as error:
            raise Usage(f"{where} cannot be set: {error}", f"see the event: evcli log {event['stream']}") from error
        except Refused as error:
            error.message = f"{where}: {error.message}"
            raise
        changed["time"] = checked.time or event["time"]
    return changed  # type: ignore[return-value]  # an event still: it was checked as one


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: members[name] for name in NewEvent._fields if name in members}
