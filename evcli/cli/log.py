"""``evcli log``: the audit trail."""

import sys
import time
from collections.abc import Iterator
from itertools import chain, islice
from typing import Annotated, Final

from evcli.cli.options import Context, To, Until, instant, split_version
from evcli.cli.parameters import Argument, Option
from evcli.errors import StreamNotFound, Usage
from evcli.history import Selection, check_selection, follow_lines, select_lines, select_text
from evcli.storage.contract import Head

EXAMPLES = """\
evcli log accounts/ann
evcli log accounts/ann@3..5
evcli log --since yesterday --type 'money.*' --tail 20
evcli log 'accounts/*' --follow | jq -r .type
evcli log accounts/ann --reverse --limit 1"""

_QUICK: Final = 0.02
_SLOW: Final = 0.1

Streams = Annotated[
    list[str] | None, Argument(metavar="[STREAM|PATTERN]...", help="Names, STREAM@A..B, or patterns; none is all")
]
Since = Annotated[str | None, Option("--since", metavar="TIME", help="Events from TIME on")]
After = Annotated[int, Option("--after", metavar="VERSION", min=0, help="Only later versions")]
AfterPosition = Annotated[int, Option("--after-position", metavar="P", min=0, help="Only later positions")]
Types = Annotated[list[str] | None, Option("--type", metavar="GLOB", help="Only these types; * crosses dots")]
Limit = Annotated[int | None, Option("--limit", metavar="N", min=0, max=sys.maxsize, help="At most N")]
Tail = Annotated[int | None, Option("--tail", "-n", metavar="N", min=0, max=sys.maxsize, help="The last N, in order")]
Reverse = Annotated[bool, Option("--reverse", help="The last first")]
Follow = Annotated[bool, Option("--follow", "-f", help="Then go on as events are recorded")]


def run(
    context: Context,
    streams: Streams = None,
    since: Since = None,
    until: Until = None,
    after: After = 0,
    to: To = None,
    after_position: AfterPosition = 0,
    type: Types = None,  # noqa: A002 (the field's word)
    limit: Limit = None,
    tail: Tail = None,
    reverse: Reverse = False,  # noqa: FBT002
    follow: Follow = False,  # noqa: FBT002
) -> None:
    """Print events in order: a stream's by version, several streams' by position. In a pipe, the stored lines exactly."""
    names, first, last = _split(streams or [], after, to)
    selection = Selection(
        streams=names,
        since=instant(since),
        until=instant(until, end=True),
        after=first,
        to=last,
        after_position=after_position,
        types=tuple(type or ()),
        limit=limit,
        tail=tail,
        reverse=reverse,
    )
    if follow and (reverse or last is not None):
        raise Usage("--follow goes forward, without an end", "leave out --reverse and --to")
    log = context.store.log
    head = context.store.head()
    try:
        check_selection(log, selection, end=head.position)
    except StreamNotFound:
        if not follow:
            raise
    if follow:
        lines = chain(select_lines(log, selection, end=head.position), _live(context, selection, head))
        context.out.events(islice(lines, limit), live=True)
    else:
        context.out.stored(select_text(log, selection, end=head.position))


def _split(streams: list[str], after: int, to: int | None) -> tuple[tuple[str, ...], int, int | None]:
    """Return the names, and the versions before the first and the last: from ``STREAM@A..B`` or the options."""
    split = [split_version(text) for text in streams]
    names = tuple(name for name, _, _ in split)
    ranged = [(first, last) for _, first, last in split if first or last is not None]
    if not ranged:
        return names, after, to
    if len(split) > 1 or after or to is not None:
        raise Usage(
            "a range of versions takes one stream, without --after and --to", "as in 'evcli log accounts/ann@3..5'"
        )
    return names, *ranged[0]


def _live(context: Context, selection: Selection, head: Head) -> Iterator[bytes]:
    """Yield what is committed after ``head`` until the reader is gone."""
    pause = _QUICK

    def idle() -> None:
        nonlocal pause
        if context.out.stdout_closed():
            raise BrokenPipeError
        time.sleep(pause)
        pause = min(_SLOW, pause * 1.2)

    for new in follow_lines(context.store.log, selection, head, idle=idle):
        pause = _QUICK
        yield from new
