"""``evcli diff``: what changed between two states, or in the rows of a view."""

from typing import Annotated

from evcli.cli.causes import AsView, is_view
from evcli.cli.options import Context, ReducerOption, Until, instant, split_version
from evcli.cli.parameters import Argument, Option
from evcli.domain.instants import just_before
from evcli.errors import Usage
from evcli.read_side.views import Freshness, View
from evcli.storage.codec import loads
from evcli.time_travel.differing import Side, changes_between_rows, changes_between_states

EXAMPLES = """\
evcli diff accounts/ann@2 accounts/ann@5
evcli diff accounts/ann --since yesterday
evcli diff accounts/ann@3..5 -o json
evcli diff accounts/ann accounts/eve --until yesterday
evcli diff stock --since '3 days ago'"""

Since = Annotated[str | None, Option("--since", metavar="TIME", help="What the events from TIME on have changed")]
Till = Annotated[
    int | None, Option("--to", metavar="VERSION", min=0, help="Up to and including VERSION, of one stream")
]


def run(
    context: Context,
    one: Annotated[str, Argument(metavar="STREAM[@VERSION]|VIEW", help="What it was; STREAM@A..B is its events")],
    other: Annotated[
        str | None, Argument(metavar="[STREAM[@VERSION]]", help="What it is; left out: the same stream, now")
    ] = None,
    since: Since = None,
    until: Until = None,
    to: Till = None,
    reducer: ReducerOption = None,
    view: AsView = False,  # noqa: FBT002
) -> int:
    """Print what changed between two states of a stream, between two streams, or in a view since TIME.

    In a pipe it is a JSON Patch (RFC 6902), one operation a line (-o json: as one array); a view is patched as an
    object of its rows by key. STREAM@3..5 is what events 3 to 5 changed, STREAM@3 alone what all since version 3 have.
    1 and 1.0 are the same. The exit code is 1 if anything is different, as diff has it.
    """
    if is_view(context, one, view=view):
        if other is not None or to is not None or reducer is not None:
            raise Usage(
                "a view is compared with itself, as of two moments",
                f"as in: evcli diff {one} --since yesterday --until today",
            )
        return _diff_view(context, one, since, until)
    first, second = _read_sides(context, (one, other), since=since, until=until, to=to, reducer=reducer)
    changes = list(changes_between_states(first, second))
    context.out.changes(changes)
    return int(bool(changes))


def _diff_view(context: Context, name: str, since: str | None, until: str | None) -> int:
    start = instant(since)
    if start is None:
        raise Usage(f"{name} is a view, and it is not said since when", "as in: evcli diff VIEW --since yesterday")
    end = instant(until, end=True)
    _check_order(start, end)
    with context.out.progress(f"folding {name}") as progress:
        asked = View(context.store.kept_view(name, cached=False, progress=progress))
        moments = Freshness(until=just_before(start)), Freshness(until=end)
        with asked.open(moments[0]) as before, asked.open(moments[1]) as after:
            old, new = ((row.key, loads(row.value)) for row in before.view.rows()), after.view.rows()
            changes = list(changes_between_rows(old, ((row.key, loads(row.value)) for row in new)))
    context.out.changes(changes)
    return int(bool(changes))


def _read_sides(
    context: Context,
    names: tuple[str, str | None],
    *,
    since: str | None,
    until: str | None,
    to: int | None,
    reducer: str | None,
) -> tuple[Side, Side]:
    """Return what is compared with what.

    Raises:
        Usage: If it is not said, or said twice.
    """
    start, end = instant(since), instant(until, end=True)
    (name, before, last), is_range = split_version(names[0]), ".." in names[0]
    line = context.store.timeline(name, reducer=reducer)
    if names[1] is not None:
        if start is not None or to is not None or is_range or ".." in names[1]:
            raise Usage(
                "two states are compared as of one version each", f"write {name}@2 {name}@5, with --until at most"
            )
        second, _, other_last = split_version(names[1])
        other = line if second == name else context.store.timeline(second, reducer=reducer)
        return Side(line, line.last_version(until=end, to=last)), Side(
            other, other.last_version(until=end, to=other_last)
        )
    if start is not None:
        if "@" in names[0]:
            raise Usage("it is said twice where to begin", f"write {name} --since {since}, and where to end with --to")
        _check_order(start, end)
        before = line.version_before(start)
    elif is_range:
        if last is not None and to is not None:
            raise Usage("a version is given twice", f"write either {names[0]} or --to {to}")
        to = to if last is None else last
    elif last is not None:
        before = last
    else:
        raise Usage(
            f"it is not said what {name} is compared with", f"as in: evcli diff {name} --since yesterday, or {name}@3"
        )
    return Side(line, line.last_version(to=before)), Side(line, line.last_version(until=end, to=to))


def _check_order(start: str, end: str | None) -> None:
    if end is not None and end < start:
        raise Usage("--until is before --since", "name the earlier time with --since")
