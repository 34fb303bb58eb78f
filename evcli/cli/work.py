"""``evcli work``: the worker that keeps all views current, and handles submitted commands."""

import signal
import time
from types import FrameType
from typing import Annotated, Final

from evcli.cli.commands import DeciderTimeout, read_timeout
from evcli.cli.options import AllowNetwork, Context, LockWait
from evcli.cli.parameters import Option
from evcli.domain.durations import parse_duration
from evcli.domain.events import place_of
from evcli.domain.queue import Queued
from evcli.errors import AnswerIsNo, EvcliError
from evcli.read_side.keeping import KeptView, Outcome
from evcli.read_side.working import ViewWorker, work_once
from evcli.working import work
from evcli.write_side.accepted import Accepted

EXAMPLES = """\
evcli work
evcli work --once"""

Once = Annotated[bool, Option("--once", help="Do what there is to do now and exit, as for cron")]
Jobs = Annotated[int, Option("--jobs", metavar="K", min=1, max=100, help="Commands to K streams at a time")]


_PAUSE: Final = 0.02


class _Terminated(BaseException):
    pass


class _Ending:
    """Remembers that SIGTERM came: the exception is lost, or becomes another, where the interpreter is in C."""

    def __init__(self) -> None:
        self.is_told = False

    def tell(self, _signum: int, _frame: FrameType | None) -> None:
        self.is_told = True
        raise _Terminated

    def look(self) -> bool:
        """End the work if it is to end."""
        if self.is_told:
            raise _Terminated
        return False


def run(
    context: Context,
    once: Once = False,  # noqa: FBT002
    jobs: Jobs = 1,
    timeout: DeciderTimeout = "30s",
    lock_wait: LockWait = "10s",
    allow_network_fs: AllowNetwork = False,  # noqa: FBT002
) -> int:
    """Handle the commands that were submitted, and keep every view current, until stopped.

    A command takes effect exactly once, and a stream's commands in their order; one on which deciding fails is parked,
    and so is a view that fails on an event: the others go on. 'evcli submit --list' and 'evcli view list' show them.
    Several workers share the work. With --once, exit 1 if something is parked.
    """
    context.allow_network_fs = allow_network_fs
    store, teller = context.store, _Teller(context)
    limits = {"timeout": read_timeout(timeout), "lock_wait": parse_duration(lock_wait)}
    commands = store.command_worker(teller.of_command, jobs=jobs, **limits)
    ending, before = _Ending(), signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, ending.tell)
        if once:
            while commands.look() or commands.others:  # a command may be submitted by what follows from another
                time.sleep(_PAUSE if commands.others else 0)
            _check(work_once(store.kept_views(), teller.of_view) and commands.is_done())
            return 0
        work([ending, commands, ViewWorker(store.log, store.kept_views, teller.of_view)])
    except BaseException:
        if not ending.is_told:
            raise
        return 128 + signal.SIGTERM  # whatever was going on is rolled back, or is done again
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def _check(is_done: bool) -> None:  # noqa: FBT001 (a question's answer)
    if not is_done:
        raise AnswerIsNo("not all is done", "see 'evcli submit --list' for commands, 'evcli view list' for views")


class _Teller:
    def __init__(self, context: Context) -> None:
        self._out = context.out

    def of_view(self, view: KeptView, outcome: Outcome | EvcliError) -> None:
        if isinstance(outcome, EvcliError):
            self._out.note(f"view {view.name}: {outcome}")
        elif outcome.folded or outcome.rebuilt:
            why = f" ({outcome.rebuilt})" if outcome.rebuilt else ""
            self._out.note(f"view {view.name}: {outcome.folded} events folded{why}")

    def of_command(self, queued: Queued, outcome: Accepted | EvcliError) -> None:
        what = f"{queued.command['type']} to {queued.stream}"
        if isinstance(outcome, EvcliError):
            self._out.note(f"command {queued.id} ({what}): {outcome}")
        else:
            places = ", ".join(place_of(event) for event in outcome.events)
            self._out.note(f"command {queued.id} ({what}): accepted{', ' + places if places else ''}")
