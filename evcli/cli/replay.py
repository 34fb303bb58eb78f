"""``evcli replay``: state from the log itself, as of any moment."""

from typing import Annotated

import typer

from evcli.cli.determinism import check_streams
from evcli.cli.options import CheckDeterministic, Context, ReducerOption, To, Until, WithVersion, instant
from evcli.cli.states import print_state, read_moment, require_found, require_streams, state_record
from evcli.domain.names import is_pattern
from evcli.errors import Usage

EXAMPLES = """\
evcli replay accounts/ann
evcli replay accounts/ann --until 'last tuesday'
evcli replay accounts/ann@3
evcli replay --until yesterday
evcli replay 'accounts/*' --reducer count
evcli replay accounts/ann --check-deterministic"""


def run(
    context: Context,
    streams: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STREAM|PATTERN]...", help="A name, STREAM@VERSION, patterns; none is all"),
    ] = None,
    until: Until = None,
    to: To = None,
    reducer: ReducerOption = None,
    with_version: WithVersion = False,  # noqa: FBT002
    check_deterministic: CheckDeterministic = False,  # noqa: FBT002
) -> None:
    """Fold events into state from the log alone, verifying every byte read. Several streams print one line each.

    With --check-deterministic, print no states, but whether they come out the same in processes with another hash seed,
    clock, time zone and locale, and where folding goes on from snapshots; if not, after which event, and exit 1.
    """
    names = streams or []
    if len(names) == 1 and not is_pattern(names[0]):
        moment = read_moment(names[0], until, to)
        if check_deterministic:
            require_streams(context, [moment.stream])
            check_streams(context, [moment.stream], reducer, until=moment.until, to=moment.to)
            return
        found = context.store.replay(moment.stream, reducer=reducer, until=moment.until, to=moment.to)
        require_found(context, found, with_version=with_version)
        print_state(context, found, with_version=with_version)
        return
    if to is not None or any("@" in name for name in names):
        raise Usage(
            "a version belongs to one stream", "use --until for several: evcli replay 'accounts/*' --until yesterday"
        )
    require_streams(context, names)
    if check_deterministic:
        check_streams(context, names, reducer, until=instant(until, end=True))
        return
    states = context.store.replay_all(names, reducer=reducer, until=instant(until, end=True))
    context.out.rows(("stream", "version", "state"), map(state_record, states), empty="no streams")
