"""The commands that a shell calls most often, without Typer: its import alone takes longer than all that they do.

A command line is either understood whole, as Typer would, or not at all: then Typer has it, errors and help included.
So whatever is unusual is left to it; what is read here is read from the same declarations (`evcli.cli.parameters`).
"""

from collections.abc import Sequence
from enum import Enum

from evcli.cli.parameters import Argument, Option, Parameter
from evcli.light_typing import Any, Final

HOT: Final = frozenset({"append", "query state", "query get"})
_MOST_DIGITS: Final = 18


def understand(parameters: Sequence[Parameter], words: Sequence[str]) -> dict[str, Any] | None:
    """Return what ``words`` give each of a command's parameters; None if that is not plain."""
    spelled = {
        spelling: (parameter, parameter.declared)
        for parameter in parameters
        if isinstance(parameter.declared, Option)
        for spelling in (parameter.declared.name, parameter.declared.letter)
    }
    given = {parameter.name: parameter.default for parameter in parameters}
    places: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            places.append(word)
            continue
        spelling, equals, text = word.partition("=")
        parameter, option = spelled.get(spelling, (None, None))
        if parameter is None or option is None or (equals and spelling == option.letter):
            return None
        if parameter.type is bool:
            if equals:
                return None
            given[parameter.name] = True
            continue
        if not equals:
            text = next(rest, "--")
            if text.startswith("-") and text != "-":  # missing, or not: whoever writes this knows
                return None
        value = _read(text, parameter.type, option)
        if value is None:
            return None
        given[parameter.name] = [*(given[parameter.name] or ()), value] if parameter.many else value
    return given if _place(parameters, places, given) else None


def _read(text: str, kind: type, option: Option) -> str | int | Enum | None:
    """Read an option's value; None if it is not plain."""
    if kind is str:
        return text
    if kind is int:
        if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
            return None
        number = int(text)
        is_within = (option.min is None or number >= option.min) and (option.max is None or number <= option.max)
        return number if is_within else None
    return next((member for member in kind if member.value == text), None) if issubclass(kind, Enum) else None


def _place(parameters: Sequence[Parameter], places: list[str], given: dict[str, Any]) -> bool:
    """Give the arguments what stands in their places; say whether that comes out even."""
    for parameter in parameters:
        if not isinstance(parameter.declared, Argument):
            continue
        if parameter.type is not str or (parameter.required and not places):
            return False
        if parameter.many and places:
            given[parameter.name], places = places, []
        elif places:
            given[parameter.name], places = places[0], places[1:]
    return not places
