"""Reducers declared as rules: per event type, update operators with the names and meanings that MongoDB users know."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from math import isfinite
from typing import Any, Final

from evcli.domain.events import Event
from evcli.domain.pointers import MISSING, compile_pointer, make_way, parse_pointer, take_away
from evcli.domain.reducers import Evolving, first_match
from evcli.domain.values import MAX_INTEGER, MIN_INTEGER, Json, copy_json, kind_of, same_json
from evcli.errors import Usage

Step = Callable[[Json, Event], None]
"""Changes the state for an event, in place."""
Action = Callable[[Json, Event], Json]
"""Returns the state after an event."""
Read = Callable[[Mapping[str, object]], Json]
"""Reads a rule's value from an event, each time its own copy; MISSING if its pointer leads nowhere."""
Change = Callable[[Json, Json, str], Json]
"""Returns what is to be at a place, given what is there (or MISSING), the rule's value, and the place for messages."""
Operator = Callable[[Json, str], list[Step]]
"""Compiles what stands right of the operator; the second argument is the key of that for messages."""

_NUMBERS: Final = (int, float)
_EVENT_MEMBERS: Final = tuple(Event.__annotations__)
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+").fullmatch


class BadRule(ValueError):  # noqa: N818 (as the errors in evcli.errors)
    """A definition that is wrong.

    Args:
        key: The key concerned as TOML spells it, relative to the reducer's table: ``on."item.received".inc``.
        problem: What is wrong with it.
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


def compile_rules(definition: Mapping[str, Any], *, of_rows: bool = False) -> Evolving:
    """Compile a reducer's table: ``initial`` (default ``{}``) and ``on``, which maps types and globs to actions.

    An action is ``"reset"`` or a table of operators, which work in the order written; for the rows of a view
    (``of_rows``) also ``"delete"``, after which there is None. ``evcli help reducers`` describes them.

    Raises:
        BadRule: If the definition is wrong, with the key concerned.
    """
    for name in definition:
        if name not in ("initial", "on"):
            raise BadRule(_join("", name), "no such key; a reducer's table has 'initial' and 'on'")
    if "on" not in definition:
        raise BadRule("on", "it is missing; it maps event types to what they do to the state")
    initial = _constant(definition.get("initial", {}), "initial")
    actions = {
        kind: _compile_action(action, initial, _join("on", kind), of_rows=of_rows)
        for kind, action in _table(definition["on"], "on").items()
    }
    find = first_match(actions)

    def evolve(state: Json, event: Event) -> Json:
        action = find(event["type"])
        return state if action is None else action(state, event)

    return Evolving(lambda: initial, evolve, tuple(actions))


def _compile_action(definition: Json, initial: Json, key: str, *, of_rows: bool) -> Action:
    if definition == "reset":
        return lambda _state, _event: copy_json(initial)
    if definition == "delete" and of_rows:
        return lambda _state, _event: None
    if definition == "delete":
        raise BadRule(key, '"delete" removes a row of a view; the state of a stream can be "reset"')
    if not isinstance(definition, dict):
        names = '"reset" or "delete"' if of_rows else '"reset"'
        raise BadRule(key, f"it is {kind_of(definition)}; an action is a table of operators, or {names}")
    steps: list[Step] = []
    for name, argument in definition.items():
        if name not in OPERATORS:
            known = ", ".join(OPERATORS)
            raise BadRule(_join(key, name), f"no such operator; there are {known}; a type with dots stands in quotes")
        steps += OPERATORS[name](argument, _join(key, name))

    def act(state: Json, event: Event) -> Json:
        for step in steps:
            step(state, event)
        return state

    return act


# operators


def _at_places(change: Change) -> Operator:
    """Make the operator that applies ``change`` at each place of a table ``{place = value}``."""

    def compile_places(argument: Json, key: str) -> list[Step]:
        return [
            _compile_change(change, place, value, _join(key, place)) for place, value in _table(argument, key).items()
        ]

    return compile_places


def _compile_change(change: Change, place: str, definition: Json, key: str) -> Step:
    tokens = _parse_place(place, key)
    read = _compile_read(definition, key, _EVENT_MEMBERS)
    sample = read({})  # no event at all: what does not depend on one can be checked now
    if sample is not MISSING:
        try:
            change(MISSING, sample, place)
        except ValueError as error:
            raise BadRule(key, str(error)) from None

    def walk(state: Json, event: Event) -> None:
        value = copy_json(read(event))
        if value is MISSING:
            return
        holder, at = make_way(state, tokens)
        old = holder.get(at, MISSING) if isinstance(holder, dict) else holder[at]
        holder[at] = change(old, value, place)

    if len(tokens) > 1:
        return walk
    (name,) = tokens
    keeps = change is not _set

    def step(state: Json, event: Event) -> None:
        if type(state) is not dict:
            walk(state, event)
        elif (value := read(event)) is not MISSING:
            kind = type(value)
            own = copy_json(value) if kind is dict or kind is list else value
            state[name] = change(state.get(name, MISSING), own, place) if keeps else own

    return step


def _compile_unset(argument: Json, key: str) -> list[Step]:
    if not isinstance(argument, list) or not all(isinstance(place, str) for place in argument):
        raise BadRule(key, 'it takes a list of places, as in ["last", "address/street"]')
    return [_take_away_at(_parse_place(place, key)) for place in argument]


def _take_away_at(tokens: tuple[str, ...]) -> Step:
    return lambda state, _event: take_away(state, tokens)


def _set(_old: Json, value: Json, _place: str) -> Json:
    return value


def _inc(old: Json, amount: Json, place: str) -> Json:
    if type(old) is int and type(amount) is int and MIN_INTEGER <= (total := old + amount) <= MAX_INTEGER:
        return total  # nearly always, and several times faster
    _check_number(amount, "inc takes a number", place)
    if old is MISSING:
        return amount
    _check_number(old, "inc needs a number", place)
    return _in_range(old + amount, place)


def _mul(old: Json, factor: Json, place: str) -> Json:
    _check_number(factor, "mul takes a number", place)
    if old is MISSING:
        return type(factor)(0)
    _check_number(old, "mul needs a number", place)
    return _in_range(old * factor, place)


def _min(old: Json, value: Json, place: str) -> Json:
    _check_comparable(old, value, "min", place)
    return value if old is MISSING or value < old else old


def _max(old: Json, value: Json, place: str) -> Json:
    _check_comparable(old, value, "max", place)
    return value if old is MISSING or value > old else old


def _push(old: Json, value: Json, place: str) -> Json:
    array = _array(old, "push", place)
    array.append(value)
    return array


def _add_to_set(old: Json, value: Json, place: str) -> Json:
    array = _array(old, "add_to_set", place)
    # What is not equal in Python is not the same in JSON either, and this is several times faster.
    if value not in array or not any(same_json(element, value) for element in array):
        array.append(value)
    return array


OPERATORS: Final[Mapping[str, Operator]] = {
    "set": _at_places(_set),
    "inc": _at_places(_inc),
    "mul": _at_places(_mul),
    "min": _at_places(_min),
    "max": _at_places(_max),
    "push": _at_places(_push),
    "add_to_set": _at_places(_add_to_set),
    "unset": _compile_unset,
}


def _check_number(value: Json, wanted: str, place: str) -> None:
    if type(value) not in _NUMBERS:  # exactly: True is an int to Python
        raise ValueError(f"{wanted} at {place!r}, not {kind_of(value)}")


def _in_range(number: float, place: str) -> float:
    if MIN_INTEGER <= number <= MAX_INTEGER if type(number) is int else isfinite(number):
        return number
    raise ValueError(f"the result at {place!r} is beyond a double, or an integer outside -2^63…2^64-1")


def _check_comparable(old: Json, value: Json, operator: str, place: str) -> None:
    if type(value) not in (*_NUMBERS, str):
        raise ValueError(f"{operator} takes a number or a string at {place!r}, not {kind_of(value)}")
    if old is not MISSING and kind_of(old) != kind_of(value):
        raise ValueError(f"{operator} at {place!r} cannot compare {kind_of(value)} with {kind_of(old)}")


def _array(old: Json, operator: str, place: str) -> Json:
    if old is MISSING:
        return []
    if isinstance(old, list):
        return old
    raise ValueError(f"{operator} needs an array at {place!r}, not {kind_of(old)}")


# values and keys


def compile_value(definition: Json, key: str, members: Collection[str] = _EVENT_MEMBERS) -> Read:
    """Compile the right side of a rule: a pointer into what has these ``members``, an array or object of such, or itself.

    Raises:
        BadRule: If it is wrong; ``key`` is where it stands.
    """
    read = _compile_read(definition, key, members)
    return lambda event: copy_json(read(event))


def _compile_read(definition: Json, key: str, members: Collection[str]) -> Read:
    """Compile the right side of a rule likewise; arrays and objects are to be copied before anything may change them."""
    if isinstance(definition, str) and definition.startswith("/"):
        return compile_pointer(_parse_event_pointer(definition, key, members))
    if isinstance(definition, list):
        elements = [_compile_read(element, key, members) for element in definition]
        return lambda event: [found for read in elements if (found := read(event)) is not MISSING]
    if not isinstance(definition, dict):
        constant = _constant(definition, key)
        return lambda _event: constant
    if "literal" in definition:
        if len(definition) > 1:
            raise BadRule(key, "beside 'literal' there can be nothing; an object that has it is { literal = { … } }")
        literal = _constant(definition["literal"], _join(key, "literal"))
        return lambda _event: literal
    found = [(name, _compile_read(member, _join(key, name), members)) for name, member in definition.items()]
    return lambda event: {name: value for name, read in found if (value := read(event)) is not MISSING}


def _parse_event_pointer(text: str, key: str, members: Collection[str]) -> tuple[str, ...]:
    try:
        tokens = parse_pointer(text)
    except Usage as error:
        raise BadRule(key, str(error)) from None
    if tokens[0] not in members:
        instead = f'it is "/data{text}", or for the text itself {{ literal = {json.dumps(text, ensure_ascii=False)} }}'
        raise BadRule(key, f"an event has no member {tokens[0]!r}; perhaps {instead}")
    return tokens


def _parse_place(place: str, key: str) -> tuple[str, ...]:
    if not place or place.startswith("/"):
        raise BadRule(key, "a place is a JSON pointer without its first slash, as in 'qty' or 'address/street'")
    try:
        return parse_pointer("/" + place)
    except Usage:
        raise BadRule(key, f"{place!r} is not a place; in a name, write ~ as ~0 and / as ~1") from None


def _constant(value: Json, key: str) -> Json:
    """Return a copy of ``value``, which must be JSON as it can be stored."""
    if isinstance(value, dict):
        return {name: _constant(member, _join(key, name)) for name, member in value.items()}
    if isinstance(value, list):
        return [_constant(element, key) for element in value]
    if type(value) in _NUMBERS:
        try:
            return _in_range(value, key)
        except ValueError:
            raise BadRule(key, "the number is none that JSON can hold") from None
    if value is None or isinstance(value, str | bool):
        return value
    raise BadRule(key, f"there is {kind_of(value)}; write times and dates in quotes")


def _table(value: Json, key: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise BadRule(key, f"it is {kind_of(value)}, where a table is needed")
    return value


def _join(key: str, name: str) -> str:
    spelled = name if _BARE_KEY(name) else json.dumps(name, ensure_ascii=False)
    return f"{key}.{spelled}" if key else spelled
