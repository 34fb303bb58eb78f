"""``evcli shrink``: the fewest events that still fail a check, as a spec."""

from typing import Annotated

from evcli.cli.checks import Expression, Program, read_check
from evcli.cli.options import Context, ReducerOption, Until, instant, split_version
from evcli.cli.parameters import Argument
from evcli.cli.views import Params, read_params
from evcli.domain.names import is_pattern
from evcli.errors import AnswerIsNo, Usage
from evcli.replay import read_events
from evcli.specs.recording import spec_of_state
from evcli.storage.codec import dump, loads
from evcli.time_travel.bisecting import Tally, scan
from evcli.time_travel.shrinking import failing_by, shrink, state_text

EXAMPLES = """\
evcli shrink accounts/ann --check 'balance < 4' > failing.jsonl
evcli shrink accounts/ann --run 'jq -e ".balance < 4"'"""


def run(
    context: Context,
    stream: Annotated[str, Argument(metavar="STREAM", help="A stream, or STREAM@VERSION")],
    check: Expression = None,
    program: Program = None,
    param: Params = None,
    until: Until = None,
    reducer: ReducerOption = None,
) -> None:
    """Print the fewest events of a stream after which a check still fails, as one line: a spec for 'evcli test'.

    It looks at the events up to the first after which the check fails, as bisect finds it, and leaves out whatever is
    not needed for that: without any single one of them it holds. The spec expects that the check holds, so it fails
    until what is wrong is mended; of a program it expects the state as it is. Exit 1 if the check always holds.
    """
    asked = read_check(check, program, read_params(param), example="evcli shrink accounts/ann --check 'balance >= 0'")
    name, first, to = split_version(stream)
    if first or ".." in stream or is_pattern(name):
        raise Usage(f"{stream!r} is more than one stream up to a version", f"write {name.strip('*/') or 'STREAM'}@9")
    with context.out.progress(f"shrinking {name}") as progress:
        line = context.store.timeline(name, reducer=reducer)
        last = line.last_version(until=instant(until, end=True), to=to)
        tally = Tally()
        flips = scan(line, asked.make_check("state", {}), good=0, bad=last, tally=tally)
        broken = next((flip for flip in flips if not flip.holds), None)
        fails = failing_by(name, line.reducer, lambda: asked.make_check("state", {}))
        end = context.store.head().position
        events = list(read_events(context.store.log, name, end=end, to=broken.number)) if broken else []
        if broken is None:
            tally.require_any()
        if not events or not fails(events):
            raise AnswerIsNo(f"the check holds after every event of {name}", "see its states: evcli step " + name)
        kept = shrink(events, fails, progress=progress)
    then = asked.as_then() or {"state": loads(state_text(name, line.reducer, kept))}
    title = f"{name}@{events[-1]['version']} {check or program}"
    context.out.line(dump(spec_of_state(title, name, kept, then)))
