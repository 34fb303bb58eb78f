"""Programs as reducers: a shell command that reads the state and events as JSON lines, and prints the new state."""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any, Final, NamedTuple

from evcli.domain.events import Event
from evcli.errors import CodeFailed, Refused

BATCH_EVENTS: Final = 1000
BATCH_BYTES: Final = 1 << 20
_LONGEST_QUOTE: Final = 200


class _Batch(NamedTuple):
    """Events for one run: each one's line, and its stream and version."""

    lines: list[bytes]
    places: list[tuple[str, int]]


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
        self._command = command
        self._directory = directory
        self._initial = initial

    def initial(self) -> Any:  # noqa: ANN401
        """Return the state before the first event."""
        return deepcopy(self._initial)

    def fold(self, state: Any, events: Iterable[Event]) -> Any:  # noqa: ANN401
        """Fold events into the state, in batches.

        Raises:
            CodeFailed: If the program fails or prints no JSON value; the message names the event.
        """
        for batch in _in_batches(events):
            try:
                state = self._run(state, batch.lines)
            except _Failed as error:
                raise self._name_event(state, batch, error) from error
        return state

    def _run(self, state: Any, lines: list[bytes]) -> Any:  # noqa: ANN401
        import subprocess

        from evcli.storage.codec import check_json, decode, dump, loads

        given = b"\n".join((dump(state), *lines, b""))
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
            raise _Failed(f"it printed no state{_last_line(done.stderr)}")
        try:
            return loads(check_json(decode(done.stdout)))
        except Refused as error:
            raise _Failed(f"what it printed is no state: {error.message}{_last_line(done.stderr)}") from error

    def _name_event(self, state: Any, batch: _Batch, error: _Failed) -> CodeFailed:  # noqa: ANN401
        """Find the event: the last one of the smallest part of the batch that fails."""
        good, bad = 0, len(batch.lines)
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                self._run(state, batch.lines[:middle])
                good = middle
            except _Failed as again:
                bad, error = middle, again
        stream, version = batch.places[bad - 1]
        at = f"{stream}@{version}"
        return CodeFailed(
            f"the reducer {_quote(self._command)} failed on {at}: {error}",
            f"look at it (evcli log {at}..{version}), then correct the program",
            stream=stream,
            version=version,
        )


def _in_batches(events: Iterable[Event]) -> Iterator[_Batch]:
    from evcli.storage.codec import dump

    batch, size = _Batch([], []), 0
    for event in events:
        line = dump(event)
        batch.lines.append(line)
        batch.places.append((event["stream"], event["version"]))
        size += len(line) + 1
        if len(batch.lines) == BATCH_EVENTS or size >= BATCH_BYTES:
            yield batch
            batch, size = _Batch([], []), 0
    if batch.lines:
        yield batch


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return f": {_crop(' '.join(lines[-1].split()))}" if lines else ""


def _quote(command: str) -> str:
    return f"'{_crop(' '.join(command.split()))}'"


def _crop(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"
