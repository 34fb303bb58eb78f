"""``evcli bisect``: the first event after which a check fails."""

import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Annotated, Any, NamedTuple

from evcli.cli.causes import AsView, Shown, is_view, print_events
from evcli.cli.checks import Asked, Expression, Program, read_check
from evcli.cli.options import Context, ReducerOption, Until, instant, split_version
from evcli.cli.parameters import Argument, Option
from evcli.cli.views import Params, read_params
from evcli.errors import NotFound, Usage
from evcli.storage.codec import dump
from evcli.time_travel.bisecting import Flip, Tally, scan, scan_view, search
from evcli.time_travel.checking import Subject
from evcli.time_travel.timeline import Progress

EXAMPLES = """\
evcli bisect accounts/ann --check 'coalesce(balance, 0) >= 0'
evcli bisect accounts/ann --check 'balance < :most' --param most:=4 --all
evcli bisect accounts/ann --run 'jq -e ".balance < 4"' --good 2 --bad 5 -o json
evcli bisect accounts/ann --check 'balance < 4' --monotone
evcli bisect stock --check 'qty >= 0'"""


Good = Annotated[
    int, Option("--good", metavar="VERSION", min=0, max=sys.maxsize, help="All is well there: look after it")
]
Bad = Annotated[
    int | None, Option("--bad", metavar="VERSION", min=1, max=sys.maxsize, help="Look no further than there")
]
All = Annotated[bool, Option("--all", help="Every event after which the check answers otherwise")]
Monotone = Annotated[bool, Option("--monotone", help="What fails once goes on failing: search from snapshots instead")]


class _Question(NamedTuple):
    """What is asked, between which versions (or positions), and how to look."""

    asked: Asked
    good: int
    bad: int | None
    until: str | None
    monotone: bool


def run(
    context: Context,
    name: Annotated[str, Argument(metavar="STREAM|VIEW", help="A stream, STREAM@A..B, or a view")],
    check: Expression = None,
    program: Program = None,
    param: Params = None,
    good: Good = 0,
    bad: Bad = None,
    all_: All = False,  # noqa: FBT002
    monotone: Monotone = False,  # noqa: FBT002
    until: Until = None,
    reducer: ReducerOption = None,
    view: AsView = False,  # noqa: FBT002
) -> int:
    """Print the first event after which a check fails, with what it changed, and exit with 1; 0 if it always holds.

    EXPR is what query rows --where takes: a name is the state's member of that name, and NULL is not true. Of a view,
    all rows are to pass, EXPR is over a row, and --good and --bad are positions. In a pipe an answer is
    {"version":…,"event":…,"diff":[…]}, with "skipped" if states right before it could not be judged.
    """
    asked = read_check(check, program, read_params(param), example=f"evcli bisect {name} --check 'qty >= 0'")
    if all_ and monotone:
        raise Usage("--monotone says that there is one event to find", "leave out --all")
    question = _Question(asked, good, bad, instant(until, end=True), monotone)
    tally = Tally()
    with context.out.progress(f"looking through {name}") as progress:
        if is_view(context, name, view=view):
            if reducer is not None:
                raise Usage("--reducer is for streams", "what a view is made by stands in evcli.toml")
            flips = _look_through_view(context, name, question, tally, progress)
        else:
            flips = _look_through_stream(context, name, question, tally, progress, reducer)
        told = _told(context, flips, asked, all_=all_)
        count = print_events(context, told, single=not all_)
    tally.require_any()
    if not count:
        if context.out.format == "json" and not all_:
            context.out.line(b"null")
        _tell_end(context, tally)
    return int(count > 0)


def _look_through_view(
    context: Context, name: str, question: _Question, tally: Tally, progress: Progress | None
) -> Iterable[Flip]:
    if question.monotone:
        raise Usage("--monotone is for streams", "a view has no older snapshots to search from: leave it out")
    _check_range(question.good, question.bad)
    rows = context.store.view_timeline(name, until=question.until, to_position=question.bad, progress=progress)
    return scan_view(rows, question.asked.make_check(rows.name, rows.columns), good=question.good, tally=tally)


def _look_through_stream(
    context: Context, name: str, question: _Question, tally: Tally, progress: Progress | None, reducer: str | None
) -> Iterable[Flip]:
    stream, good, bad = _read_range(name, question.good, question.bad)
    line = context.store.timeline(stream, reducer=reducer, progress=progress)
    if good > line.version:
        raise NotFound(f"{stream} has no version {good}", f"its last one is {line.version}")
    last = line.last_version(until=question.until, to=bad)
    check = question.asked.make_check("state", {})
    if not question.monotone:
        return scan(line, check, good=good, bad=last, tally=tally)
    found = search(line, check, good=good, bad=last, tally=tally)
    return [found] if found else []


def _read_range(name: str, good: int, bad: int | None) -> tuple[str, int, int | None]:
    """Return the stream, and between which versions to look."""
    stream, before, last = split_version(name)
    if (before and good) or (last is not None and bad is not None):
        raise Usage("a version is given twice", f"write either {name}, or {stream} with --good and --bad")
    good, bad = good or before, last if bad is None else bad
    _check_range(good, bad)
    return stream, good, bad


def _check_range(good: int, bad: int | None) -> None:
    if bad is not None and good >= bad:
        raise Usage(f"there is nothing between --good {good} and --bad {bad}", "name a later one with --bad")


def _told(context: Context, flips: Iterable[Flip], asked: Asked, *, all_: bool) -> Iterable[Shown]:
    for number, flip in enumerate(islice(flips, None if all_ else 1)):
        if number == 0:
            _tell_doubts(context, flip, asked)
        at = {"version": flip.number} if flip.key is None else {"position": flip.number, "key": flip.key}
        more: dict[str, Any] = {"holds": flip.holds} if all_ else {}
        if flip.skipped:
            more["skipped"] = list(flip.skipped)
            context.out.note(f"{_spell(flip.skipped)}: one of those may be the event")
        yield Shown(at, flip.line, flip.changes(), more)


def _tell_doubts(context: Context, flip: Flip, asked: Asked) -> None:
    """Say where the first answer may be of the question and not of the events: it is what is blamed otherwise."""
    if flip.key is not None:
        return
    if unknown := asked.unknown_names((flip.before, flip.after)):
        names = ", ".join(map(repr, unknown))
        context.out.note(f"there is no member {names} before or after event {flip.number}; a name of nothing is NULL")
    initial = Subject("", dump(flip.before), 0, 0)
    if flip.number == 1 and asked.make_check("state", {}).judge(initial) == "bad":
        context.out.note("the check fails before the first event already: begin later with --good VERSION, or mend it")


def _spell(skipped: Sequence[int]) -> str:
    if len(skipped) == 1:
        return f"what {skipped[0]} led to could not be judged"
    return f"what {skipped[0]} to {skipped[-1]} led to could not be judged"


def _tell_end(context: Context, tally: Tally) -> None:
    """Say what it means that nothing was found, where somebody reads it."""
    if tally.skipped:
        asked = tally.judged + tally.skipped
        context.out.note(f"the check holds wherever it could judge: of {asked} states it skipped {tally.skipped}")
    elif context.out.on_terminal:
        context.out.note(f"the check holds after each of {tally.judged} events")
