"""``evcli view rollback``: back to the file before."""

from evcli.cli.options import Context
from evcli.cli.views import ViewName
from evcli.read_side.upkeep import roll_back

EXAMPLES = """\
evcli view rollback stock"""


def run(context: Context, view: ViewName) -> None:
    """Put the file before the last rebuild in use again, at once. Doing it twice changes nothing.

    If another definition made that file, queries are answered from it as it stands, until the definition is changed or
    'evcli view rebuild' is run.
    """
    kept = context.store.kept_view(view)
    slot = roll_back(kept)
    frozen = slot.fingerprint != kept.fingerprint
    frozen_text = "; another definition made it, so it stays as it is until evcli.toml changes" if frozen else ""
    record = {"view": view, "fingerprint": slot.fingerprint, "frozen": frozen}
    context.out.record(record, f"view {view} is back at its file before{frozen_text}")
