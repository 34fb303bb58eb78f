"""``evcli query get``: one row of a view, by its key."""

from evcli.cli.options import AtLeast, Cached, Context, Timeout, Until
from evcli.cli.parameters import Argument, Option
from evcli.cli.views import Explain, ViewName, asked_view, explain, read_freshness
from evcli.domain.pointers import MISSING, parse_pointer, resolve
from evcli.errors import NotFound
from evcli.light_typing import Annotated
from evcli.storage.codec import loads

EXAMPLES = """\
evcli query get stock SKU-01
evcli query get stock SKU-01 /qty
evcli query get stock SKU-01 --until yesterday
evcli query get stock SKU-01 --cached --explain"""

RowVersion = Annotated[
    bool, Option("--with-version", help="Print key, version and position of the last event with the value")
]


def run(
    context: Context,
    view: ViewName,
    key: Annotated[str, Argument(metavar="KEY", help="The row's key")],
    pointer: Annotated[
        str | None, Argument(metavar="[POINTER]", help="A place in the row, as in /items/0 (RFC 6901)")
    ] = None,
    until: Until = None,
    with_version: RowVersion = False,  # noqa: FBT002
    cached: Cached = False,  # noqa: FBT002
    at_least: AtLeast = None,
    timeout: Timeout = "5s",
    show: Explain = False,  # noqa: FBT002
) -> None:
    """Print one row of a view: the value of a key, from the snapshot file and what came since."""
    freshness = read_freshness(context, cached=cached, at_least=at_least, timeout=timeout, until=until)
    with asked_view(context, view) as asked, asked.open(freshness) as answer:
        row = answer.view.get(key)
    if show:
        explain(context, [answer.explained])
    if row is None:
        raise NotFound(
            f"view {view} has no row {key!r}", f"see what there is: evcli query rows {view}", view=view, key=key
        )
    value = loads(row.value)
    if pointer is not None:
        value = resolve(value, parse_pointer(pointer))
        if value is MISSING:
            raise NotFound(
                f"the row {key!r} of view {view} has nothing at {pointer}", "see the whole row without a pointer"
            )
    if with_version:
        value = {"key": row.key, "version": row.version, "position": row.position, "value": value}
    context.out.value(value)
