"""``evcli replay``: state from the log itself, as of any moment; also of another history, or by another reducer."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from evcli.api import Store
from evcli.cli.comparison import Against, print_comparison
from evcli.cli.determinism import check_streams
from evcli.cli.extents import check_moments, is_one_stream, read_extents
from evcli.cli.options import CheckDeterministic, Context, ReducerOption, To, Until, WithVersion, instant
from evcli.cli.parameters import Argument, Option
from evcli.cli.profile import print_profiled
from evcli.cli.states import print_state, read_moment, require_found, require_streams, state_record
from evcli.cli.what_if import Decide, Insert, Set, Without, print_supposed, read_supposition
from evcli.domain.names import select_by
from evcli.errors import Usage
from evcli.time_travel.replaying import Opened, opened, replay_streams

EXAMPLES = """\
evcli replay accounts/ann
evcli replay accounts/ann --until 'last tuesday'
evcli replay accounts/ann@3
evcli replay --until yesterday
evcli replay 'accounts/*' --reducer count
evcli replay accounts/ann --without 3 --without 'type=coupon.*'
evcli replay accounts/ann --insert events.jsonl@2 --set 3/data/amount:=4 --diff || echo 'it matters'
evcli replay '**' --reducer bank.py --against new.py
evcli replay accounts/ann --profile
evcli replay accounts/ann --check-deterministic"""

Diff = Annotated[bool, Option("--diff", help="Print what would then differ from reality; exit 1 if anything")]
Profiled = Annotated[bool, Option("--profile", help="Say on standard error where the time went")]


def run(
    context: Context,
    streams: Annotated[
        list[str] | None,
        Argument(metavar="[STREAM|PATTERN]...", help="A name, STREAM@VERSION, patterns; none is all"),
    ] = None,
    until: Until = None,
    to: To = None,
    reducer: ReducerOption = None,
    with_version: WithVersion = False,  # noqa: FBT002
    without: Without = None,
    insert: Insert = None,
    set: Set = None,  # noqa: A002 (what it does)
    decide: Decide = False,  # noqa: FBT002
    diff: Diff = False,  # noqa: FBT002
    against: Against = None,
    profile: Profiled = False,  # noqa: FBT002
    check_deterministic: CheckDeterministic = False,  # noqa: FBT002
) -> int:
    """Fold events into state from the log alone, verifying every byte read. Several streams print one line each.

    What if: --without, --insert and --set fold another history of one stream, in memory; V is a version of the stored
    one. Events keep their versions; what is inserted has the version, and unless it says otherwise the time, of the
    event before it. --set takes fields as append does: =TEXT, :=JSON. --decide judges the recorded commands again: the
    events of one that would then be rejected are left out, and it is told of on standard error.

    --against compares two reducers: a line for each stream whose states differ, with the first event after which they
    do, the place and both values there, and whether they do in the end; exit 1 if there is any. States are compared
    after each event; where a program folds, or states are large, after up to 1,000, and the event is found by halving.

    --check-deterministic tells whether the states come out the same in processes with another hash seed, clock, time
    zone and locale, and where folding goes on from snapshots; if not, after which event, and exit 1.
    """
    names = streams or []
    supposition = read_supposition(without, insert, set, decide=decide)
    asked = {"--against": against is not None, "--profile": profile, "--check-deterministic": check_deterministic}
    _check_together(asked, supposed=supposition is not None, diff=diff, with_version=with_version)
    if supposition is not None:
        more = {"decide": decide, "diff": diff, "with_version": with_version}
        return print_supposed(context, names, (until, to), reducer, supposition, **more)
    if against is not None:
        return print_comparison(context, read_extents(context, names, until, to), reducer, against)
    if check_deterministic:
        check_streams(context, read_extents(context, names, until, to), reducer)
    elif profile:
        print_profiled(context, read_extents(context, names, until, to), reducer, with_version=with_version)
    else:
        _print_states(context, names, (until, to), reducer, with_version=with_version)
    return 0


def _print_states(
    context: Context,
    names: Sequence[str],
    moment: tuple[str | None, int | None],
    reducer: str | None,
    *,
    with_version: bool,
) -> None:
    until, to = moment
    if is_one_stream(names):
        read = read_moment(names[0], until, to)
        found = context.store.replay(read.stream, reducer=reducer, until=read.until, to=read.to)
        require_found(context, found, with_version=with_version)
        print_state(context, found, with_version=with_version)
    else:
        check_moments(names, to)
        require_streams(context, names)
        streams = list(filter(select_by(names), context.store.log.streams()))
        opener = partial(_open, context.store_option, context.config_option, reducer)
        end = context.store.head().position
        states = replay_streams(opener, streams, end=end, until=instant(until, end=True))
        context.out.rows(("stream", "version", "state"), map(state_record, states), empty="no streams")


def _open(store: str | None, config: str | None, reducer: str | None) -> Opened:
    found = Store.open(store, config=config)
    return opened(found.log, found.definition, reducer)


def _check_together(asked: dict[str, bool], *, supposed: bool, diff: bool, with_version: bool) -> None:
    kinds = {**asked, "--without, --insert, --set and --decide": supposed}
    if len(chosen := [name for name, is_chosen in kinds.items() if is_chosen]) > 1:
        raise Usage(f"{chosen[0]} does not go with {chosen[1]}", "ask one thing after the other")
    if diff and not supposed:
        raise Usage("--diff lays what if beside what is", "say what if: --without, --insert, --set or --decide")
    if with_version and (diff or asked["--against"] or asked["--check-deterministic"]):
        raise Usage("--with-version goes with a state", "leave it out: what is printed here are differences")
