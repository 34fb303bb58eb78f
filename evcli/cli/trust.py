"""``evcli trust``: allow the code that an evcli.toml names to run."""

import os
from typing import Annotated

from evcli.cli.options import Context, DryRun
from evcli.cli.parameters import Argument, Option
from evcli.errors import NotFound

EXAMPLES = """\
evcli trust .
evcli trust ~/projects/bank
evcli trust --list
evcli trust --remove ~/projects/bank"""


def run(
    context: Context,
    directory: Annotated[
        str, Argument(metavar="[DIR]", help="The directory that holds the evcli.toml; default: here")
    ] = ".",
    list_: Annotated[bool, Option("--list", help="Print the trusted directories")] = False,  # noqa: FBT002
    remove: Annotated[bool, Option("--remove", help="Trust it no longer")] = False,  # noqa: FBT002
    dry_run: DryRun = False,  # noqa: FBT002
) -> None:
    """Let the Python files and programs named by the evcli.toml in DIR run. Read them first."""
    from evcli import places
    from evcli.project.trust import distrust, has_config, trust, trusted

    state = places.state_root(os.environ)
    if list_:
        context.out.rows(("directory",), ({"directory": path} for path in trusted(state)), empty="nothing is trusted")
        return
    path = os.path.realpath(directory)
    if not remove and not has_config(path):
        raise NotFound(f"no evcli.toml in {path}", "name the directory that holds it: evcli trust DIR")
    if not dry_run:
        (distrust if remove else trust)(path, state)
    word = (
        ("would no longer trust" if remove else "would trust")
        if dry_run
        else ("no longer trusted:" if remove else "trusted:")
    )
    record = {"directory": path, "trusted": not remove} | ({"dry_run": True} if dry_run else {})
    context.out.record(record, f"{word} {path}")
