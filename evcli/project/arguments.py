"""The arguments of a command, fitted to the parameters of the Python function that decides on it."""

import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from evcli.domain.values import Json, kind_of
from evcli.errors import Usage

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?").fullmatch
_NAMES: Final[Mapping[Any, str]] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "an array",
    dict: "an object",
    type(None): "null",
}
_STREAM: Final = "stream"
_MOST_DIGITS: Final = 20  # of what may be stored: -2^63…2^64-1


class _Unfit(Exception):  # noqa: N818 (never shown)
    """A value is not what its parameter takes."""


class Parameter(NamedTuple):
    """A parameter of a command: its name, what it takes (any value, where that is empty), and whether it is needed."""

    name: str
    annotation: Any
    needed: bool

    def __str__(self) -> str:
        kind = describe(self.annotation)
        inner = ", ".join(part for part in (kind, "" if self.needed else "optional") if part)
        return f"{self.name} ({inner})" if inner else self.name


def parameters_of(function: Callable[..., Any]) -> tuple[list[Parameter], bool]:
    """Return what a function takes beside the state, which comes first, and whether it takes any other names too.

    Raises:
        ValueError: If it does not take a state and then arguments by their names.
    """
    try:
        signature = inspect.signature(function, eval_str=True)
    except NameError:  # an annotation that names what is not there says nothing
        signature = inspect.signature(function)
    _, *rest = signature.parameters.values() or [None]
    if not signature.parameters or any(p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL) for p in rest if p):
        raise ValueError("it is to take the state first, then arguments by their names: def withdraw(state, amount)")
    found = [Parameter(p.name, p.annotation, p.default is p.empty) for p in rest if p and p.kind != p.VAR_KEYWORD]
    return found, any(p.kind == p.VAR_KEYWORD for p in rest if p)


def fit_arguments(function: Callable[..., Any], data: Json, *, command: str, stream: str) -> dict[str, Any]:
    """Return the keyword arguments that ``data`` gives for ``function``, texts made what the annotations say.

    A parameter ``stream`` is given the stream's name.

    Raises:
        Usage: If some are missing, unknown, or cannot be what they are to be; the message lists all that it takes.
        ValueError: If the function does not take arguments by their names.
    """
    parameters, open_ended = parameters_of(function)
    if not isinstance(data, dict):
        raise Usage(f"the arguments of {command} are {kind_of(data)}", "give fields, or an object: amount:=5")
    wants_stream = any(p.name == _STREAM for p in parameters)
    given = {**data, **({_STREAM: stream} if wants_stream else {})}
    takes = ", ".join(str(p) for p in parameters if p.name != _STREAM) or "nothing"
    missing = [p for p in parameters if p.needed and p.name not in given]
    if missing:
        raise Usage(f"{command} misses {', '.join(map(str, missing))}", f"it takes {takes}")
    unknown = data.keys() - {p.name for p in parameters if p.name != _STREAM or not wants_stream}
    if unknown and not open_ended:
        raise Usage(f"{command} does not take {', '.join(sorted(unknown))}", f"it takes {takes}")
    found = dict(given)
    for parameter in parameters:
        if parameter.name in given:
            try:
                found[parameter.name] = _fit(given[parameter.name], parameter.annotation)
            except _Unfit:
                value = str(given[parameter.name])[:100]
                raise Usage(
                    f"{command}: {parameter.name} is {value!r}, not {describe(parameter.annotation)}",
                    f"it takes {takes}",
                ) from None
    return found


def describe(annotation: Any) -> str:  # noqa: ANN401 (an annotation is anything)
    """Say in words what a parameter takes; nothing where its annotation does not say."""
    if _is_union(annotation):
        kinds = [describe(each) for each in typing.get_args(annotation)]
        return " or ".join(kinds) if all(kinds) else ""
    if typing.get_origin(annotation) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(annotation)))
    return _NAMES.get(_plain(annotation), "")


def _fit(value: Json, annotation: Any) -> Any:  # noqa: ANN401
    if _is_union(annotation):
        return _fit_one_of(value, typing.get_args(annotation))
    if typing.get_origin(annotation) is typing.Literal:
        for choice in typing.get_args(annotation):
            if value == choice or (isinstance(value, str) and value == str(choice)):
                return choice
        raise _Unfit
    kind = _plain(annotation)
    if kind not in _NAMES or _is(value, kind):
        return float(value) if kind is float else value
    if isinstance(value, str):
        return _read_text(value, kind)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    raise _Unfit


def _fit_one_of(value: Json, kinds: tuple[Any, ...]) -> Any:  # noqa: ANN401
    """Take a value as it is where one of the kinds is its own; else as the first that it can be made."""
    own = [kind for kind in kinds if _plain(kind) in _NAMES and _is(value, _plain(kind))]
    for kind in own or kinds:
        try:
            return _fit(value, kind)
        except _Unfit:
            continue
    raise _Unfit


def _read_text(text: str, kind: Any) -> Any:  # noqa: ANN401
    if kind is bool and text in ("true", "false"):
        return text == "true"
    number = _NUMBER(text)
    if kind is int and number and not number[2] and not number[3] and len(text) <= _MOST_DIGITS:
        return int(text)
    if kind is float and number and math.isfinite(float(text)):
        return float(text)
    raise _Unfit


def _is(value: Json, kind: Any) -> bool:  # noqa: ANN401
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _is_union(annotation: Any) -> bool:  # noqa: ANN401
    return isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union


def _plain(annotation: Any) -> Any:  # noqa: ANN401
    """Return ``list`` for ``list[int]``, and ``type(None)`` for None."""
    return type(None) if annotation is None else typing.get_origin(annotation) or annotation
