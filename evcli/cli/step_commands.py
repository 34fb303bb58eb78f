"""The words that ``evcli step`` is told, at its prompt and in a pipe alike."""

from difflib import get_close_matches
from typing import Final, NamedTuple

from evcli.errors import Usage


class Verb(NamedTuple):
    """A command within ``step``: its name, a letter for it, what may follow (``[…]``: or nothing), what it is for."""

    name: str
    letter: str
    argument: str
    purpose: str


class Told(NamedTuple):
    """One command as it was told: the verb's name, and what follows it."""

    verb: str
    argument: str


VERBS: Final = (
    Verb("next", "n", "[N]", "one event on, or N"),
    Verb("back", "b", "[N]", "one event back, or N"),
    Verb("go", "g", "VERSION|last|TIME", "to a version (0: before the first event), the last, or as of a time"),
    Verb("continue", "c", "", "on to the next event that changes what is watched (nothing is: the state)"),
    Verb("watch", "w", "[POINTER]", "show this place in the state at each step; what is watched"),
    Verb("unwatch", "u", "[POINTER]", "do not any more; not any of them"),
    Verb("diff", "d", "[VERSION]", "what is different from the state at a version; from where you were before"),
    Verb("state", "s", "[POINTER]", "the state here, or this place in it"),
    Verb("event", "e", "", "the event that led here, as it is stored"),
    Verb("help", "h", "", "this"),
    Verb("quit", "q", "", "leave; Ctrl-D does, too"),
)


def read_told(line: str) -> Told | None:
    """Read a line; None if it is blank.

    Raises:
        Usage: If it is no command.
    """
    word, _, argument = line.strip().partition(" ")
    if not word:
        return None
    verb = next((verb for verb in VERBS if word in (verb.name, verb.letter)), None)
    if verb is None:
        near = get_close_matches(word, [verb.name for verb in VERBS], 1)
        raise Usage(
            f"no such command: {word!r}", f"did you mean {near[0]!r}?" if near else "'help' lists what there is"
        )
    argument = argument.strip()
    if argument and not verb.argument:
        raise Usage(f"{verb.name!r} takes nothing after it", f"leave out {argument!r}")
    if not argument and verb.argument and not verb.argument.startswith("["):
        raise Usage(f"{verb.name!r} where?", f"write: {verb.name} {verb.argument}")
    return Told(verb.name, argument)


def read_count(argument: str, *, default: int) -> int:
    """Read a whole number after a verb.

    Raises:
        Usage: If it is none.
    """
    if not argument:
        return default
    if not is_number(argument):
        raise Usage(f"{argument!r} is no whole number", "as in: next 3")
    return int(argument)


def is_number(argument: str) -> bool:
    """Say whether what follows a verb is a whole number, such as a version."""
    return argument.isascii() and argument.isdecimal() and len(argument) < 19  # noqa: PLR2004 (2^63 has nineteen digits)


def help_text() -> str:
    """Return the list of the commands."""
    rows = (f"{verb.letter}, {verb.name} {verb.argument}".ljust(27) + verb.purpose for verb in VERBS)
    return "\n".join((*rows, "An empty line repeats the last step. TIME: see 'evcli help time'."))
