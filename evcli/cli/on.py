"""``evcli on``: subscriptions: a program is run for each event."""

import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event as Flag
from typing import Annotated, Any, Final, NamedTuple

from evcli.cli.options import Context, DryRun
from evcli.cli.parameters import Argument, Option
from evcli.domain.durations import parse_duration
from evcli.errors import AnswerIsNo, StorageFailed, Usage
from evcli.read_side.running import Handling, Runner, run_program
from evcli.read_side.subscriptions import (
    Feed,
    Item,
    begin,
    busy,
    check_patterns,
    check_start,
    held,
    place,
    require,
    reset,
)
from evcli.storage.codec import loads
from evcli.storage.contract import EventStore
from evcli.storage.subscription_files import DeadLetter, Progress, SubscriptionFiles

EXAMPLES = """\
evcli on 'accounts/*' --name greeter --start now --once -- sh -c 'echo "$EVCLI_STREAM $EVCLI_TYPE"'
evcli on '**' --type 'money.*' --name archive --start first --batch 100 --once -- wc -l
evcli on --list
evcli on --status archive
evcli on --retry archive
evcli on --reset archive --at first"""

_COLUMNS: Final = ("name", "position", "lag", "dead", "running", "to", "program")
_RETRIES: Final = 3
_BACKOFF: Final = "1s"
# What one can do, what goes with it, and how it is written.
_PLAIN: Final = ("PATTERN", "--type", "--start", "--retries", "--backoff", "--batch", "--jobs", "--once", "--dry-run")
_ACTS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "--name": (_PLAIN, "evcli on 'orders/*' --name mail --start now -- ./mail.sh"),
    "--list": ((), "evcli on --list"),
    "--status": ((), "evcli on --status mail"),
    "--retry": (
        ("PATTERN", "--retries", "--backoff", "--dry-run"),
        "evcli on --retry mail, or with another -- PROGRAM",
    ),
    "--reset": (("--at", "--dry-run"), "evcli on --reset mail --at now"),
}

Words = Annotated[
    list[str] | None,
    Argument(metavar="PATTERN -- PROGRAM [ARGS]...", help="Which streams, and what handles them"),
]
Name = Annotated[str | None, Option("--name", metavar="N", help="The subscription: it goes on where it was")]
Types = Annotated[list[str] | None, Option("--type", metavar="GLOB", help="Only these types; * crosses dots")]
Start = Annotated[str | None, Option("--start", metavar="first|now", help="Where a new name begins")]
Retries = Annotated[int, Option("--retries", metavar="N", min=0, help="How often to run again what fails")]
Backoff = Annotated[str, Option("--backoff", metavar="TIME", help="After that, then twice that, up to a minute")]
Batch = Annotated[int, Option("--batch", metavar="N", min=1, max=200, help="Up to N events a run, a line each")]
Jobs = Annotated[int, Option("--jobs", metavar="K", min=1, max=100, help="K streams at a time, each in order")]
Once = Annotated[bool, Option("--once", help="Handle what is there, and exit")]
List = Annotated[bool, Option("--list", help="List the subscriptions")]
Status = Annotated[str | None, Option("--status", metavar="N", help="How subscription N stands")]
Retry = Annotated[str | None, Option("--retry", metavar="N", help="Handle the dead letters of N again")]
Reset = Annotated[str | None, Option("--reset", metavar="N", help="Let N go on elsewhere: --at")]
At = Annotated[str | None, Option("--at", metavar="first|now|POSITION", help="All up to there counts as handled")]


