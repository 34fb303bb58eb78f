"""``evcli verify``: is every byte what it was?"""

from typing import Annotated

from evcli.cli.options import Context
from evcli.cli.parameters import Option
from evcli.errors import Damaged

EXAMPLES = """\
evcli verify
evcli verify --store /backup/bank -o json
evcli verify --against "$(tail -n 1 checkpoints.txt)"
evcli verify && evcli checkpoint >> checkpoints.txt"""

_COLUMNS = ("kind", "file", "line", "offset", "versions", "positions", "problem", "trust")

Against = Annotated[
    str | None,
    Option("--against", metavar="POSITION:HASH", help="A checkpoint kept elsewhere that must still hold"),
]


def run(context: Context, against: Against = None) -> None:
    """Check every seal and hash, that positions and versions have no gap, and that journal and streams agree.

    With --against, also that the history up to a checkpoint is the one it was taken of: a chain by itself cannot tell
    that it was cut, or replaced as a whole.
    """
    try:
        report = context.store.verify(against=against)
    except Damaged as error:
        findings = error.facts.pop("findings", [])
        context.out.rows(_COLUMNS, findings)
        error.message += f" ({len(findings)} finding{'s' if len(findings) > 1 else ''})"
        error.hint = "nothing was changed; keep a copy, then see what 'evcli repair' would do, or restore a backup"
        raise
    checkpoint = f"{report.head.position}:{report.head.hash}"
    record = {
        "ok": True,
        "streams": report.streams,
        "events": report.events,
        "commits": report.commits,
        "bytes": report.size,
        "in_progress": report.in_progress,
        "checkpoint": checkpoint,
    }
    counted = f"{report.events} events in {report.streams} streams, {report.commits} commits, {report.size} bytes"
    pending = (
        "; one commit is in progress or was cut short, which the next append settles" if report.in_progress else ""
    )
    context.out.record(record, f"all is well: {counted}{pending}; checkpoint {checkpoint}")
