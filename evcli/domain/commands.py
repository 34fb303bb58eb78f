"""Commands: what somebody wants, and what a decider makes of it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from evcli.domain.conditions import Condition, make_condition
from evcli.domain.events import Event
from evcli.domain.expected import ANY, Expected
from evcli.domain.values import Json, kind_of
from evcli.errors import Usage

_MEMBERS: Final = ("type", "data", "meta", "v", "expect", "stream")
_HOW: Final = '("money.withdrawn", {"amount": 5}), ("accounts/bob", "money.received", {…}), a dict, or require_none(…)'
_MOST_SAID: Final = 10_000
_PAIR: Final = 2
_TRIPLE: Final = 3


class Command(NamedTuple):
    """A request to a stream: ``type``, in the imperative, and ``data``, a JSON value, which ``text`` spells."""

    stream: str
    type: str
    data: Json
    text: str


class Request(NamedTuple):
    """A command as it is given: ``meta`` for its events, JSON texts by key; ``id`` makes a repeat safe.

    ``expect`` is the version that the stream must be at, whatever is decided.
    """

    command: Command
    meta: Mapping[str, str]
    id: str | None = None
    expect: Expected = ANY


class Decision(NamedTuple):
    """What a decider answers: the members of the events by stream, the command's own first, and what must not be there."""

    events: Mapping[str, list[dict[str, Any]]]
    unless: tuple[Condition, ...]


class Decider(Protocol):
    """What decides on the commands to a stream: a Python file, or a program."""

    @property
    def name(self) -> str:
        """The file or the program, for messages."""
        ...

    def decide(self, command: Command, state: Json, *, timeout: float | None) -> Any:  # noqa: ANN401 (the user's)
        """Return what follows from a command in a state: events and conditions, as `read_decision` takes them.

        ``timeout`` is in seconds; None for no limit.

        Raises:
            Rejected: If nothing may follow.
            Usage: If the command is none, or its arguments are wrong.
            CodeFailed: If it fails.
        """
        ...

    def undo(self, event: Event, state: Json, *, timeout: float | None) -> Any:  # noqa: ANN401 (the user's)
        """Return what compensates an event, in the state that its stream is in now; None if it does not say.

        Raises:
            Rejected: If nothing may.
            CodeFailed: If it fails.
        """
        ...


def said(text: object) -> str:
    """Return what a decider said as it can be stored whatever it is: shortened, without what is no character."""
    clean = str(text).encode("utf-8", "replace").decode()
    return clean if len(clean) <= _MOST_SAID else f"{clean[:_MOST_SAID]}…"


def recorded_command(event: Event) -> dict[str, Any] | None:
    """Return the command that led to an event, as its ``meta`` has it: ``type`` and ``data``; None if it has none.

    It has a ``stream`` too where it was for another one than the event's.
    """
    found = event.get("meta", {}).get("command")
    return found if isinstance(found, dict) and {"type", "data"} <= found.keys() else None


def read_decision(returned: Any, stream: str) -> Decision:  # noqa: ANN401 (whatever a decider returned)
    """Read what a decider has returned for a command to ``stream``: one event, or any number of events and conditions.

    Raises:
        ValueError: If it is neither; the text says what it is.
    """
    if returned is None:
        raise ValueError("it returned None; where nothing is to happen it returns []")
    single = isinstance(returned, Mapping | Condition) or (
        isinstance(returned, tuple) and bool(returned) and isinstance(returned[0], str)
    )
    if isinstance(returned, str) or not isinstance(returned, Iterable):
        raise ValueError(f"it returned {kind_of(returned)}; an event is {_HOW}")  # noqa: TRY004 (a value of the user's)
    events: dict[str, list[dict[str, Any]]] = {}
    unless: list[Condition] = []
    for item in [returned] if single else returned:
        read = _read_item(item)
        if isinstance(read, Condition):
            unless.append(read)
        else:
            named = read.pop("stream", None)
            events.setdefault(stream if named is None else named, []).append(read)
    first = {stream: events[stream]} if stream in events else {}
    return Decision(first | events, tuple(unless))


def _read_item(item: Any) -> dict[str, Any] | Condition:  # noqa: ANN401
    if isinstance(item, Condition):
        return item
    if isinstance(item, Mapping) and set(item) == {"require_none"}:
        return _read_condition(item["require_none"])
    if isinstance(item, Mapping):
        unknown = [name for name in item if name not in _MEMBERS]
        if unknown or "type" not in item:
            problem = f"the unknown member {unknown[0]!r}" if unknown else "no type"
            raise ValueError(f"it returned an event with {problem}; its members are {', '.join(_MEMBERS)}")
        if isinstance(item.get("meta"), Mapping) and "command" in item["meta"]:
            raise ValueError("it returned an event with 'command' in its meta, where evcli notes the command")
        if not isinstance(item.get("stream"), str | None):
            raise ValueError(f"it returned an event whose stream is {kind_of(item['stream'])}")  # noqa: TRY004 (a value)
        return dict(item)
    if isinstance(item, tuple | list) and all(isinstance(name, str) for name in item[:-1]):
        if len(item) == _PAIR:
            return {"type": item[0], "data": item[1]}
        if len(item) == _TRIPLE:
            return {"stream": item[0], "type": item[1], "data": item[2]}
    raise ValueError(f"it returned {str(item)[:100]!r} for an event, which is {_HOW}")


def _read_condition(given: Any) -> Condition:  # noqa: ANN401
    try:
        return make_condition(given["streams"], given["type"], given.get("where"), after=given.get("after", 0))
    except (TypeError, KeyError, AttributeError, Usage) as error:
        raise ValueError(
            f'its require_none is not {{"streams":…,"type":…,"where":{{"/data/x":…}}}}: {error}'
        ) from error
