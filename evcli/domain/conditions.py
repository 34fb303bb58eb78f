"""Conditions on what is not written: that no event of a kind stands after a place (a dynamic consistency boundary)."""

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from evcli.domain.events import Event, parse_event_pointer
from evcli.domain.names import check_name, compile_glob, compile_pattern, is_pattern
from evcli.domain.pointers import compile_pointer
from evcli.domain.values import Json, same_json
from evcli.errors import Refused, Usage

_EXAMPLE = "as in --unless 'users/* user.registered /data/email=ann@example.org'"


class Condition(NamedTuple):
    """That there is no event of a kind.

    ``streams`` is a name or a pattern, ``type`` a type or a glob; ``where`` has JSON pointers into the event, and the
    values that all of them must lead to. Only events with positions above ``after`` count.
    """

    streams: str
    type: str
    where: tuple[tuple[str, Json], ...] = ()
    after: int = 0

    def __str__(self) -> str:
        words = [self.streams, self.type, *(_spell(pointer, value) for pointer, value in self.where)]
        return " ".join(map(_quote, words)) + (f" after position {self.after}" if self.after else "")


def _spell(pointer: str, value: Json) -> str:
    return f"{pointer}={value}" if isinstance(value, str) else f"{pointer}:={json.dumps(value, ensure_ascii=False)}"


def _quote(word: str) -> str:
    """Quote a word as a shell does, where its spaces, quotes or backslashes would cut it; stars and marks need none here."""
    return "'" + word.replace("'", "'\"'\"'") + "'" if not word or any(mark in word for mark in " \t\n'\"\\") else word


def make_condition(
    streams: str,
    type: str,  # noqa: A002 (the field's word)
    where: Mapping[str, Json] | None = None,
    *,
    after: int = 0,
) -> Condition:
    """Make a condition of what a user gives.

    Raises:
        Usage: If the pattern, or a pointer, is none, or the position is none.
    """
    try:
        compile_pattern(streams) if is_pattern(streams) else check_name(streams)
    except Refused as error:
        raise Usage(f"{error.message}", error.hint) from error
    if not type:
        raise Usage("the condition has no type", _EXAMPLE)
    if after < 0:
        raise Usage(f"{after} is no position", "positions count from 1; 0 is before all")
    for pointer in where or {}:
        parse_event_pointer(pointer)
    try:
        json.dumps([type, *(where or {}).values()], ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise Usage(f"the condition is not JSON: {error}", _EXAMPLE) from error
    return Condition(streams, type, tuple((where or {}).items()), after)


def compile_condition(condition: Condition) -> Callable[[Event], bool]:
    """Compile a condition to a test on events: whether one is of the kind that must not be there."""
    matches = compile_glob(condition.type)
    places = [(compile_pointer(parse_event_pointer(pointer)), value) for pointer, value in condition.where]
    return lambda event: matches(event["type"]) and all(same_json(find(event), value) for find, value in places)


def compile_prefilter(condition: Condition) -> Callable[[bytes], bool]:
    """Compile a condition to a test on stored lines that lets all through that may be of the kind, without parsing them.

    A type is stored in one spelling only. A text in the data is there as it is, unless the line has escapes.
    """
    literal = condition.type.partition("*")[0].partition("?")[0]
    kind = b'","type":' + json.dumps(literal, ensure_ascii=False).encode().removesuffix(b'"')
    if literal == condition.type:
        kind += b'"'
    texts = [json.dumps(v, ensure_ascii=False).encode() for _, v in condition.where if isinstance(v, str)]
    return lambda line: kind in line and (b"\\" in line or all(text in line for text in texts))
