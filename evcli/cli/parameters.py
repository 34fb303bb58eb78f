"""How a command declares its parameters: as data, from which Typer's are made, and what the hot path reads by.

A command is a function ``run(context, …)``. Each other parameter is annotated with what its value is, and with an
`Option` or an `Argument`: ``Annotated[str | None, Option("--id", metavar="KEY", help="…")]``. An option of type
``bool`` is a flag, one of a list may be repeated.
"""

from collections.abc import Callable
from enum import Enum

from evcli.light_typing import Any, NamedTuple


class Option(NamedTuple):
    """An option: its name (``--tail``), its letter (``-n``) if it has one, its place in the help, bounds of its number."""

    name: str
    letter: str | None = None
    metavar: str | None = None
    min: int | None = None
    max: int | None = None
    help: str = ""


class Argument(NamedTuple):
    """An argument, known by its place."""

    metavar: str
    help: str = ""


class Parameter(NamedTuple):
    """One parameter of a command: its name in Python, how it is declared, what one value of it is, and what it is by default.

    ``many`` says whether it takes several values; ``required``, whether it has no default.
    """

    name: str
    declared: Option | Argument
    type: type[str | int | bool | Enum]
    many: bool
    required: bool
    default: Any


def parameters_of(function: Callable[..., Any]) -> list[Parameter]:
    """Return the parameters of a function that are declared, in order: without `inspect`, whose import costs too much here."""
    code, defaults = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    default_of = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    found = []
    for name in names:
        annotation = function.__annotations__.get(name)
        declared = next(iter(getattr(annotation, "__metadata__", ())), None)
        if isinstance(declared, Option | Argument):
            kind, many = _kind_of(annotation.__origin__)  # type: ignore[union-attr]  # it has metadata, so it is Annotated
            found.append(Parameter(name, declared, kind, many, name not in default_of, default_of.get(name)))
    return found


def _kind_of(annotation: Any) -> tuple[Any, bool]:  # noqa: ANN401 (a type, or a union of one with None)
    """Return what one value is, and whether there may be several."""
    members = [member for member in getattr(annotation, "__args__", ()) if member is not type(None)]
    if getattr(annotation, "__origin__", None) is list:
        return members[0], True
    return _kind_of(members[0]) if members else (annotation, False)
