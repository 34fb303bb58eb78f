"""Which streams a command is about when it takes one, with a version, or several as of one moment."""

from collections.abc import Sequence
from typing import NamedTuple

from evcli.cli.options import Context, instant
from evcli.cli.states import read_moment, require_streams
from evcli.domain.names import check_name, is_pattern, select_by
from evcli.errors import StreamNotFound, Usage
from evcli.time_travel.extents import Extent, extent_of, extents


class Extents(NamedTuple):
    """Streams, each up to its version, and the position up to which events count at all.

    ``is_one`` says that a single stream was named, whose state is printed by itself.
    """

    streams: list[Extent]
    end: int
    is_one: bool


def is_one_stream(names: Sequence[str]) -> bool:
    """Say whether a single stream is named, and plainly."""
    return len(names) == 1 and not is_pattern(names[0])


def check_moments(names: Sequence[str], to: int | None) -> None:
    """Do nothing if no version is given for several streams.

    Raises:
        Usage: If one is.
    """
    if to is not None or any("@" in name for name in names):
        raise Usage(
            "a version belongs to one stream", "use --until for several: evcli replay 'accounts/*' --until yesterday"
        )


def read_extents(context: Context, names: Sequence[str], until: str | None, to: int | None) -> Extents:
    """Return the streams that names and patterns select (none: every one) as of a moment.

    Raises:
        StreamNotFound: If one that is named plainly is not there.
        Usage: If a version is given for several.
    """
    log = context.store.log
    if is_one_stream(names):
        moment = read_moment(names[0], until, to)
        end = context.store.head().position
        if log.info(check_name(moment.stream), end=end) is None:
            raise StreamNotFound(moment.stream)
        return Extents([extent_of(log, moment.stream, end=end, until=moment.until, to=moment.to)], end, is_one=True)
    check_moments(names, to)
    require_streams(context, names)
    end = context.store.head().position
    found = list(extents(log, select_by(names), end=end, until=instant(until, end=True)))
    return Extents(found, end, is_one=False)
