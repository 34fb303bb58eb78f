"""Cutting a spec out of real history: what a command met, and what came of it."""

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import takewhile
from typing import Any, Final

from evcli.domain.commands import recorded_command
from evcli.domain.events import Event, place_of
from evcli.domain.names import RESERVED, check_writable
from evcli.domain.reducers import ReducerDefinition
from evcli.replay import read_events, replay_stream, to_json
from evcli.storage.codec import loads
from evcli.storage.contract import EventStore
from evcli.write_side.accepted import commit_around

_GIVEN: Final = ("type", "data", "meta", "id", "time", "v")
_FOLLOWED: Final = ("type", "data", "v")


def record_spec(store: EventStore, event: Event, definition: ReducerDefinition) -> dict[str, Any]:
    """Cut out the spec that tells of one event, and return it as the object that a spec file has.

    Where the event's commit follows from a command, the spec has the events before it in the command's stream, and in
    every one that the commit wrote to, since a decider may have expected something of each; then the command; then what
    followed. Else it has the stream's events up to this one, and the state after them.

    Args:
        store: The store.
        event: The event, as it is stored.
        definition: What its stream's state is made by.

    Raises:
        Refused: If the stream is one of evcli's own.
        CodeFailed: If the state is asked for, and the reducer fails.
    """
    stream, version = check_writable(event["stream"]), event["version"]
    commit = _commit_of(store, stream, version)
    command = recorded_command(commit[0])
    if command is None:
        end = store.head().position
        events = read_events(store, stream, end=end, to=version)
        state = loads(to_json(replay_stream(store, stream, definition.load(), end=end, to=version)))
        return spec_of_state(place_of(event), stream, events, {"state": state})
    target = command.get("stream", commit[0]["stream"])
    streams = dict.fromkeys((target, *(each["stream"] for each in commit)))
    before = _events_before(store, streams, commit[0]["position"])
    return {
        "name": f"{place_of(commit[0])} {command['type']}",
        "stream": target,
        "given": [_members(each, _GIVEN, target) for each in before],
        "when": {"type": command["type"], "data": command["data"]},
        "then": [_members(each, _FOLLOWED, target) for each in commit],
    }


def spec_of_state(name: str, stream: str, events: Iterable[Event], then: dict[str, Any]) -> dict[str, Any]:
    """Return a spec of what a stream's state is to be after events, as the object that a spec file has."""
    given = [_members(each, _GIVEN, stream) for each in events]
    return {"name": name, "stream": stream, "given": given, "then": then}


def _commit_of(store: EventStore, stream: str, version: int) -> list[Event]:
    """Return the whole commit that holds an event, without what evcli recorded beside it."""
    end = store.head().position
    first: Event | None = None
    for event in read_events(store, stream, end=end):  # a commit's part begins after a seal
        first = first or event
        if event["version"] >= version and "seal" in event:
            start = event["commit"][0] if "commit" in event else first["position"]
            return [each for each in commit_around(store, start) if each["stream"].partition("/")[0] != RESERVED]
        if "seal" in event:
            first = None
    raise AssertionError("an event was there and is not")


def _events_before(store: EventStore, streams: Iterable[str], position: int) -> Iterator[Event]:
    """Yield the events of streams before a position, in global order."""
    end = store.head().position
    each = (
        takewhile(lambda event: event["position"] < position, read_events(store, stream, end=end)) for stream in streams
    )
    return merge(*each, key=lambda event: event["position"])


def _members(event: Event, names: Sequence[str], stream: str) -> dict[str, Any]:
    found: dict[str, Any] = {} if event["stream"] == stream else {"stream": event["stream"]}
    members = dict(event)
    return found | {name: members[name] for name in names if name in members}
