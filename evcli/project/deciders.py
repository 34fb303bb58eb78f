"""Deciders: Python files and programs that answer a command with events or a refusal, and how they are named."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from evcli.domain.commands import Command, Decider
from evcli.domain.events import Event
from evcli.domain.reducers import Reducer, ReducerDefinition
from evcli.domain.values import Json, copy_json
from evcli.errors import CodeFailed, OverTime, Refused, Rejected, Usage
from evcli.project.arguments import fit_arguments
from evcli.project.code import ABOUT_NONE, Code, PythonReducer
from evcli.project.definitions import EXEC_PREFIX, Permission, PythonDefinition, digest
from evcli.project.limits import run_limited, time_limit
from evcli.project.sources import Sources

_TOPIC: Final = "deciders"
_REJECTS: Final = Rejected.exit_code


class DeciderDefinition(Protocol):
    """What decides on the commands to a stream, loaded only when there is something to decide."""

    def fingerprint(self, cache_dir: str | None) -> str:
        """Return a hex digest of what the decider is made of, as far as that can be seen."""
        ...

    def load(self) -> Decider:
        """Return the decider.

        Raises:
            NotTrusted: If it is code that may not run.
            CodeFailed: If it cannot be loaded.
        """
        ...

    def state_by(self, configured: ReducerDefinition) -> ReducerDefinition:
        """Return what the states it decides on are folded by: its own reducer, or the one that is configured.

        Raises:
            CodeFailed: If it has to be loaded to tell, and cannot be.
        """
        ...


class PythonDecider:
    """A decider made of a Python file: ``decide(command, state)``, or functions by command in ``commands``, or both.

    Where the file also has ``initial`` and ``evolve``, ``reducer`` is made of them.

    Raises:
        CodeFailed: If the file cannot be loaded, or does not define one of them.
    """

    def __init__(self, sources: Sources) -> None:
        defines = "a decider defines decide(command, state), or commands = {…}"
        self._code = Code(sources, topic=_TOPIC, defines=defines, about_none=ABOUT_NONE)
        self.name = os.path.basename(sources.entry)
        self.manifest = self._code.manifest
        self.reducer = PythonReducer(self._code) if self._code.has("evolve") else None
        self._functions = self._read_functions()
        self._decide = self._code.function("decide") if self._code.has("decide") else None
        if self._decide is None and not self._functions:
            raise self._code.wrong("it does not define decide, nor commands")

    def _read_functions(self) -> dict[str, Callable[..., Any]]:
        found = self._code.require("commands") if self._code.has("commands") else {}
        if not isinstance(found, Mapping) or not all(callable(function) for function in found.values()):
            raise self._code.wrong('commands is not a table of functions, as in commands = {"withdraw": withdraw}')
        return dict(found)

    def decide(self, command: Command, state: Json, *, timeout: float | None) -> Any:  # noqa: ANN401 (the user's)
        """Return what the file's function returns; see `Decider`."""
        return self._run(lambda: self._call(command, copy_json(command.data), state), timeout)

    def undo(self, event: Event, state: Json, *, timeout: float | None) -> Any:  # noqa: ANN401 (the user's)
        """Return what the file's ``undo(event, state)`` returns, if it has one; see `Decider`."""
        if not self._code.has("undo"):
            return None
        function = self._code.function("undo")
        return self._run(lambda: function(copy_json(event), state), timeout)

    def _run(self, call: Callable[[], Any], timeout: float | None) -> Any:  # noqa: ANN401 (the user's)
        try:
            with self._code.project.running(), time_limit(timeout):
                returned = call()
                # A generator runs only now, and in the same surroundings; so does whatever else makes the items.
                is_plain = isinstance(returned, str | Mapping | tuple | list) or not isinstance(returned, Iterable)
                return returned if is_plain else list(returned)
        except (Rejected, Usage, OverTime):
            raise
        except (Exception, SystemExit) as error:
            problem = self._code.project.describe(error)
            raise CodeFailed(problem, f"correct it; 'evcli help {_TOPIC}' shows how it is done") from error

    def _call(self, command: Command, data: Json, state: Json) -> Any:  # noqa: ANN401 (whatever it returns)
        function = self._functions.get(command.type)
        if function is not None:
            return function(state, **fit_arguments(function, data, command=command.type, stream=command.stream))
        if self._decide is None:
            raise Usage(f"no such command: {command.type}", f"{self.name} has {', '.join(self._functions)}")
        return self._decide({"type": command.type, "data": data, "stream": command.stream}, state)


