"""``evcli blame``: ``why`` under the name that git's users know."""

from evcli.cli import why
from evcli.cli.causes import AsView
from evcli.cli.options import Context, ReducerOption, To, Until

EXAMPLES = """\
evcli blame accounts/ann
evcli blame accounts/ann@3
evcli blame accounts/ann /owner
evcli blame stock SKU-01"""


def run(
    context: Context,
    name: why.Name,
    place: why.KeyAndPointer = None,
    all_: why.All = False,  # noqa: FBT002
    until: Until = None,
    to: To = None,
    reducer: ReducerOption = None,
    view: AsView = False,  # noqa: FBT002
) -> None:
    """Print each value of a state with the event that set it; the same as evcli why, under the name that git has for it."""
    why.run(context, name, place, all_=all_, until=until, to=to, reducer=reducer, view=view)
