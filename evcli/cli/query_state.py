"""``evcli query state``: the same answer as replay, from the cache and what came since."""

from evcli.cli.options import AtLeast, Cached, Context, ReducerOption, Timeout, To, Until, WithVersion
from evcli.cli.parameters import Argument
from evcli.cli.states import print_state, read_moment, require_found
from evcli.domain.durations import parse_duration
from evcli.domain.names import is_pattern
from evcli.errors import Usage
from evcli.light_typing import Annotated

EXAMPLES = """\
evcli query state accounts/ann
evcli query state accounts/ann /balance
evcli query state accounts/ann --with-version
evcli query state accounts/ann --until yesterday
evcli query state accounts/ann --at-least 42 --timeout 2s"""


def run(
    context: Context,
    stream: Annotated[str, Argument(metavar="STREAM", help="A stream, or STREAM@VERSION")],
    pointer: Annotated[
        str | None, Argument(metavar="[POINTER]", help="A place in the state, as in /items/0 (RFC 6901)")
    ] = None,
    until: Until = None,
    to: To = None,
    reducer: ReducerOption = None,
    with_version: WithVersion = False,  # noqa: FBT002
    cached: Cached = False,  # noqa: FBT002
    at_least: AtLeast = None,
    timeout: Timeout = "5s",
) -> None:
    """Print a stream's state: the newest snapshot, or the nearest before a moment, and what came since."""
    if is_pattern(stream):
        raise Usage(
            f"{stream!r} is a pattern, and a state is one stream's", "for several streams: evcli replay PATTERN"
        )
    moment = read_moment(stream, until, to)
    wait = parse_duration(timeout)
    if cached and (moment.until or moment.to is not None or at_least is not None):
        raise Usage("--cached is the newest state that is cached", "leave out --until, --to and --at-least")
    if at_least is not None:
        context.store.wait_for(at_least, timeout=wait)
    found = context.store.query(moment.stream, reducer=reducer, until=moment.until, to=moment.to, cached=cached)
    require_found(context, found, with_version=with_version)
    print_state(context, found, with_version=with_version, pointer=pointer)
