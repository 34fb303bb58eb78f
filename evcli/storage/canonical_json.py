"""Lines that are just what orjson makes of their value: nothing gets lost in reading them, so many are read fast.

Such a line has no key twice, no number that is another one in 64 bits, no half of a character, and no blanks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from evcli.domain.names import is_name
from evcli.storage.codec import MAX_DEPTH, MAX_LINE_BYTES, decode, object_members
from evcli.storage.event_texts import EventTexts, Group

_SHAPES: Final = {("type", "data"), ("type", "data", "meta"), ("type", "data", "id"), ("type", "data", "meta", "id")}
"""The members of events that are stored just as they come."""

_AT_ONCE: Final = 1000


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
    streams: list[str] = []
    ids: dict[int, str] = {}
    for first in range(0, len(lines), _AT_ONCE):  # the values of all of them would take much memory
        values = _values(lines[first : first + _AT_ONCE])
        members = values and _members_of_plain(values)
        if not values or not members:
            return None
        if "stream" in members:
            streams += [value["stream"] for value in values]
        if "id" in members:
            ids |= {place: value["id"] for place, value in enumerate(values, first) if "id" in value}
    names = set(streams)
    if len(streams) not in (0, len(lines)) or (stream is not None and len(names) > 1):
        return None
    if len(names) > 1:
        return _group_by_stream(lines, streams, ids)
    name = next(iter(names), None)
    stream = stream or name
    return {stream: _group(name, range(len(lines)), lines, ids)} if stream else None


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


def _members_of_plain(values: Sequence[dict[str, Any]]) -> set[str] | None:
    """Return the members that values have if all are events stored just as they come, and all name their streams, or none does."""
    shapes = set(map(tuple, values))
    members = {member for shape in shapes for member in shape}
    if "stream" in members:
        if any(shape[0] != "stream" for shape in shapes) or not _are_texts(names := _all_of(values, "stream")):
            return None
        if not all(map(is_name, set(names))):
            return None
        shapes = {shape[1:] for shape in shapes}
    if (
        shapes <= _SHAPES
        and _are_texts([value["type"] for value in values])
        and ("id" not in members or _are_texts(_all_of(values, "id")))
        and ("meta" not in members or all(meta and type(meta) is dict for meta in _all_of(values, "meta")))
    ):
        return members
    return None


def _are_texts(values: Sequence[object]) -> bool:
    return set(map(type, values)) == {str} and "" not in values


def _all_of(values: Sequence[dict[str, Any]], name: str) -> list[Any]:
    return [value[name] for value in values if name in value]


def _group_by_stream(lines: Sequence[bytes], streams: Sequence[str], ids: Mapping[int, str]) -> dict[str, Group]:
    places: dict[str, list[int]] = {}
    for place, stream in enumerate(streams):
        places.setdefault(stream, []).append(place)
    return {name: _group(name, listed, [lines[place] for place in listed], ids) for name, listed in places.items()}


def _group(name: str | None, places: Sequence[int], lines: Sequence[bytes], ids: Mapping[int, str]) -> Group:
    """Group the lines that stand at these places and name one stream, or none."""
    start = 1 if name is None else len(f'{{"stream":"{name}",')
    return Group(EventTexts(lines, start, [ids[place] for place in places if place in ids] if ids else ()), places)
