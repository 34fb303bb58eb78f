"""Undoing: which event compensates one that was recorded, as rules declare it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from evcli.domain.events import Event
from evcli.domain.pointers import MISSING
from evcli.domain.reducers import first_match
from evcli.domain.rules import BadRule, Read, compile_value
from evcli.domain.values import Json, kind_of

BEFORE: Final = "before"
NOW: Final = "now"
_MEMBERS: Final = (*Event.__annotations__, BEFORE, NOW)
_NEGATE: Final = "negate"

Undo = Callable[[Event, Json, Json], list[dict[str, Any]] | None]
"""Returns the events that compensate one, given the states before it and now; None where that is not declared."""


def compile_undo(definition: Mapping[str, Any]) -> Undo:
    """Compile a stream's ``undo`` table, which maps types and globs to ``{ type = …, data = { … } }``.

    Values are those of rules; pointers may also lead into ``/before`` and ``/now``, the states before the event and
    as it is now, and ``{ negate = "/data/qty" }`` is minus a number.

    Raises:
        BadRule: If it is wrong, with the key concerned.
    """
    find = first_match({kind: _compile_event(event, f'"{kind}"') for kind, event in definition.items()})

    def undo(event: Event, before: Json, now: Json) -> list[dict[str, Any]] | None:
        read = find(event["type"])
        return None if read is None else [read({**event, BEFORE: before, NOW: now})]

    return undo


def _compile_event(definition: Json, key: str) -> Read:
    if not isinstance(definition, dict) or not isinstance(definition.get("type"), str):
        raise BadRule(key, 'it says which event compensates: { type = "item.returned", data = { qty = "/data/qty" } }')
    unknown = [name for name in definition if name not in ("type", "data", "meta")]
    if unknown:
        raise BadRule(f"{key}.{unknown[0]}", "no such key; an event that compensates has type, data and meta")
    kind = definition["type"]
    parts = [
        (name, _compile_member(definition[name], f"{key}.{name}")) for name in ("data", "meta") if name in definition
    ]

    def read(event: Mapping[str, object]) -> dict[str, Any]:
        return {"type": kind} | {name: value for name, part in parts if (value := part(event)) is not MISSING}

    return read


def _compile_member(definition: Json, key: str) -> Read:
    """Compile a value of a rule in which numbers may be negated."""
    if isinstance(definition, dict) and definition.keys() == {_NEGATE}:
        find = compile_value(definition[_NEGATE], f"{key}.{_NEGATE}", _MEMBERS)
        return lambda event: _negative(find(event), key)
    if isinstance(definition, dict) and "literal" not in definition:
        parts = [(name, _compile_member(member, f"{key}.{name}")) for name, member in definition.items()]
        return lambda event: {name: value for name, part in parts if (value := part(event)) is not MISSING}
    read = compile_value(definition, key, _MEMBERS)
    if isinstance(definition, str) and definition.startswith((f"/{BEFORE}/", f"/{NOW}/")):
        return lambda event: _there(read(event), f"{key}: {definition}")
    return read


def _there(value: Json, what: str) -> Json:
    """Return a value of a state; what was not there cannot be brought back, and an event without it would say nothing."""
    if value is MISSING:
        raise ValueError(f"{what} leads nowhere")
    return value


def _negative(value: Json, key: str) -> Json:
    if value is MISSING:
        return MISSING
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} negates a number, not {kind_of(value)}")  # noqa: TRY004 (a value of the user's)
    return -value
