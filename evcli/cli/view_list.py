"""``evcli view list``: the views, and how each one stands."""

from evcli.cli.options import Context
from evcli.read_side.upkeep import status_of

EXAMPLES = """\
evcli view list
evcli view list -o json"""

_COLUMNS = ("view", "state", "position", "lag", "lag_seconds", "rows", "size", "definition")


def run(context: Context) -> None:
    """List the views of evcli.toml: how far each one's file has got, and what it is made by. Nothing is folded."""
    head = context.store.head()
    statuses = [status_of(view, head) for view in context.store.kept_views()]
    rows = [{name: status._asdict()[name] for name in _COLUMNS} for status in statuses]
    context.out.rows(_COLUMNS, rows, empty="no views; 'evcli help views' shows how to declare one")
