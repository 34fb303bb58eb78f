"""``evcli submit``: commands that a worker handles, and what became of them."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

from evcli.cli.commands import Arguments, CommandId, read_request
from evcli.cli.metadata import Actor, Cause, Correlation, Meta
from evcli.cli.options import AllowNetwork, Context, DryRun, LockWait
from evcli.cli.parameters import Argument, Option
from evcli.cli.receipts import check_print
from evcli.domain.commands import Request
from evcli.domain.durations import parse_duration
from evcli.domain.events import place_of
from evcli.domain.queue import listed
from evcli.errors import Busy, CodeFailed, Rejected, Usage
from evcli.given import new_id
from evcli.storage.codec import loads
from evcli.write_side.queue import Status, drop, retry, status_of, submission, submit, wait_for

EXAMPLES = """\
evcli submit accounts/ann withdraw amount:=5
evcli submit accounts/ann deposit amount:=20 --id order-77 --print id
evcli submit --status order-76
evcli submit --list"""

_FIELDS: Final = ("id", "stream", "command", "status", "position", "reason", "code", "receipt")
_LONGEST_REASON: Final = 40
_COLUMNS: Final = ("id", "stream", "command", "status", "reason")

Stream = Annotated[str | None, Argument(metavar="[STREAM]", help="The stream that the command is for")]
Name = Annotated[str | None, Argument(metavar="[COMMAND]", help="What is wanted, as in withdraw")]
StatusOf = Annotated[str | None, Option("--status", metavar="ID", help="Say how a command stands")]
Wait = Annotated[str | None, Option("--wait", metavar="TIME", help="With --status: until it is settled, then 75")]
List = Annotated[bool, Option("--list", help="List what is pending or parked")]
Retry = Annotated[str | None, Option("--retry", metavar="ID", help="Take a parked command up again")]
Drop = Annotated[str | None, Option("--drop", metavar="ID", help="Reject a pending or parked command by hand")]
Print = Annotated[str | None, Option("--print", metavar="FIELD", help="Print one field of what is printed")]


def run(
    context: Context,
    stream: Stream = None,
    command: Name = None,
    arguments: Arguments = None,
    id: CommandId = None,  # noqa: A002 (the field's word)
    meta: Meta = None,
    actor: Actor = None,
    cause: Cause = None,
    correlation: Correlation = None,
    status: StatusOf = None,
    wait: Wait = None,
    list_all: List = False,  # noqa: FBT002
    retry_id: Retry = None,
    drop_id: Drop = None,
    dry_run: DryRun = False,  # noqa: FBT002
    print_: Print = None,
    lock_wait: LockWait = "10s",
    allow_network_fs: AllowNetwork = False,  # noqa: FBT002
) -> None:
    """Put a command into the store's queue, durably, and print its id at once; 'evcli work' handles it.

    It takes effect exactly once, and a stream's commands in their order. --status says what became of it: exit 0 if it
    is accepted or pending, 5 if it was rejected, 69 if it is parked, since deciding on it failed.
    """
    check_print(print_, _FIELDS, dry_run=dry_run)
    context.allow_network_fs = allow_network_fs
    acts = {"STREAM": stream, "--status": status, "--list": list_all or None, "--retry": retry_id, "--drop": drop_id}
    _check_together(acts, wait, field=print_)
    held, log = parse_duration(lock_wait), context.store.log
    if list_all:
        context.out.rows(_COLUMNS, _listed(context), empty="no command is pending or parked")
    elif status is not None:
        found = wait_for(log, status, timeout=parse_duration(wait or "0"))
        _tell(context, found, field=print_)
        _check(found, wait)
    elif retry_id is not None or drop_id is not None:
        act, key = (retry, retry_id) if retry_id is not None else (drop, str(drop_id))
        if not dry_run:
            act(log, key, lock_wait=held)
        _tell(context, status_of(log, key), field=print_)
    elif command is None:
        raise Usage("a command is missing", f"for example: {EXAMPLES.splitlines()[0]}")
    else:
        words, told = (str(stream), command, arguments), (meta, actor, cause, correlation)
        request = read_request(context, words, told, id=new_id() if id is None else id)
        _submit(context, request, lock_wait=held, dry_run=dry_run, field=print_)


def _check_together(acts: dict[str, Any], wait: str | None, *, field: str | None) -> None:
    given = [act for act, value in acts.items() if value is not None]
    if not given:
        raise Usage("a stream and a command are needed", f"for example: {EXAMPLES.splitlines()[0]}")
    if len(given) > 1:
        raise Usage(f"{given[0]} and {given[1]} do not go together", f"for example: {EXAMPLES.splitlines()[2]}")
    if wait is not None and given != ["--status"]:
        raise Usage("--wait goes with --status", "for example: evcli submit --status ID --wait 5s")
    if field is not None and given == ["--list"]:
        raise Usage("--print prints a field of one command", "for several: evcli submit --list | jq -r .id")


def _submit(context: Context, request: Request, *, lock_wait: float, dry_run: bool, field: str | None) -> None:
    command, log = request.command, context.store.log
    context.store.config.decider_for(command.stream)  # who would never be heard is told so now
    context.expect_new_store()
    if dry_run:
        lines = log.plan([submission(request)]).lines
        context.out.value({"events": [loads(line) for listed in lines.values() for line in listed]})
        return
    receipt = submit(log, request, lock_wait=lock_wait)
    context.tell_new_store()
    record = {"id": request.id, "stream": command.stream, "command": command.type, "status": "pending"}
    sentence = f"{request.id}  {command.type} to {command.stream}, position {receipt.position}"
    context.out.record(record | {"position": receipt.position}, sentence, field=field)


def _listed(context: Context) -> Iterator[dict[str, Any]]:
    for status, commands in context.store.queue().items():
        for queued in listed(commands):
            found = {"id": queued.id, "stream": queued.stream, "command": queued.command["type"], "status": status}
            reason = queued.reason
            if context.out.format == "table" and len(reason) > _LONGEST_REASON:  # or nothing else is to be seen
                reason = reason[:_LONGEST_REASON] + "…"
            yield found | ({"reason": reason} if reason else {})


def _tell(context: Context, found: Status, *, field: str | None) -> None:
    receipt = found.receipt or {}
    places = ", ".join(place_of(event) for event in receipt.get("events", ()))
    sentence = (
        f"{found.id}  {found.command['type']} to {found.stream} is {found.status}{': ' + places if places else ''}"
    )
    record = found.as_json()
    every = dict.fromkeys(_FIELDS) | {"position": receipt.get("position")} if field else {}
    context.out.record(every | record, sentence, field=field)


def _check(found: Status, wait: str | None) -> None:
    """Raise what tells a script how it stands."""
    reason = str(found.reason)
    if found.status == "rejected":
        raise Rejected(f"{found.command['type']} rejected: {reason}", code=found.code, id=found.id, reason=reason)
    if found.status == "parked":
        raise CodeFailed(
            f"{found.id} is parked: {reason}", f"mend the decider, then: evcli submit --retry {found.id}", id=found.id
        )
    if found.status == "pending" and wait is not None:
        raise Busy(f"{found.id} was not handled within {wait}", "is 'evcli work' running?", id=found.id)
