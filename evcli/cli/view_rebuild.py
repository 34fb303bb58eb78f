"""``evcli view rebuild``: a view's file made anew, beside the one in use."""

from typing import Annotated

from evcli.cli.options import Context, DryRun
from evcli.cli.parameters import Option
from evcli.cli.views import ViewName, kept_view
from evcli.errors import AnswerIsNo
from evcli.read_side.upkeep import RowDifference, rebuild

EXAMPLES = """\
evcli view rebuild stock
evcli view rebuild stock --compare
evcli view rebuild stock --compare --dry-run"""

Compare = Annotated[bool, Option("--compare", help="Print the keys that differ; exit 1 if there are any")]


def run(
    context: Context,
    view: ViewName,
    compare: Compare = False,  # noqa: FBT002
    dry_run: DryRun = False,  # noqa: FBT002
) -> None:
    """Build a view's file from nothing while the one in use goes on answering, then switch to it at once.

    With --compare, print each key whose row differs between the two, as of the same position. With --dry-run, do not
    switch. The file before is kept: 'evcli view rollback' goes back to it.
    """
    found: list[RowDifference] = []
    with kept_view(context, view) as kept:
        outcome = rebuild(kept, report=found.append if compare else None, dry_run=dry_run)
    if compare:
        rows = [difference._asdict() for difference in found]
        context.out.rows(RowDifference._fields, rows, empty="no row differs")
    else:
        what = "would rebuild" if dry_run else "rebuilt"
        record = {"view": view, "folded": outcome.folded, "switched": not dry_run}
        context.out.record(record, f"{what} view {view}: {outcome.folded} events folded")
    if found:
        raise AnswerIsNo(
            f"{len(found)} rows of view {view} {'would differ' if dry_run else 'differ from before'}",
            f"go back with 'evcli view rollback {view}'" if not dry_run else "nothing was switched",
        )
