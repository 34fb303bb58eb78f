"""``evcli view path``: where a view's SQLite file is."""

from evcli.cli.options import Context
from evcli.cli.views import ViewName, asked_view
from evcli.read_side.upkeep import path_for_others

EXAMPLES = """\
evcli view path stock
sqlite3 "$(evcli view path stock)" 'select key, qty from stock limit 3'"""


def run(context: Context, view: ViewName) -> None:
    """Bring a view up to date, and print the path of its file, which any SQLite tool can read.

    Open it for reading only: a file that something else has written to is made anew. A rebuild puts another one in its
    place, so ask for the path each time.
    """
    with asked_view(context, view) as asked:
        path = path_for_others(asked.kept)
    context.out.text(path)
