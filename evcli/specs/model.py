"""A spec: what is given, what is wanted when, and what is then to be; read from the values of TOML or JSON."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from evcli.domain.commands import Command
from evcli.domain.events import NewEvent
from evcli.domain.names import check_writable
from evcli.domain.pointers import MISSING
from evcli.domain.values import Json, kind_of
from evcli.errors import BadSpec, Refused
from evcli.given import to_command
from evcli.storage.codec import IGNORED_MEMBERS, encode_value, loads, new_event

DEFAULT_STREAM: Final = "spec"
"""The stream of a spec that names none."""

SPEC_KEYS: Final = ("name", "stream", "given", "when", "then")
_COMMAND_KEYS: Final = ("type", "data")
_EVENT_KEYS: Final = ("stream", "type", "data", "meta", "v")
_ANSWERS: Final = ("rejected", "conflict")
_OUTCOME_KEYS: Final = ("events", "state", "check", "params", *_ANSWERS)


class Place(NamedTuple):
    """Where a spec stands: the file, its line (0: not known), and its number in the file; the last two count from 1."""

    file: str
    line: int
    number: int


class GivenEvent(NamedTuple):
    """An event that has happened before, and the stream that it is in."""

    stream: str
    event: NewEvent


class Then(NamedTuple):
    """What is expected: ``events``, each with the members that count, by ``stream`` too; or that there is no such thing.

    ``events`` is None where nothing is said of them, ``state`` is `MISSING` likewise. ``refusal`` is ``"rejected"`` or
    ``"conflict"``, and ``why`` its code or reason, or None for any. ``check`` is a SQL expression that the state passes,
    with the values of its ``params``.
    """

    events: tuple[dict[str, Any], ...] | None = None
    state: Json = MISSING
    refusal: str | None = None
    why: str | None = None
    check: str | None = None
    params: Mapping[str, str | int | float | None] = MappingProxyType({})


class Spec(NamedTuple):
    """A spec. ``members`` is what it was read from, which reads again as the same."""

    name: str
    stream: str
    given: tuple[GivenEvent, ...]
    when: Command | None
    then: Then
    place: Place
    members: Mapping[str, Any]


def read_spec(members: Any, place: Place) -> Spec:  # noqa: ANN401 (a parsed value)
    """Read a spec from its parsed value.

    Raises:
        BadSpec: If it is none: also for a key that evcli does not know.
    """
    return _Reading(place).spec(members)


class _Reading:
    """Reads one spec, and says of what is wrong where it is."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._name = f"number {place.number}"

    def wrong(self, key: str, problem: str) -> BadSpec:
        return BadSpec(self._place.file, self._place.line, key, problem, spec=self._name)

    def spec(self, value: Any) -> Spec:  # noqa: ANN401
        members = self._table("", value, SPEC_KEYS)
        named = self._name = self._text("name", members.get("name", self._name))
        stream = self._stream("stream", members.get("stream", DEFAULT_STREAM))
        given = self._array("given", members.get("given", []))
        events = tuple(self._given(f"given[{n}]", each, stream) for n, each in enumerate(given, 1))
        when = self._command(members["when"], stream) if "when" in members else None
        if "then" not in members:
            raise self.wrong("then", "it is missing; say what is expected")
        then = self._then(members["then"], stream)
        if when is None and then.events is not None:
            raise self.wrong("then", "without a command (when) no events follow; expect a state = …")
        if when is None and then.refusal is not None:
            raise self.wrong("then", f"without a command (when) there is nothing to be {then.refusal}")
        return Spec(named, stream, events, when, then, self._place, members)

    def _given(self, key: str, value: Any, stream: str) -> GivenEvent:  # noqa: ANN401
        members = {name: each for name, each in self._table(key, value).items() if name not in IGNORED_MEMBERS}
        return GivenEvent(self._stream(f"{key}.stream", members.get("stream", stream)), self._event(key, members))

    def _event(self, key: str, members: Mapping[str, Any]) -> NewEvent:
        try:
            return new_event(members)
        except Refused as error:
            raise self.wrong(key, str(error)) from error

    def _command(self, value: Any, stream: str) -> Command:  # noqa: ANN401
        members = self._table("when", value, _COMMAND_KEYS)
        kind = self._text("when.type", members.get("type"))
        return to_command(stream, kind, self._encode("when.data", members.get("data", {})))

    def _then(self, value: Any, stream: str) -> Then:  # noqa: ANN401
        if isinstance(value, list):
            return Then(self._events("then", value, stream))
        if not isinstance(value, dict) or not value:
            problem = "{}" if value == {} else kind_of(value)
            raise self.wrong(
                "then", f"this is {problem}; expect an array of events, or {{state = …}}, {{rejected = …}}"
            )
        members = self._table("then", value, _OUTCOME_KEYS)
        answer = next((name for name in _ANSWERS if name in members), None)
        if answer is not None:
            if len(members) > 1:
                raise self.wrong("then", f"where a command is {answer}, there is nothing else to expect")
            why = members[answer]
            if why is not True and not (isinstance(why, str) and why):
                raise self.wrong(f"then.{answer}", f"this is {kind_of(why)}; give true, or the code or the reason")
            return Then(refusal=answer, why=why if isinstance(why, str) else None)
        events = self._events("then.events", members["events"], stream) if "events" in members else None
        state = loads(self._encode("then.state", members["state"])) if "state" in members else MISSING
        check = self._text("then.check", members["check"]) if "check" in members else None
        return Then(events, state, check=check, params=self._params(members) if "params" in members else {})

    def _params(self, members: Mapping[str, Any]) -> dict[str, str | int | float | None]:
        if "check" not in members:
            raise self.wrong("then.params", "these are the values of the parameters of a check, and there is none")
        given = members["params"]
        if not isinstance(given, dict):
            raise self.wrong("then.params", f"this is {kind_of(given)}; write {{ name = value }}")
        for name, value in given.items():
            if isinstance(value, dict | list):
                raise self.wrong(
                    f"then.params.{name}", f"this is {kind_of(value)}; give a text, a number, true or null"
                )
        return given

    def _events(self, key: str, value: Any, stream: str) -> tuple[dict[str, Any], ...]:  # noqa: ANN401
        return tuple(self._expected(f"{key}[{n}]", each, stream) for n, each in enumerate(self._array(key, value), 1))

    def _expected(self, key: str, value: Any, stream: str) -> dict[str, Any]:  # noqa: ANN401
        members = self._table(key, value, _EVENT_KEYS)
        event = self._event(key, members)
        found = {"stream": self._stream(f"{key}.stream", members.get("stream", stream)), "type": event.type}
        found["data"] = loads(event.data)
        return found | {name: members[name] for name in ("meta", "v") if name in members}

    def _table(self, key: str, value: Any, known: Sequence[str] | None = None) -> dict[str, Any]:  # noqa: ANN401
        if not isinstance(value, dict):
            raise self.wrong(key, f"this is {kind_of(value)}; it must be an object (in TOML, a table)")
        for name in value:
            if known is not None and name not in known:
                at = f"{key}.{name}" if key else str(name)
                raise self.wrong(at, f"unknown key; known here: {', '.join(known)}")
        return value

    def _array(self, key: str, value: Any) -> Sequence[Any]:  # noqa: ANN401
        if not isinstance(value, list):
            raise self.wrong(key, f"this is {kind_of(value)}; it must be an array of events")
        return value

    def _text(self, key: str, value: Any) -> str:  # noqa: ANN401
        if not isinstance(value, str) or not value:
            problem = "it is missing" if value is None else "this is not a text of at least one character"
            raise self.wrong(key, problem)
        self._encode(key, value)
        return value

    def _stream(self, key: str, value: Any) -> str:  # noqa: ANN401
        try:
            return check_writable(self._text(key, value))
        except BadSpec:
            raise
        except Refused as error:
            raise self.wrong(key, str(error)) from error

    def _encode(self, key: str, value: Any) -> str:  # noqa: ANN401
        try:
            return encode_value(value)
        except Refused as error:
            raise self.wrong(key, str(error)) from error
