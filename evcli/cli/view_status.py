"""``evcli view status``: how one view stands."""

from evcli.cli.options import Context
from evcli.cli.views import ViewName
from evcli.read_side.upkeep import status_of

EXAMPLES = """\
evcli view status stock"""


def run(context: Context, view: ViewName) -> None:
    """Print how a view stands: its checkpoint, what came since, its file, and the event that it is parked at."""
    kept = context.store.kept_view(view)
    status = status_of(kept, context.store.head())
    found = status._asdict() | {"from": list(kept.definition.patterns)}
    if not status.problem:
        found["fingerprint"] = kept.fingerprint
    found["parked"] = status.parked and {
        name: value for name, value in status.parked._asdict().items() if name != "fingerprint"
    }
    context.out.value(found)
