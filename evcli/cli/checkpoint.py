"""``evcli checkpoint``: the whole history in one value."""

from evcli.cli.options import Context

EXAMPLES = """\
evcli checkpoint
evcli checkpoint >> checkpoints.txt
evcli checkpoint -o json"""


def run(context: Context) -> None:
    """Print position:hash of the last commit. Kept elsewhere, it proves later that nothing up to it was changed."""
    head = context.store.head()
    if context.out.requested in (None, "raw"):
        context.out.text(f"{head.position}:{head.hash}")
    else:
        context.out.record({"position": head.position, "hash": head.hash}, f"{head.position}:{head.hash}")
