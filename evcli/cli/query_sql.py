"""``evcli query sql``: a SQL statement over the views, each of them a table."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Any

from evcli.asking import SqlResult, ask_sql
from evcli.cli.options import AtLeast, Cached, Context, Timeout, Until
from evcli.cli.parameters import Argument
from evcli.cli.views import Explain, Params, asked_view, explain, read_freshness, read_params
from evcli.storage.view_sql import views_in

EXAMPLES = """\
evcli query sql 'select key, qty from stock where qty < 5 order by qty'
evcli query sql "select count(*) as n, sum(qty) as pieces from stock"
evcli query sql 'select key from stock where qty < :few' --param few:=5 -o csv
evcli query sql "select key, json_extract(value, '$.name') as name from stock limit 3" """.rstrip()


def run(
    context: Context,
    sql: Annotated[
        str, Argument(metavar="SQL", help="One select; tables are views: key, value, version, position, columns")
    ],
    param: Params = None,
    until: Until = None,
    cached: Cached = False,  # noqa: FBT002
    at_least: AtLeast = None,
    timeout: Timeout = "5s",
    show: Explain = False,  # noqa: FBT002
) -> None:
    """Run a select over views. Each view is a table: key, value (JSON), version, position, and its declared columns.

    It only reads: what would write, attach, or reach another file is refused.
    """
    params = read_params(param)
    freshness = read_freshness(context, cached=cached, at_least=at_least, timeout=timeout, until=until)
    names = views_in(sql, [definition.name for definition in context.store.config.views])
    with ExitStack() as stack:
        views = [stack.enter_context(asked_view(context, name)) for name in names]
        result = stack.enter_context(ask_sql(views, sql, params, freshness))
        if show:
            explain(context, result.explained)
        context.out.rows(result.columns, _records(result), empty="no rows")


def _records(result: SqlResult) -> Iterator[dict[str, Any]]:
    return (dict(zip(result.columns, row, strict=True)) for row in result.rows)
