"""``evcli work``: the worker that keeps all views current."""

import signal
from types import FrameType
from typing import Annotated

import typer

from evcli.cli.options import Context
from evcli.errors import AnswerIsNo, EvcliError
from evcli.read_side.keeping import KeptView, Outcome
from evcli.read_side.working import work, work_once

EXAMPLES = """\
evcli work
evcli work --once"""


class _Terminated(BaseException):
    pass


def run(
    context: Context,
    once: Annotated[bool, typer.Option("--once", help="Bring all views up to date and exit, as for cron")] = False,  # noqa: FBT002
) -> int:
    """Keep every view current until stopped, so that queries find nothing left to fold.

    A view that fails on an event is parked there, and the others go on: 'evcli view status' shows it, 'view retry' or
    'view skip' ends it. Several workers share the views. With --once, exit 1 if a view is parked.
    """

    def report(view: KeptView, outcome: Outcome | EvcliError) -> None:
        if isinstance(outcome, EvcliError):
            context.out.note(f"view {view.name}: {outcome}")
        elif outcome.folded or outcome.rebuilt:
            why = f" ({outcome.rebuilt})" if outcome.rebuilt else ""
            context.out.note(f"view {view.name}: {outcome.folded} events folded{why}")

    signal.signal(signal.SIGTERM, _terminate)
    try:
        if once:
            if not work_once(context.store.kept_views(), report):
                raise AnswerIsNo("not all views are current", "see 'evcli view list'")
            return 0
        work(context.store.log, context.store.kept_views, report)
    except _Terminated:  # whatever was being folded is rolled back, or is a file that nobody uses yet
        return 128 + signal.SIGTERM
    return 0


def _terminate(_signum: int, _frame: FrameType | None) -> None:
    raise _Terminated
