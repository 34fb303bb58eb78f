"""Running a spec for real: a store in memory, the events given, the decider as it is, and a comparison."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from evcli.deciding import deciding_by
from evcli.domain.events import Event, Write
from evcli.domain.instants import canonical
from evcli.domain.pointers import MISSING
from evcli.domain.reducers import ReducerDefinition
from evcli.domain.tries import TIMEOUT
from evcli.domain.values import Json, same_json
from evcli.errors import BadSpec, CodeFailed, Conflict, EvcliError, NotFound, Refused, Rejected, Usage
from evcli.given import to_request
from evcli.project.choosing import Chosen
from evcli.replay import StreamState, replay_stream, to_json
from evcli.specs.model import GivenEvent, Spec, Then
from evcli.storage.codec import loads
from evcli.storage.memory import MemoryStore
from evcli.storage.sql_checks import RowCheck
from evcli.storage.view_file import Row
from evcli.write_side.executing import Deciding, StateBy, execute

FIRST_INSTANT: Final = "2000-01-01T00:00:00.000000Z"
"""The time of the first given event, if it has none of its own; each later one, and the command, is a second later."""

CORRELATION: Final = "spec"
_SAID: Final = ("stream", "type", "data", "meta", "v")
_SECOND: Final = timedelta(seconds=1)


class Outcome(NamedTuple):
    """What came of a spec: what was expected, what was the case, and the failure that this is, if it is one.

    Both have the members of a spec's ``then`` as an object; ``actual`` may have ``error``, a text, instead.
    """

    spec: Spec
    expected: dict[str, Json]
    actual: dict[str, Json]
    ok: bool
    error: EvcliError | None
    ran: "Ran"


class Ran(NamedTuple):
    """A spec's history: the store with all that was given and has followed, and what the command came to.

    ``events`` are those that followed; ``error`` is why there are none. ``definition`` is what the stream's state is
    made by, None where that cannot be told.
    """

    store: MemoryStore
    events: list[Event]
    error: EvcliError | None
    definition: ReducerDefinition | None


class _Clock:
    """A clock that stands still, so that a spec's states do not depend on when it is run."""

    def __init__(self) -> None:
        self._now = ""

    def __call__(self) -> str:
        return self._now

    def tick(self, least: str | None = None) -> None:
        """Go on by a second; and to ``least``, if that is later."""
        try:
            following = canonical(datetime.fromisoformat(self._now) + _SECOND) if self._now else FIRST_INSTANT
        except OverflowError:  # the end of year 9999
            following = self._now
        self._now = max(following, least or "")


def run_spec(spec: Spec, chosen: Chosen, *, timeout: float | None = TIMEOUT) -> Outcome:
    """Run a spec, and compare what is the case with what is expected.

    Args:
        spec: The spec.
        chosen: What folds and decides.
        timeout: Seconds that a decider may take; None for any.

    Raises:
        BadSpec: If what is given cannot be stored.
        BadConfig: If ``evcli.toml`` is wrong.
        NotTrusted: If it is code that may not run.
    """
    ran = play(spec, chosen, timeout=timeout)
    then, error = spec.then, ran.error
    if then.refusal is not None:
        expected: dict[str, Json] = {then.refusal: True if then.why is None else then.why}
        if _is_refusal(error, then.refusal, then.why):
            return Outcome(spec, expected, expected, ok=True, error=None, ran=ran)
        return Outcome(spec, expected, _actual(spec, ran, with_state=False), ok=False, error=error, ran=ran)
    expected = {}
    if then.events is not None:
        expected["events"] = [_without(event, spec.stream) for event in _by_stream(then.events, spec.stream)]
    if then.state is not MISSING:
        expected["state"] = then.state
    if then.check is not None:
        expected["check"] = {then.check: True}
    try:
        actual = _actual(spec, ran, with_state=then.state is not MISSING)
    except CodeFailed as failed:
        actual, error = _told(failed), failed
    return Outcome(spec, expected, actual, ok=same_json(expected, actual), error=error, ran=ran)


def play(spec: Spec, chosen: Chosen, *, timeout: float | None = TIMEOUT, through_json: bool = False) -> Ran:
    """Store what is given, each event as a commit, and let the command be decided on; see `run_spec`.

    ``through_json`` is whether the state goes through JSON before, as one from a snapshot has.
    """
    clock = _Clock()
    store = MemoryStore(clock=clock)
    for number, each in enumerate(spec.given, 1):
        clock.tick(each.event.time)
        _give(spec, store, each, number)
    before = store.head().position
    clock.tick()
    try:
        definition = chosen.definition_for(spec.stream)
        if spec.when is not None:
            deciding = _deciding(spec.stream, chosen, _state_by(store, through_json=through_json), timeout)
            definition = deciding.definition
            request = to_request(spec.when, meta={"correlation": f'"{CORRELATION}"'}, id=None)
            execute(store, request, deciding, attempts=1)
    except (Rejected, Conflict, CodeFailed, Usage, NotFound, Refused) as error:
        return Ran(store, [], error, None)
    end = store.head().position
    lines = [line for commit in store.read_all(end=end, after=before) for line in commit] if end > before else []
    return Ran(store, [loads(line) for line in lines], None, definition)


