"""``evcli append``: record one event, or many from lines."""

from evcli.cli.conditions import AfterPosition, Unless, read_conditions
from evcli.cli.fields import data_text
from evcli.cli.metadata import Actor, Cause, Correlation, Meta, read_meta
from evcli.cli.options import AllowNetwork, Context, DryRun, LockWait, instant
from evcli.cli.parameters import Argument, Option
from evcli.cli.receipts import FIELDS, check_print, print_plan, print_receipt
from evcli.domain.durations import parse_duration
from evcli.domain.events import NewEvent, Write
from evcli.domain.expected import ANY, Expected, parse_expected
from evcli.domain.names import check_writable
from evcli.errors import Refused, Usage
from evcli.light_typing import Annotated
from evcli.storage.codec import encode_value, with_meta

EXAMPLES = """\
evcli append accounts/ann money.deposited amount:=10.00 note='first one'
evcli append accounts/ann money.deposited '{"amount":10.00}' --id k-91
evcli append accounts/ann money.withdrawn amount:=5 --expect 2
evcli append users/7 user.registered email=ann@example.org --unless 'users/* user.registered /data/email=ann@example.org'
evcli append accounts/ann --from events.jsonl
generate | evcli append --from -"""


Stream = Annotated[str | None, Argument(metavar="[STREAM]", help="The stream, as in accounts/ann")]
Type = Annotated[str | None, Argument(metavar="[TYPE]", help="What happened, as in money.deposited")]
Data = Annotated[
    list[str] | None,
    Argument(metavar="[DATA]...", help="One JSON text, '-', or fields: k=text k:=json k@=file k:@=file"),
]
From = Annotated[str | None, Option("--from", metavar="FILE|-", help="Record many: one JSON object a line")]
Expect = Annotated[str, Option("--expect", metavar="N|none|exists|any", help="Fail (3) at another version")]
Id = Annotated[str | None, Option("--id", metavar="KEY", help="Retry-safe: a repeat stores nothing")]
Time = Annotated[str | None, Option("--time", metavar="TIME", help="When it happened, for history being imported")]
Atomic = Annotated[bool, Option("--atomic", help="With --from: the whole input is one commit")]
Rejects = Annotated[str | None, Option("--rejects", metavar="FILE", help="With --from: set bad lines aside")]
Print = Annotated[str | None, Option("--print", metavar="FIELD", help="Print one field of the receipt")]


def run(
    context: Context,
    stream: Stream = None,
    type: Type = None,  # noqa: A002 (the field's word)
    data: Data = None,
    from_: From = None,
    expect: Expect = "any",
    id: Id = None,  # noqa: A002 (the field's word)
    meta: Meta = None,
    actor: Actor = None,
    cause: Cause = None,
    correlation: Correlation = None,
    time: Time = None,
    unless: Unless = None,
    after_position: AfterPosition = None,
    atomic: Atomic = False,  # noqa: FBT002
    rejects: Rejects = None,
    dry_run: DryRun = False,  # noqa: FBT002
    print_: Print = None,
    lock_wait: LockWait = "10s",
    allow_network_fs: AllowNetwork = False,  # noqa: FBT002
) -> int:
    """Record one event, or with --from one for each line, and print a receipt once it is durable."""
    check_print(print_, FIELDS, dry_run=dry_run)
    context.allow_network_fs = allow_network_fs
    context.expect_new_store()
    expected, wait = parse_expected(expect), parse_duration(lock_wait)
    conditions = read_conditions(unless, after_position)
    defaults = read_meta(context, meta, actor, cause, correlation)
    if from_ is not None:
        from evcli.cli.batch import Batch, append_lines

        _check_lines(type or id or time, expected, stream, one_commit=atomic or not conditions)
        batch = Batch(
            stream, expected, defaults, conditions, wait, atomic=atomic, rejects=rejects, dry_run=dry_run, field=print_
        )
        return append_lines(context, from_, batch)
    if atomic or rejects:
        raise Usage("--atomic and --rejects go with --from", "for example: evcli append --from events.jsonl --atomic")
    if stream is None or type is None:
        raise Usage("a stream and a type are needed", f"for example: {EXAMPLES.splitlines()[0]}")
    event = with_meta(_event(type, data or [], id, time), defaults)
    write = Write(check_writable(stream), [event], expected)
    if dry_run:
        print_plan(context, context.store.log.plan([write], unless=conditions))
        return 0
    receipt = context.store.commit([write], lock_wait=wait, unless=conditions)
    print_receipt(context, receipt.as_first(), field=print_, kind=type)
    return 0


def _check_lines(said: str | None, expected: Expected, stream: str | None, *, one_commit: bool) -> None:
    """Do nothing unless something is ``said`` that the lines of ``--from`` say, or that does not go with them."""
    if said is not None:
        raise Usage(
            "TYPE, DATA, --id and --time stand in the lines of --from", 'as in {"type":"…","data":{…},"id":"…"}'
        )
    if expected != ANY and stream is None:
        raise Usage("--expect belongs to one stream", 'name it, or let each line say it: {"type":"…","expect":3}')
    if not one_commit:
        raise Usage("--unless is of one commit", "make the input one: --atomic")


def _event(kind: str, data: list[str], key: str | None, time: str | None) -> NewEvent:
    kind, text = _text("type", kind), data_text(data)
    return NewEvent(kind, text, id=None if key is None else _text("id", key), time=instant(time))


def _text(what: str, text: str) -> str:
    encode_value(text)  # refuses what is no text that can be stored
    if not text:
        raise Refused(f"the {what} is empty", "give it at least one character")
    return text
