"""What ``replay`` and ``query state`` have in common: how a state is asked for and printed."""

from collections.abc import Sequence

from evcli.cli.options import Context, instant, split_version
from evcli.domain.names import is_pattern
from evcli.domain.pointers import MISSING, parse_pointer, resolve
from evcli.errors import NotFound, StreamNotFound, Usage
from evcli.light_typing import Any, NamedTuple
from evcli.replay import StreamState, to_json


class Moment(NamedTuple):
    """A stream as of a moment: ``until`` is a canonical instant, ``to`` a version, None where nothing is said."""

    stream: str
    until: str | None
    to: int | None


def read_moment(text: str, until: str | None, to: int | None) -> Moment:
    """Read ``STREAM`` or ``STREAM@VERSION`` with ``--until`` and ``--to``.

    Raises:
        Usage: If a range is given, or a version twice.
    """
    name, _, version = split_version(text)
    if ".." in text.partition("@")[2]:
        last = name if version is None else f"{name}@{version}"
        raise Usage(f"{text!r} is a range, and a state is as of one version", f"write {last}")
    if version is not None and to is not None:
        raise Usage("a version is given twice", f"write either {name}@{version} or --to {to}")
    return Moment(name, instant(until, end=True), to if version is None else version)


def require_streams(context: Context, names: Sequence[str]) -> None:
    """Do nothing if what is named plainly, not by a pattern, is there.

    Raises:
        StreamNotFound: If one is not.
    """
    for name in names:
        if not is_pattern(name) and not context.store.version(name):
            raise StreamNotFound(name)


def require_found(context: Context, found: StreamState, *, with_version: bool) -> StreamState:
    """Return ``found`` unless its stream is not there, which only ``--with-version`` takes for an answer.

    Raises:
        StreamNotFound: If it is not there.
    """
    if not found.version and not with_version and not context.store.version(found.stream):
        raise StreamNotFound(found.stream)
    return found


def state_record(found: StreamState) -> dict[str, Any]:
    """Return a state with its stream and version as it is printed.

    Raises:
        CodeFailed: If the reducer made something that is not JSON.
    """
    to_json(found)
    return found._asdict()


def print_state(context: Context, found: StreamState, *, with_version: bool, pointer: str | None = None) -> None:
    """Print a state, or what a pointer finds in it, with stream and version where asked for.

    Raises:
        NotFound: If the pointer finds nothing.
    """
    state = state_record(found)["state"]
    if pointer is not None:
        state = resolve(state, parse_pointer(pointer))
        if state is MISSING:
            raise NotFound(
                f"{found.stream}@{found.version} has nothing at {pointer}", "see the whole state without a pointer"
            )
    context.out.value(found._replace(state=state)._asdict() if with_version else state)
