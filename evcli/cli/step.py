"""``evcli step``: through a stream's states, forwards and backwards."""

import sys
from collections.abc import Callable
from typing import Annotated, Final

from evcli.cli.options import Context, ReducerOption, To, Until, instant, standard_input
from evcli.cli.parameters import Argument
from evcli.cli.states import read_moment
from evcli.cli.step_commands import Told, help_text, is_number, read_count, read_told
from evcli.domain.names import is_pattern
from evcli.domain.patches import changes_between, make_patch
from evcli.domain.pointers import MISSING, parse_pointer, resolve
from evcli.domain.values import Json, same_json
from evcli.errors import EvcliError, NotFound, Usage
from evcli.storage.codec import decode, dump
from evcli.time_travel.stepping import Stepper, Stop

EXAMPLES = """\
evcli step accounts/ann
evcli step accounts/ann --until yesterday
printf '%s\\n' 'watch /balance' continue back 'go 4' | evcli step accounts/ann
printf '%s\\n' 'go 3' 'state /balance' | evcli step accounts/ann -r"""

_MOVES: Final = ("next", "back", "continue")


def run(
    context: Context,
    stream: Annotated[str, Argument(metavar="STREAM", help="A stream; STREAM@VERSION begins there")],
    until: Until = None,
    to: To = None,
    reducer: ReducerOption = None,
) -> None:
    """Go through a stream's states one event at a time: next, back, to a version or time; see what each event changed.

    It begins before the first event, or as of a version or time. On a terminal it asks what to do; in a pipe it reads
    the same commands, one a line, and answers each on a line: a step with {"version":…,"event":…,"diff":…,"watch":…},
    where diff is a JSON Patch (RFC 6902) from the state before. There the first error ends it. 'help' lists the
    commands. Nothing is written.
    """
    if is_pattern(stream):
        raise Usage(f"{stream!r} is a pattern, and steps go through one stream", "'evcli streams' lists them")
    if context.out.format == "csv":
        raise Usage("steps cannot be printed as CSV", "use -o json")
    moment = read_moment(stream, until, to)
    stepper = context.store.stepper(moment.stream, reducer=reducer)
    if moment.until is not None or moment.to is not None:
        reached = stepper.version if moment.until is None else stepper.version_at(moment.until)
        with context.out.progress("folding") as progress:
            stepper.go(reached if moment.to is None else min(reached, moment.to), progress=progress)
    walk = _Walk(context, stepper)
    if context.out.on_terminal and all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        _ask(context, walk)
        return
    for number, line in enumerate(iter(standard_input().readline, b""), 1):
        try:
            if (told := read_told(decode(line))) is not None and not walk.obey(told):
                return
        except EvcliError as error:
            error.message = f"line {number}: {error.message}"
            raise


def _ask(context: Context, walk: "_Walk") -> None:
    """Ask what to do until that is enough; what is wrong is said, and asked again."""
    walk.show()
    context.out.text("(n: next, b: back, h: help, q: quit)")
    repeated: Told | None = None
    while True:
        try:
            line = context.out.ask(f"{walk.place}> ")
        except (EOFError, KeyboardInterrupt) as end:
            context.out.text("")  # the shell's prompt is to begin a line
            if isinstance(end, EOFError):
                return
            raise
        try:
            told = read_told(line) or repeated
            if told is None:
                continue
            repeated = told if told.verb in _MOVES else None
            if not walk.obey(told):
                return
        except EvcliError as error:
            context.out.error(error)