class ProgramDecider:
    """A decider that is a program, run by ``sh -c``.

    It is given ``{"command":{"type":…,"data":…,"stream":…},"state":…}`` on standard input and prints events, a JSON
    object a line. Exit 5 rejects the command, with the reason on standard error.

    Args:
        command: The command line.
        directory: Where it runs.
    """

    def __init__(self, command: str, *, directory: str) -> None:
        self.name = command
        self._directory = directory

    def decide(self, command: Command, state: Json, *, timeout: float | None) -> Any:  # noqa: ANN401 (the user's)
        """Return the events that the program prints; see `Decider`."""
        from evcli.storage.codec import check_json, decode, dump, loads

        asked = {"type": command.type, "data": command.data, "stream": command.stream}
        try:
            given = dump({"command": asked, "state": state}) + b"\n"
        except TypeError as error:
            raise CodeFailed(f"the state is not JSON: {error}", "correct the reducer that makes it") from error
        done = run_limited(self.name, given, directory=self._directory, timeout=timeout)
        said = done.stderr.decode(errors="replace").strip()
        if done.returncode == _REJECTS:
            raise Rejected(" ".join(said.split()) or "no reason given")
        if done.returncode:
            last = said.splitlines()[-1:] or [""]
            how = f"exit {done.returncode}" if done.returncode > 0 else f"killed by signal {-done.returncode}"
            raise CodeFailed(f"{how}{': ' + last[0] if last[0] else ''}", "correct the program")
        try:
            return [loads(check_json(line)) for line in decode(done.stdout).split("\n") if line.strip()]
        except Refused as error:
            raise CodeFailed(f"what it printed is no event: {error.message}", "print one JSON object a line") from error

    def undo(self, event: Event, state: Json, *, timeout: float | None) -> Any:  # noqa: ANN401 (the protocol's)
        """Say nothing: a program decides on commands only."""
        del event, state, timeout


class PythonDeciderDefinition:
    """A Python file that decides, known by what it is made of.

    Args:
        path: The file's path.
        permit: What is asked before any of its code runs.
    """

    def __init__(self, path: str, permit: Permission) -> None:
        self._code: PythonDefinition[PythonDecider] = PythonDefinition(path, permit, PythonDecider)
        self.path = path

    def fingerprint(self, cache_dir: str | None) -> str:
        """Digest the path and the project's files; see `PythonDefinition.fingerprint`."""
        return digest("decider", self.path, self._code.fingerprint(cache_dir))

    def load(self) -> PythonDecider:
        """Return the decider, loaded once."""
        return self._code.load()

    def state_by(self, configured: ReducerDefinition) -> ReducerDefinition:
        """Return the file's own reducer, where it has one."""
        return _OwnReducer(self._code) if self.load().reducer is not None else configured


@dataclass(frozen=True, slots=True)
class _OwnReducer:
    """The reducer in a decider's file; its snapshots are those of the file as a reducer."""

    code: PythonDefinition[PythonDecider]

    def fingerprint(self, cache_dir: str | None) -> str:
        return self.code.fingerprint(cache_dir)

    def load(self) -> Reducer:
        reducer = self.code.load().reducer
        assert reducer is not None
        return reducer


@dataclass(frozen=True, slots=True)
class ProgramDeciderDefinition:
    """A program that decides: the command line for ``sh -c``, and where it runs."""

    command: str
    directory: str
    permit: Permission

    def fingerprint(self, cache_dir: str | None) -> str:
        """Digest the command line and the directory: nothing is kept of a program between two commands."""
        del cache_dir
        return digest("decider", self.command, self.directory)

    def load(self) -> ProgramDecider:
        """Return the program as a decider."""
        self.permit(self.command)
        return ProgramDecider(self.command, directory=self.directory)

    def state_by(self, configured: ReducerDefinition) -> ReducerDefinition:
        """Return the configured reducer: a program only decides."""
        return configured


def define_decider(text: str, base_dir: str, permit: Permission) -> DeciderDefinition:
    """Return the definition of ``FILE.py`` or ``exec:PROGRAM``, looked up and run in ``base_dir``."""
    if text.startswith(EXEC_PREFIX):
        return ProgramDeciderDefinition(text.removeprefix(EXEC_PREFIX).strip(), base_dir, permit)
    return PythonDeciderDefinition(os.path.join(base_dir, text), permit)
