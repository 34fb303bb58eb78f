"""Lines that are just what orjson makes of their value: nothing gets lost in reading them, so many are read fast.

Such a line has no key twice, no number that is another one in 64 bits, no half of a character, and no blanks.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from evcli.domain.names import is_name
from evcli.storage.codec import MAX_DEPTH, MAX_LINE_BYTES, decode, object_members
from evcli.storage.event_texts import EventTexts, Group

_SHAPES: Final = {("type", "data"), ("type", "data", "meta"), ("type", "data", "id"), ("type", "data", "meta", "id")}
"""The members of events that are stored just as they come."""


def split_line(line: bytes) -> list[tuple[str, Any, str]]:
    """Split a line as `evcli.storage.codec.object_members` does, and refuse what it refuses.

    Each member's own text is what orjson makes of its value, where the line is; all else goes the careful road.
    """
    if _is_shallow(line):
        try:
            found = orjson.loads(line)
            if type(found) is dict and orjson.dumps(found) == line:
                return [(key, value, orjson.dumps(value).decode()) for key, value in found.items()]
        except ValueError:  # the careful road says what is wrong
            pass
    return object_members(decode(line))


def group_lines(lines: Sequence[bytes], stream: str | None) -> dict[str, Group] | None:
    """Read lines for ``stream``, None for the one that each names, all at once; None if any has to be read by itself."""
    values = _values(lines)
    if values is None:
        return None
    shapes = set(map(tuple, values))
    names: set[str] = set()
    if {shape[:1] for shape in shapes} == {("stream",)}:
        found = [value["stream"] for value in values]
        names = set(found) if _are_texts(found) else {""}
        shapes = {shape[1:] for shape in shapes}
    if not (shapes <= _SHAPES and all(map(is_name, names)) and _can_be_stored(values, frozenset().union(*shapes))):
        return None
    if len(names) > 1:
        return _group_by_name(lines, values) if stream is None else None
    name = next(iter(names), None)
    stream = stream or name
    return {stream: _group(name, range(len(lines)), lines, values)} if stream else None


def _values(lines: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """Return the objects that lines are, if nothing gets lost in reading them.

    As each line is a value, and no object's text is the front of another's, that all of them together come out of orjson
    as they went in is to say that each one does.
    """
    long = [line for line in lines if len(line) > 2 * MAX_DEPTH]  # it takes as many brackets to be too deep
    if not all(len(line) <= MAX_LINE_BYTES and _is_shallow(line) for line in long):
        return None
    try:
        values = list(map(orjson.loads, lines))
        same = set(map(type, values)) == {dict} and orjson.dumps(values) == b"[" + b",".join(lines) + b"]"
    except ValueError:
        return None
    return values if same else None


def _is_shallow(line: bytes) -> bool:
    return line.count(b"{") + line.count(b"[") <= MAX_DEPTH


def _can_be_stored(values: Sequence[dict[str, Any]], members: frozenset[str]) -> bool:
    """Say whether ``type``, ``meta`` and ``id`` are what they have to be, as far as they are among the ``members``."""
    return (
        _are_texts([value["type"] for value in values])
        and ("id" not in members or _are_texts(list(_members(values, "id"))))
        and ("meta" not in members or all(meta and type(meta) is dict for meta in _members(values, "meta")))
    )


def _are_texts(values: Sequence[object]) -> bool:
    return set(map(type, values)) == {str} and "" not in values


def _members(values: Sequence[dict[str, Any]], name: str) -> Iterator[Any]:
    return (value[name] for value in values if name in value)


def _group_by_name(lines: Sequence[bytes], values: Sequence[dict[str, Any]]) -> dict[str, Group]:
    places: dict[str, list[int]] = {}
    for place, value in enumerate(values):
        places.setdefault(value["stream"], []).append(place)
    return {
        name: _group(name, listed, [lines[place] for place in listed], [values[place] for place in listed])
        for name, listed in places.items()
    }


def _group(name: str | None, places: Sequence[int], lines: Sequence[bytes], values: Sequence[dict[str, Any]]) -> Group:
    """Group the lines at these places, which all name one stream, or none."""
    start = 1 if name is None else len(f'{{"stream":"{name}",')
    return Group(EventTexts(lines, start, list(_members(values, "id"))), places)
