"""``evcli repair``: make a damaged store whole out of what is sound in it."""

from typing import Annotated

from evcli.cli.options import AllowNetwork, Context, DryRun, LockWait
from evcli.cli.parameters import Option
from evcli.domain.durations import parse_duration
from evcli.errors import AnswerIsNo

EXAMPLES = """\
evcli repair
evcli repair --yes
evcli repair --salvage --yes"""

Yes = Annotated[bool, Option("--yes", help="Do it; without it nothing is changed")]
Salvage = Annotated[bool, Option("--salvage", help="Put an evcli.gap event in the place of each lost one")]


def run(
    context: Context,
    yes: Yes = False,  # noqa: FBT002
    salvage: Salvage = False,  # noqa: FBT002
    dry_run: DryRun = False,  # noqa: FBT002
    lock_wait: LockWait = "10s",
    allow_network_fs: AllowNetwork = False,  # noqa: FBT002
) -> None:
    """Say what it takes to make a damaged store whole, and do it with --yes. Exit 1 if there is something to do.

    The journal is rebuilt from the streams, byte for byte; bytes that no commit explains are taken away; every file
    that is changed is kept as it was in quarantine/. Where events are lost, restore a backup; or --salvage goes on
    without them, visibly: what follows is sealed anew, and checkpoints taken before no longer match.
    """
    context.allow_network_fs = allow_network_fs
    planned = not yes or dry_run
    steps = context.store.repair(salvage=salvage, dry_run=planned, lock_wait=parse_duration(lock_wait))
    lost = sum(step.lost for step in steps)
    context.out.rows(("file", "action", "lost"), [step._asdict() for step in steps], empty="nothing to repair")
    if steps and planned:
        option = "--salvage --yes" if lost else "--yes"
        raise AnswerIsNo(
            f"the store needs repair{f', and {lost} events are lost' if lost else ''}; nothing was changed",
            f"keep a copy of the store, then do it: evcli repair {option}",
        )
    if lost:
        context.out.note("checkpoints taken before this no longer match; take a new one: evcli checkpoint")
