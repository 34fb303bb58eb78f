"""``evcli view skip``: leave out the event that a view is parked at."""

from evcli.cli.options import Context, DryRun
from evcli.cli.views import ViewName, kept_view
from evcli.read_side.upkeep import parked_at, skip

EXAMPLES = """\
evcli view skip stock --dry-run
evcli view skip stock"""


def run(context: Context, view: ViewName, dry_run: DryRun = False) -> None:  # noqa: FBT002
    """Leave out, for good, the event that a view could not get past, and go on after it.

    The decision is kept with the user's records, not in the cache, and holds for this definition of the view.
    """
    with kept_view(context, view) as kept:
        parked = parked_at(kept) if dry_run else skip(kept)
    what = "would leave out" if dry_run else "leaves out"
    record = {"view": view, "stream": parked.stream, "version": parked.version, "position": parked.position}
    context.out.record(
        record | {"skipped": not dry_run},
        f"view {view} {what} {parked.stream}@{parked.version} (position {parked.position})",
    )
