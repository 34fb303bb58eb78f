"""``evcli view drop``: delete a view's files."""

from evcli.cli.options import Context
from evcli.cli.views import ViewName
from evcli.read_side.upkeep import drop

EXAMPLES = """\
evcli view drop stock"""


def run(context: Context, view: ViewName) -> None:
    """Delete a view's files from the cache, and what was decided to skip. It is folded anew when it is asked for."""
    drop(context.store.kept_view(view))
    context.out.record({"view": view, "dropped": True}, f"dropped the files of view {view}")
