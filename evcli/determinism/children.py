"""The processes that fold and decide in other surroundings, as the one that compares them talks to them."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, Self

from evcli.determinism.surroundings import Surroundings, environment, under_faketime
from evcli.errors import CodeFailed
from evcli.project.choosing import Choice
from evcli.storage.codec import dump, loads

_PACKAGES: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Not by -m, for which whatever lies in the working directory would come before the standard library.
_PROGRAM: Final = "import sys; sys.path.append({!r}); from evcli.determinism.child import main; main()"
_GRACE: Final = 5.0
_SHORT_GRACE: Final = 0.2


class Child:
    """One such process.

    Args:
        surroundings: In what it works.
        choice: What folds and decides.
        locales: The locales that are installed.
        faketime: Whether the clock is shifted for all programs that it runs, by faketime(1), or for its own code.
    """

    def __init__(self, surroundings: Surroundings, choice: Choice, *, locales: Sequence[str], faketime: bool) -> None:
        self.surroundings = surroundings
        command = [sys.executable, "-P", "-c", _PROGRAM.format(_PACKAGES)]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
        self._process = subprocess.Popen(
            under_faketime(surroundings, command) if faketime else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment(surroundings, os.environ, locales),
            start_new_session=True,  # so that it can be ended with all that it runs
        )
        shift = 0 if faketime else surroundings.shift
        self.tell({"choice": choice.as_json(), "shift": shift, "resumes": surroundings.resumes})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End it, as it ends by itself where nothing more can come; or else by force, soon where something went wrong."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(_GRACE if kind is None else _SHORT_GRACE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._said.close()

    def tell(self, message: dict[str, Any]) -> None:
        """Send a JSON object."""
        self.send([dump(message)])

    def send(self, lines: Iterable[bytes]) -> None:
        """Send lines, given without newlines."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # what it has to say of that comes when it is asked for
            self._process.stdin.write(b"".join(line + b"\n" for line in lines))

    def answer(self) -> dict[str, Any]:
        """Return the answer to the last job.

        Raises:
            CodeFailed: If the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._said.seek(0)
            last = self._said.read().decode(errors="replace").strip().splitlines()[-1:]
            raise CodeFailed(
                f"the process that folds {self.surroundings.how} has ended{': ' + last[0][:300] if last else ''}",
                "see what the code does that ends it",
            )
        found: dict[str, Any] = loads(line)
        return found
