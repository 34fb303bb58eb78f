"""``evcli init``: a store of one's own, here."""

import os
from typing import Annotated

from evcli.api import Store
from evcli.cli.options import AllowNetwork, Context, DryRun, LockWait
from evcli.cli.parameters import Argument
from evcli.domain.durations import parse_duration
from evcli.errors import Usage
from evcli.storage.files import replace_file

EXAMPLES = """\
evcli init
evcli init ~/projects/bank"""

_CONFIG = """\
# How streams become state; 'evcli help reducers' has it all. The first pattern that matches counts.
# Without a line here, a stream's state is the merge of its events' data (reducer = "merge").

# [streams."accounts/*"]
# reducer = "bank.py"                    # merge, count, last, list, a Python file, or "exec:PROGRAM"

# decider = "bank.py"                    # what decides on commands ('evcli do'); see 'evcli help deciders'

# [streams."inventory/**".reducer]       # or rules
# initial = { qty = 0 }
# [streams."inventory/**".reducer.on]
# "item.received" = { inc = { qty = "/data/qty" } }
"""


def run(
    context: Context,
    directory: Annotated[str, Argument(metavar="[DIR]", help="Where; default: here")] = ".",
    dry_run: DryRun = False,  # noqa: FBT002
    lock_wait: LockWait = "10s",
    allow_network_fs: AllowNetwork = False,  # noqa: FBT002
) -> None:
    """Make a .evcli store in DIR, which every evcli below DIR then uses, and an evcli.toml beside it to edit."""
    if context.store_option is not None:
        raise Usage(
            "init takes the directory as its argument, not as --store", "for example: evcli init ~/projects/bank"
        )
    root = os.path.join(os.path.abspath(directory), ".evcli")
    config = os.path.join(os.path.abspath(directory), "evcli.toml")
    made = [] if Store.open(root).exists else [root]
    made += [] if os.path.lexists(config) else [config]
    if not dry_run:
        os.makedirs(directory, exist_ok=True)
        identity = Store.open(root, allow_network_fs=allow_network_fs).create(lock_wait=parse_duration(lock_wait))
        if config in made:
            replace_file(config, _CONFIG.encode(), durable=False)
        record = {"store": root, "id": identity, "made": made}
    else:
        record = {"store": root, "would_make": made}
    verb = "would make" if dry_run else "made"
    if (named := os.environ.get("EVCLI_STORE")) and Store.open().location != root:
        context.out.note(f"EVCLI_STORE names another store: {named}")
    context.out.record(record, f"{verb} {' and '.join(made)}" if made else f"{root} is a store already")
