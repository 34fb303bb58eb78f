"""``evcli view retry``: go on with a parked view."""

from evcli.cli.options import Context
from evcli.cli.views import ViewName, kept_view
from evcli.read_side.upkeep import retry

EXAMPLES = """\
evcli view retry stock"""


def run(context: Context, view: ViewName) -> None:
    """Go on with a parked view, from the event that it could not get past: once what failed outside works again.

    A changed definition needs no retry: the view is then folded anew anyway.
    """
    with kept_view(context, view) as kept:
        outcome = retry(kept)
    context.out.record({"view": view, "folded": outcome.folded}, f"view {view} goes on: {outcome.folded} events folded")
