"""``evcli on``: subscriptions: a program is run for each event."""

import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event as Flag
from typing import Annotated, Any

import typer

from evcli.cli.options import Context, DryRun
from evcli.domain.instants import parse_duration
from evcli.errors import AnswerIsNo, Usage
from evcli.read_side.running import Handling, Runner, run_program
from evcli.read_side.subscriptions import Feed, Item, begin, busy, require, reset
from evcli.storage.codec import loads
from evcli.storage.subscription_files import DeadLetter, SubscriptionFiles

EXAMPLES = """\
evcli on 'accounts/*' --name greeter --start now --once -- sh -c 'echo "$EVCLI_STREAM $EVCLI_TYPE"'
evcli on '**' --type 'money.*' --name archive --start first --batch 100 --once -- gzip -c
evcli on --list
evcli on --status archive
evcli on --retry archive
evcli on --reset archive --at first"""

_COLUMNS = ("name", "position", "lag", "dead", "running", "to", "program")

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATTERN -- PROGRAM [ARGS]...", help="Which streams, and what handles them"),
]
Name = Annotated[str | None, typer.Option("--name", metavar="N", help="The subscription: it goes on where it was")]
Types = Annotated[list[str] | None, typer.Option("--type", metavar="GLOB", help="Only these types; * crosses dots")]
Start = Annotated[str | None, typer.Option("--start", metavar="first|now", help="Where a new name begins")]
Retries = Annotated[int, typer.Option("--retries", metavar="N", min=0, help="How often to run again what fails")]
Backoff = Annotated[str, typer.Option("--backoff", metavar="TIME", help="After that, then twice that, up to a minute")]
Batch = Annotated[int, typer.Option("--batch", metavar="N", min=1, max=200, help="Up to N events a run, a line each")]
Jobs = Annotated[int, typer.Option("--jobs", metavar="K", min=1, max=100, help="K streams at a time, each in order")]
Once = Annotated[bool, typer.Option("--once", help="Handle what is there, and exit")]
List = Annotated[bool, typer.Option("--list", help="List the subscriptions")]
Status = Annotated[str | None, typer.Option("--status", metavar="N", help="How subscription N stands")]
Retry = Annotated[str | None, typer.Option("--retry", metavar="N", help="Handle the dead letters of N again")]
Reset = Annotated[str | None, typer.Option("--reset", metavar="N", help="Let N go on elsewhere: --at")]
At = Annotated[str | None, typer.Option("--at", metavar="first|now|POSITION", help="All up to there counts as handled")]


def run(
    context: Context,
    words: Words = None,
    name: Name = None,
    type: Types = None,  # noqa: A002 (the field's word)
    start: Start = None,
    retries: Retries = 3,
    backoff: Backoff = "1s",
    batch: Batch = 1,
    jobs: Jobs = 1,
    once: Once = False,  # noqa: FBT002
    list_all: List = False,  # noqa: FBT002
    status: Status = None,
    retry: Retry = None,
    reset_name: Reset = None,
    at: At = None,
    dry_run: DryRun = False,  # noqa: FBT002
) -> int | None:
    """Run PROGRAM for each event of PATTERN: its line on standard input; its place in the environment.

    EVCLI_STREAM, EVCLI_VERSION, EVCLI_POSITION and EVCLI_TYPE tell the place. What was handled is remembered under
    --name: at least once, in order per stream. A program that fails is run again (--retries, --backoff); then the
    event goes to the dead letters, and the next one is handled. See 'evcli help subscriptions'.
    """
    given = {"--name": name, "--list": list_all, "--status": status, "--retry": retry, "--reset": reset_name}
    acts = [option for option, value in given.items() if value]
    if len(acts) > 1:
        raise Usage(f"{' and '.join(acts)} do not go together", "one at a time")
    if at is not None and not reset_name:
        raise Usage("--at goes with --reset", "as in: evcli on --reset NAME --at now")
    handling = Handling((), retries, parse_duration(backoff), batch, jobs)
    if list_all:
        rows = [_status(context, files) for files in context.store.subscriptions()]
        context.out.rows(_COLUMNS, rows, empty="no subscriptions")
    elif status:
        context.out.value(_status(context, require(context.store.subscription(status))))
    elif reset_name:
        _reset(context, reset_name, at, dry_run=dry_run)
    elif retry:
        _retry(context, require(context.store.subscription(retry)), words or [], handling)
    else:
        return _handle(context, name, words or [], tuple(type or ()), start, handling, once=once)
    return None


