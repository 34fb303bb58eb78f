"""``evcli query rows``: the rows of a view that a SQL expression selects."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

from evcli.cli.options import AtLeast, Cached, Context, Timeout, Until
from evcli.cli.parameters import Option
from evcli.cli.views import Explain, Params, ViewName, asked_view, explain, read_freshness, read_params
from evcli.errors import Usage
from evcli.storage.codec import dump, loads
from evcli.storage.view_file import Row
from evcli.storage.view_sql import RowQuery

EXAMPLES = """\
evcli query rows stock
evcli query rows stock --where 'qty < 5' --sort -qty
evcli query rows stock --where 'qty < :few and name like :name' --param few:=5 --param 'name=%mug%'
evcli query rows stock --fields key,qty -o csv
evcli query rows stock --until yesterday --limit 3"""


def run(
    context: Context,
    view: ViewName,
    where: Annotated[
        str | None,
        Option("--where", metavar="EXPR", help="A SQL expression; a name is a column or a member of the value"),
    ] = None,
    param: Params = None,
    sort: Annotated[
        str | None, Option("--sort", metavar="NAME[,-NAME]", help="By these; with a minus, the largest first")
    ] = None,
    limit: Annotated[int | None, Option("--limit", metavar="N", min=0, max=sys.maxsize, help="At most N")] = None,
    fields: Annotated[
        str | None, Option("--fields", metavar="NAME[,NAME]", help="Only these: key, version, position, members")
    ] = None,
    until: Until = None,
    cached: Cached = False,  # noqa: FBT002
    at_least: AtLeast = None,
    timeout: Timeout = "5s",
    show: Explain = False,  # noqa: FBT002
) -> None:
    """Print rows of a view, one {"key":…,"value":…} a line in a pipe; by key, unless --sort says otherwise.

    A name in --where that is no column is the value's member of that name, NULL where there is none. Values that come
    from elsewhere belong in --param, never in the expression's text.
    """
    freshness = read_freshness(context, cached=cached, at_least=at_least, timeout=timeout, until=until)
    query = RowQuery(where, read_params(param), _names(sort, "--sort"), limit)
    wanted = _names(fields, "--fields")
    with asked_view(context, view) as asked, asked.open(freshness) as answer:
        if show:
            explain(context, [answer.explained])
        rows = answer.view.rows(query)
        if wanted:
            context.out.rows(wanted, (_select(row, wanted) for row in rows), empty="no such rows")
        elif context.out.format in ("table", "csv"):
            columns = ("key", *(asked.kept.definition.columns or ("value",)))
            context.out.rows(columns, (_select(row, columns) for row in rows), empty="no such rows")
        else:
            context.out.texts(b'{"key":' + dump(row.key) + b',"value":' + row.value + b"}" for row in rows)


def _names(text: str | None, option: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text is not None else ()
    if not all(name.strip("-") for name in names):
        raise Usage(f"{option} has an empty name", f"as in {option} key,qty")
    return names


def _select(row: Row, names: Sequence[str]) -> dict[str, Any]:
    value = loads(row.value)
    members = value if isinstance(value, dict) else {}
    own: dict[str, Any] = {**row._asdict(), "value": value}
    return {name: own[name] if name in own else members.get(name) for name in names}
