"""``evcli streams``: what there is."""

from typing import Annotated

from evcli.cli.options import Context
from evcli.cli.parameters import Argument
from evcli.cli.states import require_streams

EXAMPLES = """\
evcli streams
evcli streams 'accounts/*'
evcli streams -o csv"""


def run(
    context: Context,
    patterns: Annotated[
        list[str] | None, Argument(metavar="[PATTERN]...", help="Names or patterns; none is all")
    ] = None,
) -> None:
    """List the streams: version, time of the first and the last event, size in bytes."""
    require_streams(context, patterns or ())
    rows = [info._asdict() for info in context.store.streams(*(patterns or ()))]
    context.out.rows(("stream", "version", "first", "last", "size"), rows, times=("first", "last"), empty="no streams")