def _handle(
    context: Context,
    name: str | None,
    words: Sequence[str],
    types: tuple[str, ...],
    start: str | None,
    handling: Handling,
    *,
    once: bool,
) -> int:
    if name is None:
        raise Usage("the subscription has no name", "give it one, under which it goes on next time: --name NAME")
    if len(words) < 2:  # noqa: PLR2004 (a pattern and a program)
        raise Usage(
            "a pattern or a program is missing", "as in: evcli on 'orders/*' --name mail --start now -- ./mail.sh"
        )
    if start not in (None, "first", "now"):
        raise Usage(f"--start {start!r} is neither first nor now", "say --start first, or --start now")
    pattern, program = words[0], _runnable(words[1:])
    store = context.store.log
    files = context.store.subscription(name)
    store.head()  # a store must be there
    if not files.exist() and start is None:
        begin(store, files, start)  # says what is missing, before anything is made
    with files.lock() as free:
        if not free and once:
            context.out.note(f"another run of subscription {name} is going on; nothing to do")
            return 0
        if not free:
            raise busy(files)
        feed = Feed(store, [pattern], types, begin(store, files, start))
        if files.about().get("pattern", pattern) != pattern:
            context.out.note(f"{name} was to {files.about()['pattern']} before, and goes on from where that was")
        files.describe({"pattern": pattern, "types": list(types), "program": list(program)})
        with _stopped_by_signals() as stopped:
            runner = Runner(files, feed, handling._replace(program=program), stop=stopped.flag, report=_teller(context))
            dead = runner.run(once=once)
    if stopped.signals:
        return 128 + stopped.signals[0]
    if dead:
        raise AnswerIsNo(
            f"{dead} event{'s' if dead > 1 else ''} went to the dead letters of {name}",
            f"see why, then handle them again: evcli on --retry {name}",
        )
    return 0


def _retry(context: Context, files: SubscriptionFiles, words: Sequence[str], handling: Handling) -> None:
    program = _runnable(list(words) or files.about().get("program") or [])
    with files.lock() as free:
        if not free:
            raise busy(files)
        letters = files.dead_letters()
        left: list[DeadLetter] = []
        with _stopped_by_signals() as stopped:
            for number, letter in enumerate(letters):
                if stopped.flag.is_set():
                    left += letters[number:]
                    break
                item = Item(letter.line, loads(letter.line))
                ended = run_program(handling._replace(program=program), [item], stopped.flag)
                if ended.code != 0:
                    left.append(letter)
        if len(left) < len(letters):
            files.replace_dead_letters(left)
    context.out.note(f"dead letters of {files.name} handled: {len(letters) - len(left)} of {len(letters)}")
    if left:
        raise AnswerIsNo(f"{len(left)} dead letters of {files.name} are left", f"they are in {files.folder}")


def _reset(context: Context, name: str, at: str | None, *, dry_run: bool) -> None:
    if at is None:
        raise Usage("--reset does not say where to go on", "say --at first, --at now, or --at POSITION")
    progress = reset(context.store.log, context.store.subscription(name), at, dry_run=dry_run)
    would = "would go on" if dry_run else "goes on"
    context.out.note(f"subscription {name} {would} after position {progress.position}")


def _status(context: Context, files: SubscriptionFiles) -> dict[str, Any]:
    progress, about = files.progress(), files.about()
    lag = max(0, context.store.head().position - progress.position - len(progress.done))
    return {
        "name": files.name,
        "position": progress.position,
        "lag": lag,
        "dead": len(files.dead_letters()),
        "running": files.is_running(),
        "to": " ".join([about.get("pattern", ""), *(f"--type {glob}" for glob in about.get("types", []))]),
        "program": " ".join(about.get("program", [])),
        "folder": files.folder,
    }


def _runnable(program: Sequence[str]) -> Sequence[str]:
    if not program:
        raise Usage("there is no program to run", "name it after --, as in: … -- ./mail.sh")
    if shutil.which(program[0]) is None:
        raise Usage(f"there is no program {program[0]!r} that may be run", "check its path, and that it is executable")
    return program


def _teller(context: Context) -> Callable[[DeadLetter], None]:
    def tell(letter: DeadLetter) -> None:
        about = letter.about
        context.out.note(
            f"{about['stream']}@{about['version']} went to the dead letters: exit {about['exit']}"
            f" after {about['attempts']} attempts"
        )

    return tell


class _Stopped:
    def __init__(self) -> None:
        self.flag = Flag()
        self.signals: list[int] = []

    def by(self, number: int, _frame: object) -> None:
        self.signals.append(number)
        self.flag.set()


@contextmanager
def _stopped_by_signals() -> Iterator[_Stopped]:
    """Let SIGTERM and Ctrl-C set a flag: what is running is waited for, and what it came to is remembered."""
    stopped = _Stopped()
    before = {number: signal.signal(number, stopped.by) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
