"""Leaving out events that their stream has already under the same ``id``: the rule, whatever the back end."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from evcli.domain.events import NewEvent, Write
from evcli.domain.expected import check_expected
from evcli.domain.values import same_json
from evcli.errors import IdReused, Refused, WrongExpectedVersion
from evcli.light_typing import NamedTuple
from evcli.storage.codec import loads
from evcli.storage.commit import Commit, Tip, build_commit
from evcli.storage.contract import Head, Receipt, StreamReceipt
from evcli.storage.event_texts import EventTexts
from evcli.storage.lines import read_front

FindIds = Callable[[str, Collection[str]], Mapping[str, bytes]]
"""Given a stream and keys, the stored lines of those keys that the stream has."""


class Remaining(NamedTuple):
    """What is left to store; ``last`` is the last stored line that was given again, ``repeated`` how many were.

    ``places`` are those of the events left among all that were given.
    """

    writes: list[Write]
    last: bytes | None
    repeated: int
    places: list[int]

    def check_expected(self, tips: Mapping[str, Tip]) -> None:
        """Do nothing if every stream is at the version that its write, and each event of it, expects.

        Raises:
            WrongExpectedVersion: If one is not; ``index`` counts over all the events that were given.
        """
        first = 0
        for write in self.writes:
            version = tips[write.stream].version if write.stream in tips else 0
            check_expected(write.stream, write.expect, version)
            for before, event in enumerate(() if isinstance(write.events, EventTexts) else write.events):
                try:
                    check_expected(write.stream, event.expect, version + before)
                except WrongExpectedVersion as error:
                    error.index = self.places[first + before]
                    raise
            first += len(write.events)

    def build(self, head: Head, tips: Mapping[str, Tip], *, now: str) -> tuple[Commit | None, Receipt]:
        """Build the commit of what is left, None if nothing is, and its receipt.

        Raises:
            Refused: As `build_commit` does; ``index`` counts over all the events that were given.
        """
        if self.writes:
            try:
                commit = build_commit(head, tips, self.writes, now=now)
            except Refused as error:
                if error.index is not None:
                    error.index = self.places[error.index]
                raise
            return commit, commit.receipt._replace(repeated=self.repeated)
        front = read_front(self.last) if self.last else None
        assert front is not None
        writes = (StreamReceipt(front.stream, front.version, 0),)
        return None, Receipt(front.position, 0, front.time, writes, self.repeated)


def ids_in(lines: Iterable[bytes]) -> dict[str, bytes]:
    """Return those of ``lines`` that carry an id, by it."""
    return {key: line for line in lines if (key := loads(line).get("id")) is not None}


def leave_out_repeats(writes: Sequence[Write], find: FindIds, *, once: bool = False) -> Remaining:
    """Split ``writes`` into what is new and what was stored before, under the same id with the same content.

    ``once``: nothing is new where anything was stored before.

    Raises:
        IdReused: If an id was used before with another type or other data.
    """
    remaining: list[Write] = []
    last: bytes | None = None
    places: list[int] = []
    count = index = 0
    for write in writes:
        stored: dict[str, bytes | NewEvent] = {}
        ids = write.events.ids if isinstance(write.events, EventTexts) else _ids_of(write.events)
        keys = set(ids)
        stored.update(find(write.stream, keys) if keys else {})
        if not stored and len(keys) == len(ids):  # all are new, without a look at each
            remaining.append(write)
            places.extend(range(index, index + len(write.events)))
            index += len(write.events)
            continue
        events: list[NewEvent] = []
        for event in write.events:
            earlier = stored.get(event.id) if event.id is not None else None
            if earlier is None:
                events.append(event)
                places.append(index)
                if event.id is not None:
                    stored[event.id] = event
            else:
                _check_same(write.stream, event, earlier, index)
                count += 1
                last = earlier if isinstance(earlier, bytes) else last
            index += 1
        if events:
            remaining.append(write._replace(events=events))
    if once and last is not None:
        return Remaining([], last, count, [])
    return Remaining(remaining, last, count, places)


def _ids_of(events: Iterable[NewEvent]) -> list[str]:
    return [event.id for event in events if event.id is not None]


def _check_same(stream: str, event: NewEvent, earlier: bytes | NewEvent, index: int) -> None:
    if isinstance(earlier, bytes):
        line = loads(earlier)
        kind, data, where = line["type"], line["data"], f"{stream}@{line['version']}"
    else:
        kind, data, where = earlier.type, loads(earlier.data), "the same input"
    if kind != event.type or not same_json(data, loads(event.data)):
        error = IdReused(
            f"the id {event.id!r} stands in {where} with other content", "use a new id for a new event", stream=stream
        )
        error.index = index
        raise error
