"""``evcli verify``: is every byte what it was?"""

from evcli.cli.options import Context

EXAMPLES = """\
evcli verify
evcli verify --store ~/backup/bank -o json
evcli verify && evcli checkpoint >> checkpoints.txt"""


def run(context: Context) -> None:
    """Check every seal and hash, that positions and versions have no gap, and that journal and streams agree."""
    report = context.store.verify()
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
    sentence = (
        f"all is well: {report.events} events in {report.streams} streams, {report.commits} commits, {report.size} bytes; "
        f"checkpoint {checkpoint}"
    )
    if report.in_progress:
        sentence += "; one commit is in progress, or was cut short: the next append settles it"
    context.out.record(record, sentence)