def run(
    context: Context,
    words: Words = None,
    name: Name = None,
    type: Types = None,  # noqa: A002 (the field's word)
    start: Start = None,
    retries: Retries = _RETRIES,
    backoff: Backoff = _BACKOFF,
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
    acts = {"--name": name, "--list": list_all or None, "--status": status, "--retry": retry, "--reset": reset_name}
    options: dict[str, object] = {"PATTERN": words, "--type": type, "--start": start, "--once": once, "--at": at}
    options |= {"--retries": retries != _RETRIES, "--backoff": backoff != _BACKOFF, "--dry-run": dry_run}
    options |= {"--batch": batch > 1, "--jobs": jobs > 1}
    _check_together([act for act, value in acts.items() if value is not None], options)
    handling = Handling((), retries, parse_duration(backoff), batch, jobs)
    if list_all:
        rows = [_listed(context, files) for files in context.store.subscriptions()]
        context.out.rows(_COLUMNS, rows, empty="no subscriptions")
    elif status is not None:
        files = require(context.store.subscription(status))
        context.out.value(_status(context, files, files.progress()))
    elif reset_name is not None:
        _reset(context, reset_name, at, dry_run=dry_run)
    elif retry is not None:
        return _retry(context, require(context.store.subscription(retry)), words or [], handling, dry_run=dry_run)
    elif name is not None:
        subscribed = _Subscribed(context.store.subscription(name), (words or [""])[0], tuple(type or ()), start)
        if dry_run:
            return _preview(context, subscribed)
        return _handle(context, subscribed, (words or [])[1:], handling, once=once)
    return None


def _check_together(acts: Sequence[str], options: Mapping[str, object]) -> None:
    """Say what does not go together, and what is missing."""
    if not acts:
        missing = "the subscription has no name" if options["PATTERN"] else "there is nothing to do"
        raise Usage(missing, f"as in: {_ACTS['--name'][1]}")
    act = acts[0]
    goes_with, example = _ACTS[act]
    wrong = [*acts[1:], *(option for option, given in options.items() if given and option not in goes_with)]
    if wrong:
        raise Usage(f"{act} and {wrong[0]} do not go together", f"as in: {example}")


class _Subscribed(NamedTuple):
    files: SubscriptionFiles
    pattern: str
    types: tuple[str, ...]
    start: str | None

    def check(self) -> None:
        """Say what is missing, before anything is made."""
        if not self.pattern:
            raise Usage("a pattern is missing", f"as in: {_ACTS['--name'][1]}")
        check_patterns([self.pattern])
        check_start(self.files, self.start)

    def feed(self, store: EventStore, progress: Progress) -> Feed:
        return Feed(store, [self.pattern], self.types, name=self.files.name, progress=progress)


def _preview(context: Context, subscribed: _Subscribed) -> int:
    """Print the events that would be handled."""
    subscribed.check()
    store, files = context.store.log, subscribed.files
    progress = files.progress() if files.exist() else place(store, str(subscribed.start))
    items = subscribed.feed(store, progress).items()
    context.out.events(item.line for item in items if item.position not in progress.done)
    return 0


def _handle(
    context: Context, subscribed: _Subscribed, program: Sequence[str], handling: Handling, *, once: bool
) -> int:
    subscribed.check()
    handling = _running(context, program, handling)
    store, files, name = context.store.log, subscribed.files, subscribed.files.name
    with files.lock() as free:
        if not free and once:
            context.out.note(f"another run of subscription {name} is going on; nothing to do")
            return 0
        if not free:
            raise busy(files)
        feed = subscribed.feed(store, begin(store, files, subscribed.start))
        before = files.about().get("pattern", subscribed.pattern)
        if before != subscribed.pattern:
            context.out.note(f"{name} was to {before} before, and goes on from where that was")
        about = {"pattern": subscribed.pattern, "types": list(subscribed.types), "program": list(program)}
        files.describe(about)
        with _stopped_by_signals() as stopped:
            runner = Runner(files, feed, handling, stop=stopped.flag, report=_teller(context))
            dead = runner.run(once=once)
    if stopped.signals:
        return 128 + stopped.signals[0]
    if dead:
        raise AnswerIsNo(
            f"{_counted(dead, 'event')} went to the dead letters of {name}",
            f"see why, then handle them again: evcli on --retry {name}",
        )
    return 0


def _retry(
    context: Context, files: SubscriptionFiles, words: Sequence[str], handling: Handling, *, dry_run: bool
) -> int:
    if dry_run:
        context.out.events(letter.line for letter in files.dead_letters())
        return 0
    handling = _running(context, list(words) or files.about().get("program") or [], handling)
    with held(files):
        letters = files.dead_letters()
        left: list[DeadLetter | None] = [*letters]
        with _stopped_by_signals() as stopped:
            try:
                for number, letter in enumerate(letters):
                    item = Item(letter.line, loads(letter.line))
                    if not stopped.flag.is_set() and run_program(handling, [item], stopped.flag).code == 0:
                        left[number] = None
            finally:
                if None in left:
                    files.replace_dead_letters(letter for letter in left if letter)
    left = [letter for letter in left if letter]
    record = {"name": files.name, "handled": len(letters) - len(left), "left": len(left)}
    context.out.record(record, f"dead letters of {files.name} handled: {len(letters) - len(left)} of {len(letters)}")
    if stopped.signals:
        return 128 + stopped.signals[0]
    if left:
        raise AnswerIsNo(
            f"{_counted(len(left), 'dead letter')} of {files.name} could not be handled",
            f"see them with their exit codes: {files.dead_letter_path}",
        )
    return 0


def _reset(context: Context, name: str, at: str | None, *, dry_run: bool) -> None:
    if at is None:
        raise Usage("--reset does not say where to go on", f"say --at first, now or a position: {_ACTS['--reset'][1]}")
    progress = reset(context.store.log, context.store.subscription(name), at, dry_run=dry_run)
    would = "would go on" if dry_run else "goes on"
    record = {"name": name, "position": progress.position, "reset": not dry_run}
    context.out.record(record, f"subscription {name} {would} after position {progress.position}")


def _listed(context: Context, files: SubscriptionFiles) -> dict[str, Any]:
    try:
        return _status(context, files, files.progress())
    except StorageFailed as failed:  # the others are to be seen all the same
        context.out.note(str(failed))
        return _status(context, files, None)


def _status(context: Context, files: SubscriptionFiles, progress: Progress | None) -> dict[str, Any]:
    about = files.about()
    behind = context.store.head().position - progress.position - len(progress.done) if progress else None
    return {
        "name": files.name,
        "position": progress.position if progress else None,
        "lag": max(0, behind) if behind is not None else None,
        "dead": len(files.dead_letters()),
        "running": files.is_running(),
        "to": " ".join([about.get("pattern", ""), *(f"--type {glob}" for glob in about.get("types", []))]),
        "program": " ".join(about.get("program", [])),
        "folder": files.folder,
    }


def _running(context: Context, program: Sequence[str], handling: Handling) -> Handling:
    if not program:
        raise Usage("there is no program to run", f"name it after --, as in: {_ACTS['--name'][1]}")
    if shutil.which(program[0]) is None:
        raise Usage(f"there is no program {program[0]!r} that may be run", "check its path, and that it is executable")
    return handling._replace(program=program, store=context.store.location, reader_is_gone=context.out.stdout_closed)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _teller(context: Context) -> Callable[[DeadLetter], None]:
    def tell(letter: DeadLetter) -> None:
        about = letter.about
        context.out.note(
            f"{about['stream']}@{about['version']} went to the dead letters: exit {about['exit']}"
            f" after {_counted(about['attempts'], 'attempt')}"
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
    # Who is started with them ignored (nohup, a script's background job) is not to be stopped by them.
    heeded = [n for n in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, stopped.by) for number in heeded}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
