"""Where two JSON values differ: the first place, and a readable diff of both."""

import json
from typing import NamedTuple

from evcli.domain.pointers import MISSING
from evcli.domain.terminal import Part, Style, sanitise
from evcli.domain.values import Json, same_json

_NEARBY = 3


class Difference(NamedTuple):
    """A place where two values differ, as a JSON pointer (RFC 6901), and what each has there; `MISSING` for nothing."""

    pointer: str
    one: Json
    other: Json


def first_difference(one: Json, other: Json) -> Difference | None:
    """Return the first innermost place where two JSON values differ as `same_json` has it; None if they do not."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = [(key, one.get(key, MISSING), other.get(key, MISSING)) for key in {**one, **other}]
    elif isinstance(one, list) and isinstance(other, list):
        longest = range(max(len(one), len(other)))
        pairs = [(str(n), _element(one, n), _element(other, n)) for n in longest]
    else:
        return None if same_json(one, other) else Difference("", one, other)
    for key, left, right in pairs:
        if (found := first_difference(left, right)) is not None:
            return found._replace(pointer=f"/{key.replace('~', '~0').replace('/', '~1')}{found.pointer}")
    return None


def diff_rows(expected: Json, actual: Json) -> list[list[Part]]:
    """Lay out what differs between two JSON values as the lines of a unified diff, to be composed and coloured."""
    from difflib import unified_diff

    lines = unified_diff(
        _lines(expected), _lines(_align(actual, expected)), "expected", "actual", lineterm="", n=_NEARBY
    )
    styles: dict[str, Style] = {"-": "red", "+": "green", "@": "dim"}
    return [[(sanitise(line), styles.get(line[:1], "plain"))] for line in lines if not line.startswith("@@")]


def _lines(value: Json) -> list[str]:
    """Lay a value out, without the commas at the ends of lines: where something follows is no difference."""
    return [line.removesuffix(",") for line in json.dumps(value, indent=2, ensure_ascii=False).split("\n")]


def _element(array: list[Json], index: int) -> Json:
    return array[index] if index < len(array) else MISSING


def _align(value: Json, model: Json) -> Json:
    """Return the value with its members in the order of the model's, and what is the same spelled the same."""
    if isinstance(value, dict) and isinstance(model, dict):
        names = [name for name in model if name in value] + [name for name in value if name not in model]
        return {name: _align(value[name], model.get(name)) for name in names}
    if isinstance(value, list) and isinstance(model, list):
        return [_align(each, model[n] if n < len(model) else None) for n, each in enumerate(value)]
    return model if same_json(value, model) else value
