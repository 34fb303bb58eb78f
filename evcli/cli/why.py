"""``evcli why``: the event that made something what it is."""

from collections import deque
from collections.abc import Iterable
from typing import Annotated

from evcli.cli.causes import AsView, is_view, print_causes, print_leaves
from evcli.cli.options import Context, ReducerOption, To, Until, instant
from evcli.cli.parameters import Argument, Option
from evcli.cli.states import read_moment
from evcli.domain.pointers import MISSING, parse_pointer
from evcli.errors import NotFound, Usage
from evcli.time_travel.blaming import Cause, Place, all_causes, blame, blame_row, causes, last_cause

EXAMPLES = """\
evcli why accounts/ann /balance
evcli why accounts/ann /balance --all
evcli why accounts/ann@3 /owner -o json
evcli why accounts/ann
evcli why stock SKU-01 /qty"""

Name = Annotated[str, Argument(metavar="STREAM|VIEW", help="A stream, STREAM@VERSION, or a view")]
KeyAndPointer = Annotated[
    list[str] | None,
    Argument(metavar="[KEY] [POINTER]", help="Of a view the row's KEY; a place, as in /items/0 (RFC 6901)"),
]
All = Annotated[bool, Option("--all", help="Every event that changed the place, the first one first")]


def run(
    context: Context,
    name: Name,
    place: KeyAndPointer = None,
    all_: All = False,  # noqa: FBT002
    until: Until = None,
    to: To = None,
    reducer: ReducerOption = None,
    view: AsView = False,  # noqa: FBT002
) -> None:
    """Print the event that last changed a place in a state, with what was there before and after it.

    Without POINTER, print each value of the state with the event that set it. '' is the whole state. In a pipe an
    answer is {"version":…,"event":…,"path":…,"before":…,"after":…,"diff":[…]}; "before" is left out where nothing was.
    """
    words = place or []
    if not is_view(context, name, view=view):
        if len(words) > 1:
            raise Usage(f"{name} is a stream, which has no keys", f"as in: evcli why {name} /balance")
        _explain_stream(context, name, words[0] if words else None, all_, until, to, reducer)
        return
    if to is not None or reducer is not None:
        raise Usage("--to and --reducer are for streams", f"as of a moment: evcli why {name} … --until yesterday")
    if not 1 <= len(words) <= 2:  # noqa: PLR2004 (a key and a pointer)
        raise Usage(f"{name} is a view, and its rows have keys", f"as in: evcli why {name} KEY /qty")
    _explain_row(context, name, words[0], words[1] if len(words) > 1 else None, all_, until)


def _explain_stream(
    context: Context,
    name: str,
    pointer: str | None,
    all_: bool,  # noqa: FBT001
    until: str | None,
    to: int | None,
    reducer: str | None,
) -> None:
    where = _read_place(name, pointer, all_)
    moment = read_moment(name, until, to)
    with context.out.progress(f"looking through {moment.stream}") as progress:
        line = context.store.timeline(moment.stream, reducer=reducer, progress=progress)
        last = line.last_version(until=moment.until, to=moment.to)
        if pointer is None:
            print_leaves(context, blame(line, where, last))
            return
        found: Iterable[Cause]
        if all_:
            found = all_causes(line, where, last)
        else:
            cause = last_cause(line, where, last)
            found = [cause] if cause else []
        if not print_causes(context, found, single=not all_):
            raise _nothing(pointer, f"{moment.stream}@{last}")


def _explain_row(
    context: Context,
    name: str,
    key: str,
    pointer: str | None,
    all_: bool,  # noqa: FBT001
    until: str | None,
) -> None:
    where = _read_place(f"{name} {key}", pointer, all_)
    with context.out.progress(f"looking through {name}") as progress:
        view = context.store.view_timeline(name, until=instant(until, end=True), progress=progress)
        if pointer is None:
            leaves = blame_row(view, key, where)
            if not leaves:
                raise NotFound(f"view {name} has no row {key!r}", f"see what there is: evcli query rows {name}")
            print_leaves(context, leaves)
            return
        found: Iterable[Cause] = causes(key, where, MISSING, view.steps_of(key))
        if not all_:
            found = deque(found, maxlen=1)
        if not print_causes(context, found, single=not all_, key=key):
            raise _nothing(pointer, f"the row {key!r} of view {name}")


def _read_place(name: str, pointer: str | None, all_: bool) -> Place:  # noqa: FBT001
    if pointer is None and all_:
        raise Usage("--all is the history of one place", f"name it, as in: evcli why {name} /balance --all ('' is all)")
    return parse_pointer(pointer or "")


def _nothing(pointer: str, where: str) -> NotFound:
    return NotFound(
        f"nothing has ever been {f'at {pointer} ' * bool(pointer)}in {where}", "see what there is without a pointer"
    )
