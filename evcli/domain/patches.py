"""What changed between two JSON values: as changes, as a JSON Patch (RFC 6902), and back again."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from evcli.domain.pointers import MISSING, parse_pointer, resolve, spell_pointer
from evcli.domain.values import Json, copy_json, same_json

Operation = dict[str, Any]
"""An operation of a JSON Patch: ``op`` is ``add``, ``remove`` or ``replace``, ``path`` a JSON pointer."""

_LAST: Final = "-"


class Change(NamedTuple):
    """A place (the tokens of its pointer) and what was there before and after; `MISSING` where nothing was."""

    place: tuple[str, ...]
    before: Json
    after: Json


def changes_between(before: Json, after: Json, place: tuple[str, ...] = ()) -> Iterator[Change]:
    """Yield what changed from one value to another, as deep in objects and arrays as both have them.

    Made in their order, the changes turn ``before`` into ``after``. Arrays are compared element by element, from the
    first: what the longer one has more is added or removed at its end, the last first where it is removed. Values are
    the same as `same_json` has it: 1 and 1.0 are, and true is neither.

    Args:
        before: The one value, or `MISSING`.
        after: The other, or `MISSING`.
        place: Where they stand in something larger.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            yield from changes_between(value, after.get(name, MISSING), (*place, name))
        for name, value in after.items():
            if name not in before:
                yield Change((*place, name), MISSING, value)
    elif isinstance(before, list) and isinstance(after, list):
        for index, (one, other) in enumerate(zip(before, after, strict=False)):
            yield from changes_between(one, other, (*place, str(index)))
        for index in range(len(before) - 1, len(after) - 1, -1):
            yield Change((*place, str(index)), before[index], MISSING)
        for index in range(len(before), len(after)):
            yield Change((*place, str(index)), MISSING, after[index])
    elif not same_json(before, after):
        yield Change(place, before, after)


def to_operation(change: Change) -> Operation:
    """Return a change as an operation of a JSON Patch (RFC 6902)."""
    path = spell_pointer(change.place)
    if change.after is MISSING:
        return {"op": "remove", "path": path}
    return {"op": "add" if change.before is MISSING else "replace", "path": path, "value": change.after}


def make_patch(before: Json, after: Json) -> list[Operation]:
    """Return the JSON Patch (RFC 6902) that turns one value into another; see `changes_between`."""
    return [to_operation(change) for change in changes_between(before, after)]


def apply_patch(value: Json, patch: Iterable[Mapping[str, Any]]) -> Json:
    """Return what a JSON Patch (RFC 6902) of additions, removals and replacements makes of a value, which stays as it is.

    The value may be `MISSING`, and so may the result: the whole can be added and removed as its parts can.

    Raises:
        ValueError: If an operation is of another kind, or its place is not there.
    """
    value = copy_json(value)
    for operation in patch:
        kind, path = operation["op"], operation["path"]
        if kind not in ("add", "remove", "replace"):
            raise ValueError(f"a patch is made of add, remove and replace here, not {kind!r}")
        place, new = parse_pointer(path), copy_json(operation.get("value"))
        if kind != "add" and resolve(value, place) is MISSING:
            raise ValueError(f"there is nothing at {path!r} to {kind}")
        if not place:
            value = MISSING if kind == "remove" else new
        else:
            _change(resolve(value, place[:-1]), place[-1], kind, new, path)
    return value


def _change(holder: Json, key: str, kind: str, new: Json, path: str) -> None:
    """Carry out one operation in the object or array that holds its place."""
    if isinstance(holder, dict):
        if kind == "remove":
            del holder[key]
        else:
            holder[key] = new
    elif kind == "remove":
        del holder[int(key)]
    elif kind == "replace":
        holder[int(key)] = new
    elif isinstance(holder, list) and (key in (_LAST, str(len(holder))) or resolve(holder, (key,)) is not MISSING):
        holder.insert(len(holder) if key == _LAST else int(key), new)
    else:
        raise ValueError(f"nothing can be added at {path!r}")