def _give(spec: Spec, store: MemoryStore, given: GivenEvent, number: int) -> None:
    try:
        store.append([Write(given.stream, [given.event])])
    except (Refused, Conflict) as error:
        file, line, _ = spec.place
        raise BadSpec(file, line, f"given[{number}]", error.message, spec=spec.name) from error


def definition_of(stream: str, chosen: Chosen) -> ReducerDefinition:
    """Return what the states of a stream are made by that its decider decides on.

    Raises:
        NotFound: If nothing decides on commands to it.
    """
    return chosen.reducer or chosen.decider_for(stream).state_by(chosen.config.definition_for(stream))


def actual_of(ran: Ran) -> dict[str, Json]:
    """Return all that came of a spec's command: the events, or why there are none."""
    if ran.error is not None:
        return _told(ran.error)
    return {"events": [{name: value for name, value in event.items() if name in _SAID} for event in ran.events]}


def _deciding(stream: str, chosen: Chosen, state_by: StateBy, timeout: float | None) -> Deciding:
    found = deciding_by(chosen.config, chosen.decider_for(stream), state_by, stream, timeout=timeout)
    return found if chosen.reducer is None else found._replace(definition=chosen.reducer)


def _state_by(store: MemoryStore, *, through_json: bool = False) -> StateBy:
    def state_by(stream: str, definition: ReducerDefinition) -> StreamState:
        found = replay_stream(store, stream, definition.load(), end=store.head().position)
        return found._replace(state=loads(to_json(found))) if through_json else found

    return state_by


def _actual(spec: Spec, ran: Ran, *, with_state: bool) -> dict[str, Json]:
    """Return what was the case, as far as it is spoken of."""
    if ran.error is not None:
        return _told(ran.error)
    found: dict[str, Json] = {}
    if spec.then.events is not None or spec.then.refusal is not None:
        expected = _by_stream(spec.then.events or (), spec.stream)
        events = _by_stream([_own(event, spec) for event in ran.events], spec.stream)
        blank: list[dict[str, Any]] = [{}] * len(events)
        found["events"] = [
            _without({name: event[name] for name in event if name in {*model, "stream", "type", "data"}}, spec.stream)
            for event, model in zip(events, [*expected, *blank], strict=False)
        ]
    if with_state or spec.then.check is not None:
        assert ran.definition is not None
        reached = _state_by(ran.store)(spec.stream, ran.definition)
        passes = _passes(spec.then, reached)
        if with_state or not passes:
            found["state"] = loads(to_json(reached))
        if spec.then.check is not None:
            found["check"] = {spec.then.check: passes}
    return found


def _passes(then: Then, reached: StreamState) -> bool:
    """Say whether the SQL expression that is expected to be, if any, is true of a state."""
    if then.check is None:
        return True
    check = RowCheck("state", {}, then.check, then.params, what="then.check")
    check.put(Row(reached.stream, to_json(reached), reached.version, reached.version))
    return check.find_failing((reached.stream,)) is None


def _own(event: Event, spec: Spec) -> dict[str, Any]:
    """Return what a decider has said of an event: its meta without what evcli adds to it."""
    assert spec.when is not None
    command = {"type": spec.when.type, "data": spec.when.data}
    command |= {} if event["stream"] == spec.stream else {"stream": spec.stream}
    told = {"correlation": CORRELATION, "command": command}
    meta = {name: value for name, value in event.get("meta", {}).items() if told.get(name, MISSING) != value}
    found = {"stream": event["stream"], "type": event["type"], "data": event["data"], "meta": meta}
    return found | ({"v": event["v"]} if "v" in event else {})


def _by_stream(events: Sequence[dict[str, Any]], own: str) -> list[dict[str, Any]]:
    """Order events by stream, the command's own first: in a commit, order means something within a stream."""
    return sorted(events, key=lambda event: (event["stream"] != own, event["stream"]))


def _without(event: dict[str, Any], stream: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "stream" or value != stream}


def _told(error: EvcliError) -> dict[str, Json]:
    if isinstance(error, Rejected):
        return {"rejected": {"code": error.code, "reason": error.reason}}
    if isinstance(error, Conflict):
        return {"conflict": {"code": error.code, "reason": error.message}}
    return {"error": str(error)}


def _is_refusal(error: EvcliError | None, refusal: str, why: str | None) -> bool:
    if isinstance(error, Rejected):
        return refusal == "rejected" and why in (None, error.code, error.reason)
    return isinstance(error, Conflict) and refusal == "conflict" and why in (None, error.code)
