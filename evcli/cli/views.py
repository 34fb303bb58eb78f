"""What the commands about views have in common: how new an answer has to be, and what goes with it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from evcli.cli.options import Context, instant
from evcli.cli.parameters import Argument, Option
from evcli.domain.durations import parse_duration
from evcli.errors import Usage
from evcli.light_typing import TYPE_CHECKING, Annotated
from evcli.read_side.keeping import KeptView
from evcli.read_side.opened_view import Explained
from evcli.read_side.views import Freshness, View
from evcli.storage.codec import loads

if TYPE_CHECKING:
    from evcli.storage.view_sql import SqlValue

ViewName = Annotated[str, Argument(metavar="VIEW", help="A view of evcli.toml")]
Explain = Annotated[bool, Option("--explain", help="Say on standard error what the answer covers, and what it took")]
Params = Annotated[
    list[str] | None,
    Option("--param", metavar="NAME=TEXT|NAME:=JSON", help="The value of :NAME; for numbers NAME:=5"),
]


def read_freshness(
    context: Context, *, cached: bool, at_least: int | None, timeout: str, until: str | None = None
) -> Freshness:
    """Read how new an answer has to be; where others have to store something first, wait for that.

    Raises:
        Usage: If the options contradict each other.
        Busy: If what was waited for did not come in time.
    """
    wait = parse_duration(timeout)
    if until is not None and (cached or at_least is not None):
        raise Usage("--until is folded from the log", "leave out --cached and --at-least")
    if at_least is not None and not cached:
        context.store.wait_for(at_least, timeout=wait)
    return Freshness(cached, at_least, wait, instant(until, end=True))


def read_params(texts: Sequence[str] | None) -> "dict[str, SqlValue]":
    """Read ``--param`` options: ``name=text``, ``name:=json`` for a number, true, false or null.

    Raises:
        Usage: If a value is an object or an array.
    """
    from evcli.cli.fields import read_fields

    found: dict[str, SqlValue] = {}
    for name, text in read_fields(texts or ()).items():
        value = loads(text)
        if isinstance(value, dict | list):
            raise Usage(
                f"the parameter {name!r} is no single value", "give a text (name=…), a number, true or null (name:=…)"
            )
        found[name] = value
    return found


@contextmanager
def kept_view(context: Context, name: str) -> Iterator[KeptView]:
    """Give a view with its files; folding it shows its progress on a terminal."""
    with context.out.progress(f"folding {name}") as progress:
        yield context.store.kept_view(name, progress=progress)


@contextmanager
def asked_view(context: Context, name: str) -> Iterator[View]:
    """Give a view to be asked; likewise."""
    with kept_view(context, name) as kept:
        yield View(kept)


def explain(context: Context, found: Sequence[Explained]) -> None:
    """Say on standard error how answers came about."""
    context.out.explain(Explained._fields, [explained._asdict() for explained in found])
