"""``--unless``: what must not be there for an append to be stored."""

from collections.abc import Sequence

from evcli.cli.fields import read_fields
from evcli.cli.parameters import Option
from evcli.errors import Usage
from evcli.light_typing import TYPE_CHECKING, Annotated, Final
from evcli.storage.codec import loads

if TYPE_CHECKING:
    from evcli.domain.conditions import Condition

Unless = Annotated[
    list[str] | None,
    Option(
        "--unless", metavar="'PATTERN TYPE [/data/x=VALUE]...'", help="Fail (3) if there is such an event; repeatable"
    ),
]
AfterPosition = Annotated[
    int | None,
    Option("--after-position", metavar="P", min=0, help="With --unless: only events after P count (else all)"),
]

_WORDS: Final = 2


def read_conditions(texts: Sequence[str] | None, after: int | None) -> "list[Condition]":
    """Read ``--unless`` options: a stream or pattern, a type or glob, and fields as in DATA whose names are JSON pointers.

    Raises:
        Usage: If one cannot be read.
    """
    if after is not None and not texts:
        raise Usage("--after-position goes with --unless", "it says from where on nothing of the kind may be")
    return [_read(text, after or 0) for text in texts or ()]


def _read(text: str, after: int) -> "Condition":
    import shlex

    from evcli.domain.conditions import make_condition

    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Usage(f"--unless {text!r} cannot be split into words: {error}", "close the quotes") from error
    if len(words) < _WORDS:
        raise Usage(
            f"--unless {text!r} is no condition",
            "say which streams and which type: --unless 'users/* user.registered /data/email=ann@example.org'",
        )
    where = {pointer: loads(value) for pointer, value in read_fields(words[_WORDS:]).items()}
    return make_condition(words[0], words[1], where, after=after)
