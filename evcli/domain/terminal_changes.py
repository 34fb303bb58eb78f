"""How changes between two values look on a terminal: a tree, with what was there and what is there now."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from evcli.domain.patches import Change
from evcli.domain.pointers import MISSING, spell_pointer
from evcli.domain.terminal import Part, compose, crop, sanitise_cell
from evcli.domain.values import Json

_INDENT: Final = "  "
_GAP: Final = "  "
_ARROW: Final = " → "
_NARROWEST: Final = 12


def lay_out_changes(changes: Iterable[Change], *, width: int, colored: bool) -> Iterator[str]:
    """Lay changes out as the rows of a tree of at most ``width`` cells (0: any number), coloured or not.

    A row begins with ``+`` (added), ``-`` (removed) or ``~`` (changed, old → new). What stands in a row, after the rows
    that it is indented under, is its pointer: ``/items``, and below it ``/0/qty``.
    """
    for parts in _branch(list(changes), 0, "", width):
        yield compose(parts, width=width, colored=colored)


def show_value(value: Json) -> str:
    """Return a value as compact JSON text that is fit for a terminal; ``(nothing)`` where there is none."""
    if value is MISSING:
        return "(nothing)"
    return sanitise_cell(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str))


def _branch(changes: list[Change], depth: int, indent: str, width: int) -> Iterator[list[Part]]:
    """Yield the rows of changes that have the first ``depth`` tokens in common, which stand above."""
    for _, group in groupby(changes, key=lambda change: change.place[depth : depth + 1]):
        members = list(group)
        if len(members) == 1:
            yield _row(members[0], depth, indent, width)
            continue
        fork = depth + 1
        while len({change.place[: fork + 1] for change in members}) == 1:
            fork += 1
        yield [("  " + indent + _label(members[0].place[depth:fork]), "cyan")]
        yield from _branch(members, fork, indent + _INDENT, width)


def _row(change: Change, depth: int, indent: str, width: int) -> list[Part]:
    place, before, after = _label(change.place[depth:]), show_value(change.before), show_value(change.after)
    label: list[Part] = [(indent + place + _GAP, "cyan")] if place else []
    if change.before is MISSING:
        return [("+ ", "green"), *label, (after, "green")]
    if change.after is MISSING:
        return [("- ", "red"), *label, (before, "red")]
    room = width - len(indent + place + _GAP + _ARROW) - 2
    if width and len(before) + len(after) > room:  # what is new must not be pushed out by what was
        before = crop(before, max(_NARROWEST, room - len(after), room // 2))
    return [("~ ", "yellow"), *label, (before, "red"), (_ARROW, "dim"), (after, "green")]


def _label(place: tuple[str, ...]) -> str:
    return sanitise_cell(spell_pointer(place))
