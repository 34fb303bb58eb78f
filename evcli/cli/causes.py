"""What the commands of time travel have in common: what a name means, and how an event and its changes are shown."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, NamedTuple

from evcli.cli.options import Context
from evcli.cli.parameters import Option
from evcli.domain.events import place_of
from evcli.domain.names import is_pattern
from evcli.domain.patches import Change, to_operation
from evcli.domain.pointers import MISSING, spell_pointer
from evcli.errors import Usage
from evcli.storage.codec import dump, loads
from evcli.time_travel.blaming import Cause, Leaf

AsView = Annotated[bool, Option("--view", "--views", help="The name is a view's, although a stream has it as well")]

_CAUSE_COLUMNS: Final = ("version", "time", "type", "actor", "path", "before", "after")
_LEAF_COLUMNS: Final = ("path", "value", "event", "time", "type", "actor")


class Shown(NamedTuple):
    """An event, as it is stored (None: what the reducer began with), and what it changed.

    ``at`` says where it stands, in JSON (``version``; of a view ``position`` and ``key``), ``more`` what else is known.
    """

    at: Mapping[str, Any]
    line: bytes | None
    changes: list[Change]
    more: Mapping[str, Any]


def is_view(context: Context, name: str, *, view: bool) -> bool:
    """Say whether a name is a view's: it is where no stream has it, or where ``view`` says so.

    Raises:
        Usage: If it is a pattern.
    """
    if is_pattern(name):
        raise Usage(
            f"{name!r} is a pattern, and this is about one stream or view", "see which there are: evcli streams"
        )
    plain = name.partition("@")[0]
    return view or (not context.store.version(plain) and any(plain == view.name for view in context.store.config.views))


def print_events(context: Context, shown: Iterable[Shown], *, single: bool) -> int:
    """Print events with what they changed, as they come, and return how many there were; ``single`` prints one as itself."""
    out, count = context.out, 0

    def counted() -> Iterator[Shown]:
        nonlocal count
        for one in shown:
            count += 1
            yield one

    if out.format in ("table", "csv"):
        for one in counted():
            _print_for_people(context, one, is_first=count == 1)
    elif not single:
        out.texts(map(_as_json, counted()))
    else:
        texts = list(map(_as_json, counted()))
        if texts:
            out.line(texts[0])
    return count


def print_causes(context: Context, causes: Iterable[Cause], *, single: bool, key: str | None = None) -> int:
    """Print causes, of a view's row under its ``key``; see `print_events`."""
    return print_events(context, (_show_cause(cause, key) for cause in causes), single=single)


def print_leaves(context: Context, leaves: Iterable[Leaf]) -> None:
    """Print leaves, each with the event that set it."""
    if context.out.format in ("table", "csv"):
        context.out.rows(_LEAF_COLUMNS, map(_leaf_row, leaves), times=("time",), empty="there is nothing in it")
        return
    context.out.texts(
        _with_event({"path": spell_pointer(leaf.place), "value": leaf.value, "version": leaf.version}, leaf.line, {})
        for leaf in leaves
    )


def _show_cause(cause: Cause, key: str | None) -> Shown:
    at: dict[str, Any] = {"version": cause.version}
    if key is not None:
        at = {"position": loads(cause.line)["position"] if cause.line else 0, "key": key}
    values = {"before": cause.before, "after": cause.after}
    more = {"path": spell_pointer(cause.place)} | {name: one for name, one in values.items() if one is not MISSING}
    return Shown(at, cause.line, cause.changes(), more)


def _print_for_people(context: Context, shown: Shown, *, is_first: bool) -> None:
    # As in a diff of the view, the place of a row begins with its key.
    key = (shown.at["key"],) if "key" in shown.at else ()
    changes = [change._replace(place=key + change.place) for change in shown.changes]
    if context.out.format == "csv":
        context.out.rows(_CAUSE_COLUMNS, [_change_row(shown, change) for change in changes])
        return
    if not is_first:
        context.out.text("")
    if shown.line is None:
        context.out.text("what the reducer begins with")
    else:
        context.out.events([shown.line], about_first=True)
    context.out.changes(changes)
    if "holds" in shown.more:
        context.out.text(f"  the check {'holds' if shown.more['holds'] else 'fails'} from here on")


def _change_row(shown: Shown, change: Change) -> dict[str, Any]:
    event = loads(shown.line) if shown.line else {}
    known = {"version": event.get("version", 0), "time": event.get("time"), "type": event.get("type")}
    known |= {"actor": event.get("meta", {}).get("actor"), "path": spell_pointer(change.place)}
    sides = {"before": change.before, "after": change.after}
    return known | {name: dump(value).decode() for name, value in sides.items() if value is not MISSING}


def _leaf_row(leaf: Leaf) -> dict[str, Any]:
    event = loads(leaf.line) if leaf.line else {}
    return {
        "path": spell_pointer(leaf.place),
        "value": dump(leaf.value).decode(),
        "event": place_of(event) if event else "(initial)",
        "time": event.get("time"),
        "type": event.get("type"),
        "actor": event.get("meta", {}).get("actor"),
    }


def _as_json(shown: Shown) -> bytes:
    diff = [to_operation(change) for change in shown.changes]
    return _with_event(shown.at, shown.line, {**shown.more, "diff": diff})


def _with_event(at: Mapping[str, Any], line: bytes | None, more: Mapping[str, Any]) -> bytes:
    """Return a JSON object with an event in it just as it is stored."""
    rest = b"," + dump(more)[1:] if more else b"}"
    return dump(at)[:-1] + b',"event":' + (line or b"null") + rest
