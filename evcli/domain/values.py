"""JSON values in memory: how they are copied, compared and named, and which numbers survive."""

from evcli.light_typing import Any, Final

Json = Any
"""A parsed JSON value: dict, list, str, int, float, bool or None."""

MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**64 - 1
"""Integers outside these bounds would silently become floats when they are parsed."""

_KINDS: Final = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def copy_json(value: Json) -> Json:
    """Copy objects and arrays, to any depth."""
    if isinstance(value, dict):
        return {name: copy_json(member) for name, member in value.items()}
    if isinstance(value, list):
        return [copy_json(element) for element in value]
    return value


def same_json(one: Json, other: Json) -> bool:
    """Compare two JSON values: 1 equals 1.0, no number equals true, and the order of members does not count."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


def kind_of(value: Json) -> str:
    """Say in words what a JSON value is: ``"a number"``, ``"an object"``, ``"null"``."""
    return _KINDS.get(type(value)) or f"a {type(value).__name__}, which is not JSON"
