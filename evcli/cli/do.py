"""``evcli do``: run a command through its stream's decider."""

from typing import Annotated

from evcli.cli.commands import (
    Arguments,
    CommandId,
    DeciderOption,
    DeciderTimeout,
    print_accepted,
    read_request,
    read_timeout,
)
from evcli.cli.metadata import Actor, Cause, Correlation, Meta
from evcli.cli.options import AllowNetwork, Context, DryRun, LockWait
from evcli.cli.parameters import Argument, Option
from evcli.cli.receipts import FIELDS, check_print, print_plan
from evcli.domain.commands import Request
from evcli.domain.durations import parse_duration
from evcli.domain.expected import parse_expected
from evcli.domain.tries import ATTEMPTS
from evcli.errors import Rejected
from evcli.write_side.executing import Deciding, decide, execute, rejection

EXAMPLES = """\
evcli do accounts/ann deposit amount:=20
evcli do accounts/ann withdraw amount:=5 --dry-run
evcli do accounts/ann transfer '{"amount":5,"to":"accounts/bob"}' --id order-77
evcli do accounts/ann withdraw amount:=5 --decider bank.py"""

Stream = Annotated[str, Argument(metavar="STREAM", help="The stream that the command is for")]
Name = Annotated[str, Argument(metavar="COMMAND", help="What is wanted, as in withdraw")]
Expect = Annotated[str, Option("--expect", metavar="N|none|exists|any", help="Fail (3) at another version")]
Attempts = Annotated[
    int, Option("--attempts", metavar="N", min=1, help="How often to decide, where the stream moves on")
]
Record = Annotated[bool, Option("--record-rejections", help="Keep what is rejected in evcli/rejections, for the audit")]
Print = Annotated[str | None, Option("--print", metavar="FIELD", help="Print one field of the receipt")]


def run(
    context: Context,
    stream: Stream,
    command: Name,
    arguments: Arguments = None,
    decider: DeciderOption = None,
    id: CommandId = None,  # noqa: A002 (the field's word)
    expect: Expect = "any",
    meta: Meta = None,
    actor: Actor = None,
    cause: Cause = None,
    correlation: Correlation = None,
    attempts: Attempts = ATTEMPTS,
    timeout: DeciderTimeout = "30s",
    record_rejections: Record = False,  # noqa: FBT002
    dry_run: DryRun = False,  # noqa: FBT002
    print_: Print = None,
    lock_wait: LockWait = "10s",
    allow_network_fs: AllowNetwork = False,  # noqa: FBT002
) -> None:
    """Decide on a command in the state that its stream is in, and store the events that follow, as one commit.

    Where somebody else was faster, it is decided again on the new state. A rejected command is exit 5, and stores
    nothing. What decides is named in evcli.toml: see 'evcli help deciders'.
    """
    check_print(print_, (*FIELDS, "events"), dry_run=dry_run)
    context.allow_network_fs = allow_network_fs
    wait, limit = parse_duration(lock_wait), read_timeout(timeout)
    words, told = (stream, command, arguments), (meta, actor, cause, correlation)
    request = read_request(context, words, told, id=id, expect=parse_expected(expect))
    context.expect_new_store()
    deciding = context.store.deciding(stream, decider, timeout=limit)
    if dry_run:
        _show(context, request, deciding)
        return
    log = context.store.log
    try:
        accepted = execute(log, request, deciding, attempts=attempts, lock_wait=wait)
    except Rejected as rejected:
        if record_rejections:
            log.append([rejection(request, rejected)], lock_wait=wait)
        raise
    print_accepted(context, accepted, field=print_)


def _show(context: Context, request: Request, deciding: Deciding) -> None:
    """Print the events that would follow, and the states after them."""
    decided = decide(context.store.log, request, deciding)
    if decided.writes:
        plan = context.store.log.plan(decided.writes, unless=decided.unless)
        print_plan(context, plan, definitions={request.command.stream: deciding.definition})
    else:
        context.out.value({"events": [], "states": []})
