"""``evcli undo``: what would compensate an event, as lines to append."""

from typing import Annotated

from evcli.cli.commands import DeciderTimeout, read_timeout
from evcli.cli.options import Context, split_version
from evcli.cli.parameters import Argument
from evcli.errors import Usage
from evcli.storage.codec import dump

EXAMPLES = """\
evcli undo accounts/ann@3
evcli undo accounts/ann@3 | evcli append --from - --atomic"""


def run(
    context: Context,
    event: Annotated[str, Argument(metavar="STREAM@VERSION", help="The event to compensate")],
    timeout: DeciderTimeout = "30s",
) -> None:
    """Print the events that would compensate one, as lines for 'append --from -'; nothing is stored.

    How an event is undone is declared in evcli.toml, [streams."PATTERN".undo], or said by the decider's
    undo(event, state); else exit 4. Lines for the event's own stream expect the version that it is at now, and all have
    an id made of the event's place: so they are stored once, however often this is done. See 'evcli help debugging'.
    """
    stream, _, version = split_version(event)
    if version is None or ".." in event:
        raise Usage(f"{event!r} is no event", "write STREAM@VERSION, as in accounts/ann@3")
    context.out.texts(map(dump, context.store.undo(stream, version, timeout=read_timeout(timeout))))
