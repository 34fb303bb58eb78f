"""Programs as reducers: a shell command that reads the state and events as JSON lines, and prints the new state."""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any, Final, NamedTuple

from evcli.domain.events import Event
from evcli.errors import CodeFailed, Refused

BATCH_EVENTS: Final = 1000
BATCH_BYTES: Final = 1 << 20
_LONGEST_QUOTE: Final = 200


class Batch(NamedTuple):
    """What one run is given: lines, and the event that each one is about."""

    lines: list[bytes]
    events: list[Event]


class _Failed(Exception):  # noqa: N818 (never shown: it becomes CodeFailed)
    """A run ended badly; its text says how."""


class ExecReducer:
    """A reducer that is a program, run by ``sh -c``.

    It is given one line with the state and then the events, a line each, on standard input (up to 1,000 events or
    1 MiB a run), and prints the new state, one JSON text, on standard output.

    Args:
        command: The command line.
        directory: Where it runs.
        initial: The state before the first event.
    """

    def __init__(self, command: str, *, directory: str, initial: Any = None) -> None:  # noqa: ANN401 (any JSON value)
        self.types: tuple[str, ...] | None = None
        self.batch = BATCH_EVENTS
        self._program = Program(command, directory=directory, what="the reducer", result="state")
        self._initial = initial

    def initial(self) -> Any:  # noqa: ANN401
        """Return the state before the first event."""
        return deepcopy(self._initial)

    def fold(self, state: Any, events: Iterable[Event]) -> Any:  # noqa: ANN401
        """Fold events into the state, in batches.

        Raises:
            CodeFailed: If the program fails or prints no JSON value; the message names the event.
        """
        from evcli.storage.codec import dump

        for batch in in_batches((dump(event), event) for event in events):
            state = self._program.run(state, batch)
        return state


class Program:
    """A program that folds: run by ``sh -c`` with a line of what is there and lines of what comes, it prints the result.

    Args:
        command: The command line.
        directory: Where it runs.
        what: What it is, for messages: ``"the reducer"``.
        result: What it prints, likewise: ``"state"``.
    """

    def __init__(self, command: str, *, directory: str, what: str, result: str) -> None:
        self._command = command
        self._directory = directory
        self._what = what
        self._result = result

    def run(self, before: Any, batch: Batch, check: Callable[[Any], None] = lambda _printed: None) -> Any:  # noqa: ANN401
        """Return what it prints, given what was there and a batch; ``check`` raises ValueError where that is wrong.

        Raises:
            CodeFailed: If it fails, or prints no JSON value or a wrong one; the message names the event.
        """

        def attempt(lines: list[bytes]) -> Any:  # noqa: ANN401
            printed = self._run(before, lines)
            try:
                check(printed)
            except ValueError as error:
                raise _Failed(str(error)) from error
            return printed

        try:
            return attempt(batch.lines)
        except _Failed as error:
            raise self._name_event(batch, attempt, error) from error

    def _run(self, before: Any, lines: list[bytes]) -> Any:  # noqa: ANN401
        import subprocess

        from evcli.storage.codec import check_json, decode, dump, loads

        given = b"\n".join((dump(before), *lines, b""))
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", self._command], input=given, capture_output=True, cwd=self._directory, check=False
            )
        except OSError as error:
            raise _Failed(str(error)) from error
        if done.returncode:
            how = f"exit {done.returncode}" if done.returncode > 0 else f"killed by signal {-done.returncode}"
            raise _Failed(f"{how}{_last_line(done.stderr)}")
        if not done.stdout.strip():
            raise _Failed(f"it printed no {self._result}{_last_line(done.stderr)}")
        try:
            return loads(check_json(decode(done.stdout)))
        except Refused as error:
            raise _Failed(f"what it printed is no {self._result}: {error.message}{_last_line(done.stderr)}") from error

    def _name_event(self, batch: Batch, attempt: Callable[[list[bytes]], object], error: _Failed) -> CodeFailed:
        """Find the event: the last one of the smallest part of the batch that fails."""
        good, bad = 0, len(batch.lines)
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                attempt(batch.lines[:middle])
                good = middle
            except _Failed as again:
                bad, error = middle, again
        event = batch.events[bad - 1]
        at = f"{event['stream']}@{event['version']}"
        return CodeFailed(
            f"{self._what} {_quote(self._command)} failed on {at}: {error}",
            f"look at it (evcli log {at}..{event['version']}), then correct the program",
            stream=event["stream"],
            version=event["version"],
            position=event["position"],
        )


def in_batches(given: Iterable[tuple[bytes, Event]]) -> Iterator[Batch]:
    """Gather lines, each with its event, into batches of up to 1,000, or 1 MiB."""
    batch, size = Batch([], []), 0
    for line, event in given:
        batch.lines.append(line)
        batch.events.append(event)
        size += len(line) + 1
        if len(batch.lines) == BATCH_EVENTS or size >= BATCH_BYTES:
            yield batch
            batch, size = Batch([], []), 0
    if batch.lines:
        yield batch


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return f": {_crop(' '.join(lines[-1].split()))}" if lines else ""


def _quote(command: str) -> str:
    return f"'{_crop(' '.join(command.split()))}'"


def _crop(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"
