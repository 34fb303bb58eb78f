"""How receipts and plans are printed."""

from collections.abc import Collection, Mapping

from evcli.cli.options import Context
from evcli.cli.output import check_field
from evcli.errors import BadConfig, CodeFailed, NotTrusted, Usage
from evcli.light_typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from evcli.domain.reducers import ReducerDefinition
    from evcli.replay import StreamState
    from evcli.storage.contract import Plan, Receipt

MOST_NAMED: Final = 3
FIELDS: Final = ("stream", "version", "position", "count", "time", "repeated", "writes")


def check_print(field: str | None, names: Collection[str], *, dry_run: bool) -> None:
    """Do nothing if what ``--print`` asks for, if anything, will be there to print.

    Raises:
        Usage: If there is no such field, or nothing is to be stored.
    """
    if field is not None:
        check_field(field, names)
        if dry_run:
            raise Usage("--print prints what was stored, and --dry-run stores nothing", "leave one of them out")


def print_receipt(context: Context, receipt: "Receipt", *, field: str | None = None, kind: str | None = None) -> None:
    """Print a receipt: JSON in a pipe, a sentence on a terminal, one field where it is asked for."""
    context.tell_new_store()
    record = receipt.as_json()
    if field is not None:  # whatever the receipt, each field has a value: the events are stored by now
        record = {**every_field(receipt), **record}
    context.out.record(record, _sentence(receipt, kind), field=field)


def every_field(receipt: "Receipt") -> dict[str, Any]:
    """Return what each of `FIELDS` has where a receipt does not say it."""
    writes = [write._asdict() for write in receipt.writes]
    return {**dict.fromkeys(FIELDS), "repeated": 0, "writes": writes}


def _sentence(receipt: "Receipt", kind: str | None) -> str:
    places = ", ".join(f"{write.stream}@{write.version}" for write in receipt.writes[:MOST_NAMED])
    if receipt.writes[MOST_NAMED:]:
        places += f" and {len(receipt.writes) - MOST_NAMED} more streams"
    events = kind or ("1 event" if receipt.count == 1 else f"{receipt.count} events")
    repeated = f", {receipt.repeated} there already" if receipt.repeated else ""
    return f"{places}  {events}  position {receipt.position}{repeated}"


def print_plan(
    context: Context,
    plan: "Plan",
    before: "Mapping[str, StreamState] | None" = None,
    definitions: "Mapping[str, ReducerDefinition] | None" = None,
) -> "dict[str, StreamState]":
    """Print what a plan would store, and the states after it: ``{"events":[…],"states":[…]}``; return those states.

    ``before`` holds states that an earlier plan has led to, ``definitions`` what states are made by, where it is not
    what is configured.
    """
    from evcli.cli.states import state_record
    from evcli.storage.codec import loads

    try:
        states = context.store.states_after(plan, before or {}, definitions)
    except (NotTrusted, BadConfig, CodeFailed) as error:  # the append itself runs none of that
        context.out.note(f"the state after it cannot be shown: {error}")
        states = {}
    events = [loads(line) for lines in plan.lines.values() for line in lines]
    context.out.value({"events": events, "states": [state_record(state) for state in states.values()]})
    return states
