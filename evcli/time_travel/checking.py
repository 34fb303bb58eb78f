"""What is asked of every state: a SQL expression, a program, or a function; and which of what it judges does not pass."""

import subprocess
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, Protocol

from evcli.domain.values import Json
from evcli.errors import CodeFailed
from evcli.storage.codec import loads
from evcli.storage.sql_checks import RowCheck
from evcli.storage.view_file import Row

Verdict = Literal["good", "bad", "skip"]

_SKIP: Final = 125
_VERDICTS: Final[dict[int, Verdict]] = {0: "good", 1: "bad", _SKIP: "skip"}


class Subject(NamedTuple):
    """What is judged: a stream's state (``key`` is its name) or a view's row as JSON text, None for a row that is gone.

    ``version`` and ``position`` are those of the event that made it what it is.
    """

    key: str
    text: bytes | None
    version: int
    position: int


class Check(Protocol):
    """Judges states, or the rows of a view, one after another as they change."""

    def judge(self, subject: Subject) -> Verdict:
        """Say whether all that was judged passes, as it is by now.

        Raises:
            Usage: If an expression cannot be worked out.
            CodeFailed: If a program or a function fails.
        """
        ...


class SqlCheck:
    """A SQL expression, as in ``query rows --where``: what it would select passes."""

    def __init__(self, rows: RowCheck) -> None:
        self._rows = rows
        self._failing: set[str] = set()

    def judge(self, subject: Subject) -> Verdict:
        """Work the expression out; see `Check`."""
        key, text, version, position = subject
        if text is None:
            self._rows.drop(key)
        else:
            self._rows.put(Row(key, text, version, position))
        failing = self._rows.find_failing((key,))
        if self._rows.looks_around:
            self._failing.clear()
        self._failing.discard(key)
        if failing is not None:
            self._failing.add(failing)
        return "bad" if self._failing else "good"


class FunctionCheck:
    """A function that is given the state, or the row, and returns whether it passes; one that is gone does."""

    def __init__(self, passes: Callable[[Json], bool]) -> None:
        self._passes = passes
        self._failing: set[str] = set()

    def judge(self, subject: Subject) -> Verdict:
        """Call the function; see `Check`."""
        self._failing.discard(subject.key)
        if subject.text is not None and not self._passes(loads(subject.text)):
            self._failing.add(subject.key)
        return "bad" if self._failing else "good"


class ProgramCheck:
    """A program, run by ``sh -c``, that is given the state, or the row, as a line of JSON on standard input.

    It says what it finds by its exit code, as for ``git bisect run``: 0 is good, 1 is bad, 125 cannot be judged, and
    anything else is a failure of its own. Its output is no part of ours and dropped, its errors are shown. It is not
    asked again about what has not changed.
    """

    def __init__(self, command: str) -> None:
        self._command = command
        self._failing: set[str] = set()
        self._judged: dict[str, tuple[bytes, Verdict]] = {}

    def judge(self, subject: Subject) -> Verdict:
        """Run the program; see `Check`."""
        verdict = self._verdict_on(subject)
        if verdict == "skip":
            return "skip"
        self._failing.discard(subject.key)
        if verdict == "bad":
            self._failing.add(subject.key)
        return "bad" if self._failing else "good"

    def _verdict_on(self, subject: Subject) -> Verdict:
        if subject.text is None:
            self._judged.pop(subject.key, None)
            return "good"
        text, verdict = self._judged.get(subject.key, (b"", "good"))
        if text != subject.text:
            verdict = self._run(subject)
            self._judged[subject.key] = subject.text, verdict
        return verdict

    def _run(self, subject: Subject) -> Verdict:
        assert subject.text is not None
        done = subprocess.run(
            ["/bin/sh", "-c", self._command],
            input=subject.text + b"\n",
            stdout=subprocess.DEVNULL,
            check=False,
        )
        verdict = _VERDICTS.get(done.returncode)
        if verdict is None:
            how = f"ended with exit code {done.returncode}" if done.returncode > 0 else "was killed"
            raise CodeFailed(
                f"the check {self._command!r} {how} on {subject.key}@{subject.version}",
                f"let it exit 0 where the state is good, 1 where it is bad, {_SKIP} where it cannot say",
                version=subject.version,
                position=subject.position,
            )
        return verdict
