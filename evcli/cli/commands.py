"""What ``do`` and ``submit`` have in common: how a command is given."""

from collections.abc import Sequence
from typing import Annotated

from evcli.cli.fields import data_text
from evcli.cli.metadata import read_meta
from evcli.cli.options import Context
from evcli.cli.parameters import Argument, Option
from evcli.cli.receipts import every_field
from evcli.domain.commands import Request
from evcli.domain.durations import parse_duration
from evcli.domain.events import place_of
from evcli.domain.expected import ANY, Expected
from evcli.errors import Usage
from evcli.given import to_command, to_request
from evcli.storage.codec import dump
from evcli.write_side.accepted import Accepted

Arguments = Annotated[
    list[str] | None,
    Argument(metavar="[ARGUMENTS]...", help="One JSON text, '-', or fields: k=text k:=json k@=file k:@=file"),
]
CommandId = Annotated[str | None, Option("--id", metavar="KEY", help="Retry-safe: a repeat gives what the first gave")]
DeciderOption = Annotated[
    str | None, Option("--decider", metavar="FILE.py|'exec:PROGRAM'", help="Instead of the one configured")
]
DeciderTimeout = Annotated[str, Option("--timeout", metavar="TIME", help="How long a decider may take")]


def read_timeout(text: str) -> float:
    """Read ``--timeout`` of a decider, in seconds.

    Raises:
        BadTime: If it is no duration.
        Usage: If it is none at all.
    """
    found = parse_duration(text)
    if not found:
        raise Usage("--timeout 0 leaves a decider no time", "give it some, as in --timeout 30s")
    return found


def read_request(
    context: Context,
    words: tuple[str, str, Sequence[str] | None],
    told: tuple[list[str] | None, str | None, str | None, str | None],
    *,
    id: str | None,  # noqa: A002 (the field's word)
    expect: Expected = ANY,
) -> Request:
    """Read a command: ``words`` are its stream, its name and its arguments, ``told`` what `read_meta` takes.

    Raises:
        Refused: If it cannot be stored.
    """
    stream, name, arguments = words
    command = to_command(stream, name, data_text(arguments or []))
    return to_request(command, meta=read_meta(context, *told), id=id, expect=expect)


def print_accepted(context: Context, accepted: Accepted, *, field: str | None = None) -> None:
    """Print what was stored for a command: the receipt with the events."""
    receipt = accepted.receipt.as_first()
    context.tell_new_store()
    record = accepted.as_json()
    if field is not None:
        own = receipt.writes[0]._asdict()  # of the commit's streams the command's own
        record = {**every_field(receipt), "stream": own["stream"], "version": own["version"], **record}
    lines = [f"{place_of(event)}  {event['type']}  {dump(event['data']).decode()}" for event in accepted.events]
    last = lines.pop() + f"  position {receipt.position}" if lines else "accepted, and nothing was to be stored"
    context.out.record(record, *lines, last, field=field)