class _Walk:
    """Where one stands, where one was before, and what is watched."""

    def __init__(self, context: Context, stepper: Stepper) -> None:
        self._out = context.out
        self._stepper = stepper
        self._before = stepper.stop
        self._watched: dict[str, tuple[str, ...]] = {}
        self._verbs: dict[str, Callable[[str], None]] = {
            "next": lambda argument: self._move(read_count(argument, default=1)),
            "back": lambda argument: self._move(-read_count(argument, default=1)),
            "go": lambda argument: self._go(self._version(argument)),
            "continue": lambda _: self._continue(),
            "watch": self._watch,
            "unwatch": self._unwatch,
            "diff": self._diff,
            "state": self._state,
            "event": lambda _: self._event(),
            "help": lambda _: self._out.text(help_text()),
        }

    @property
    def place(self) -> str:
        """Where one stands, as ``STREAM@VERSION``."""
        return f"{self._stepper.stream}@{self._stepper.stop.version}"

    def obey(self, told: Told) -> bool:
        """Do what was told; return whether to go on after it.

        Raises:
            EvcliError: If it cannot be done; one stays where one was.
        """
        if told.verb == "quit":
            return False
        self._verbs[told.verb](told.argument)
        self._out.close()  # a coprocess waits for the answer
        return True

    def show(self) -> None:
        """Show where one stands, what has changed since one stood elsewhere, and what is watched."""
        stop, state = self._stepper.stop, self._stepper.stop.state()
        if self._out.format == "table":
            if stop.line is None:
                self._out.text(f"{self.place}  before the first event")
            else:
                self._out.events([stop.line])
            self._out.changes(changes_between(self._before.state(), state))
            if self._watched:
                self._show_watched(state)
            return
        patch, watched = dump(make_patch(self._before.state(), state)), dump(self._values(state))
        event = stop.line or b"null"
        self._out.line(b'{"version":%d,"event":%b,"diff":%b,"watch":%b}' % (stop.version, event, patch, watched))

    def _move(self, steps: int) -> None:
        """Go so many events forward (below 0: back), as far as there are any."""
        here, last = self._stepper.stop.version, self._stepper.version
        if steps > 0 and here == last:
            raise NotFound(f"{self.place} is the last event", "'back' and 'go' lead elsewhere")
        if steps < 0 and here == 0:
            raise NotFound(f"{self.place} is before the first event", "'next' leads on")
        self._go(max(0, min(here + steps, last)))

    def _go(self, version: int) -> None:
        before = self._stepper.stop
        with self._out.progress("folding") as progress:
            self._stepper.go(version, progress=progress)
        self._arrive(before)

    def _continue(self) -> None:
        before, state = self._stepper.stop, self._stepper.stop.state()
        places = list(self._watched.values()) or [()]

        def has_changed(now: Json) -> bool:
            return not all(same_json(resolve(now, place), resolve(state, place)) for place in places)

        with self._out.progress("folding") as progress:
            stop = self._stepper.go_on(has_changed, progress=progress)
        self._arrive(before)
        if not has_changed(stop.state()):
            self._out.note(f"the last event, and {'nothing watched' if self._watched else 'nothing'} has changed")

    def _arrive(self, before: Stop) -> None:
        self._before = before
        self.show()

    def _version(self, argument: str) -> int:
        if argument == "last":
            return self._stepper.version
        if is_number(argument):
            return int(argument)
        moment = instant(argument, end=True)
        assert moment is not None
        return self._stepper.version_at(moment)

    def _watch(self, pointer: str) -> None:
        if pointer:
            self._watched[pointer] = parse_pointer(pointer)
        self._show_watched(self._stepper.stop.state())

    def _unwatch(self, pointer: str) -> None:
        if pointer and pointer not in self._watched:
            raise NotFound(f"{pointer} is not watched", "'watch' lists what is")
        for one in [pointer] if pointer else list(self._watched):
            del self._watched[one]
        self._show_watched(self._stepper.stop.state())

    def _values(self, state: Json) -> dict[str, Json]:
        found = {pointer: resolve(state, place) for pointer, place in self._watched.items()}
        return {pointer: value for pointer, value in found.items() if value is not MISSING}

    def _show_watched(self, state: Json) -> None:
        values = self._values(state)
        if self._out.format == "table":
            rows = [{"watched": pointer, "value": values.get(pointer, "(nothing)")} for pointer in self._watched]
            self._out.rows(("watched", "value"), rows, empty="nothing is watched; as in: watch /balance")
        else:
            self._out.line(dump({"watch": values}))

    def _diff(self, argument: str) -> None:
        here, there = self._stepper.stop, self._before
        if argument:
            try:
                there = self._stepper.go(self._version(argument))
            finally:
                self._stepper.go(here.version)
        before, after = there.state(), here.state()
        if self._out.format == "table":
            self._out.changes(changes_between(before, after))
        else:
            self._out.line(dump(make_patch(before, after)))

    def _state(self, pointer: str) -> None:
        found = resolve(self._stepper.stop.state(), parse_pointer(pointer))
        if found is MISSING:
            raise NotFound(f"{self.place} has nothing at {pointer}", "'state' shows all of it")
        self._out.value(found)

    def _event(self) -> None:
        if (line := self._stepper.stop.line) is None:
            raise NotFound(f"{self.place} is before the first event", "'next' leads to it")
        self._out.line(line)
