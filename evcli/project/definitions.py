"""Reducer definitions: what a state is made by, known by a fingerprint, and loaded only when there is something to fold."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from evcli.domain.reducers import BUILT_IN, FOLD_VERSION, Reducer, ReducerDefinition
from evcli.light_typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar
from evcli.storage.digests import sha256

if TYPE_CHECKING:
    from evcli.project.code import PythonReducer
    from evcli.project.sources import Manifest, Sources

EXEC_PREFIX: Final = "exec:"
Permission = Callable[[str], None]
"""Is given the file or program that is about to run, and raises `NotTrusted` if it may not."""


class BuiltInDefinition(NamedTuple):
    """A built-in reducer."""

    name: str

    def fingerprint(self, cache_dir: str | None) -> str:
        """Digest the name."""
        del cache_dir
        return digest("built-in", self.name)

    def load(self) -> Reducer:
        """Return it from the table."""
        return BUILT_IN[self.name]


class RulesDefinition(NamedTuple):
    """Declarative rules: the table of an ``evcli.toml``, and what compiles it to a reducer, once."""

    rules: Mapping[str, Any]
    compile: Callable[[], Reducer]

    def fingerprint(self, cache_dir: str | None) -> str:
        """Digest the rules in their order, which decides which one matches first."""
        del cache_dir
        return digest("rules", self.rules)

    def load(self) -> Reducer:
        """Return the compiled reducer."""
        return self.compile()


class ProgramDefinition(NamedTuple):
    """A program: the command line for ``sh -c``, where it runs, and the state before the first event."""

    command: str
    directory: str
    permit: Permission
    initial: Any = None

    def fingerprint(self, cache_dir: str | None) -> str:
        """Digest the command line, the directory, the initial state, and the files that the command line names."""
        del cache_dir
        files = {word: _hash_file(path) for word, path in self._files()}
        return digest("program", self.command, self.directory, self.initial, files)

    def load(self) -> Reducer:
        """Return the program as a reducer."""
        from evcli.project.programs import ExecReducer

        self.permit(self.command)
        return ExecReducer(self.command, directory=self.directory, initial=self.initial)

    def _files(self) -> Iterator[tuple[str, str]]:
        for word in sorted(set(_words(self.command))):
            path = os.path.join(self.directory, word)
            if "\0" not in word and os.path.isfile(path):
                yield word, path


class Loaded(Protocol):
    """What is made of a Python file."""

    @property
    def manifest(self) -> "Manifest":
        """The files that it is made of."""
        ...


_Code = TypeVar("_Code", bound=Loaded)


class PythonDefinition(Generic[_Code]):
    """A Python file. One object sees one state of the project's files: what is loaded is what was fingerprinted.

    Args:
        path: The file's path.
        permit: What is asked before any of its code runs.
        make: Loads the file, and makes of it what is wanted.
    """

    def __init__(self, path: str, permit: Permission, make: "Callable[[Sources], _Code]") -> None:
        self.path = path
        self._permit = permit
        self._make = make
        self._sources: Sources | None = None
        self._manifest: Manifest | None = None
        self._code: _Code | None = None

    def fingerprint(self, cache_dir: str | None) -> str:
        """Digest the project's files that the code is made of.

        The list of them is kept in the cache: while it agrees with the files, nothing is imported. Otherwise the
        file is loaded.

        Raises:
            NotTrusted: If it has to be loaded and may not.
            CodeFailed: If it has to be loaded and fails.
        """
        if self._manifest is None and cache_dir is not None:
            self._recall(cache_dir)
        if self._manifest is None:
            self._manifest = self.load().manifest
            if cache_dir is not None:
                self._remember(cache_dir, self._manifest)
        return digest("python", self._manifest)

    def load(self) -> _Code:
        """Return what is made of the file, loaded once.

        Raises:
            NotTrusted: If the file may not run.
            CodeFailed: If it cannot be loaded.
        """
        from evcli.project.sources import Sources

        self._permit(self.path)
        if self._code is None:
            self._code = self._make(self._sources or Sources(self.path))
        return self._code

    def _recall(self, cache_dir: str) -> None:
        from evcli.project.sources import Sources

        try:
            with open(self._note(cache_dir), "rb") as file:
                manifest = json.load(file)
        except (OSError, ValueError):
            return
        sources = Sources(self.path)
        if sources.agrees_with(manifest):
            self._sources, self._manifest = sources, manifest

    def _remember(self, cache_dir: str, manifest: "Manifest") -> None:
        from evcli.storage.files import make_private_folder, replace_file

        with suppress(OSError):  # next time it is loaded again
            note = self._note(cache_dir)
            make_private_folder(os.path.dirname(note))
            replace_file(note, json.dumps(manifest).encode(), durable=False)

    def _note(self, cache_dir: str) -> str:
        name = sha256(os.fsencode(os.path.realpath(self.path))).hexdigest()
        return os.path.join(cache_dir, "code", f"{name}.json")


def require_trust(config_path: str, what: str, state_root: str | None) -> None:
    """Do nothing if the code that ``config_path`` names may run; see `evcli.project.trust.require_trust`."""
    from evcli.project import trust

    trust.require_trust(config_path, what, state_root)


def is_program(definition: ReducerDefinition) -> bool:
    """Say whether a reducer is a program."""
    return isinstance(definition, ProgramDefinition)


def begin_alike(definition: ReducerDefinition, other: ReducerDefinition) -> ReducerDefinition:
    """Return a program's definition with the initial state of the other, if that is one: a command line names none."""
    if isinstance(definition, ProgramDefinition) and isinstance(other, ProgramDefinition):
        return definition._replace(initial=other.initial)
    return definition


def is_reducer(text: str) -> bool:
    """Say whether ``text`` has the form of a built-in's name, a Python file's, or a program."""
    if text.startswith(EXEC_PREFIX):
        return bool(text.removeprefix(EXEC_PREFIX).strip())
    return text in BUILT_IN or text.endswith(".py")


def is_decider(text: str) -> bool:
    """Say whether ``text`` has the form of a Python file's name, or of a program."""
    if text.startswith(EXEC_PREFIX):
        return bool(text.removeprefix(EXEC_PREFIX).strip())
    return text.endswith(".py")


def python_reducer(path: str, permit: Permission) -> "PythonDefinition[PythonReducer]":
    """Return the definition of a reducer that is a Python file."""

    def make(sources: "Sources") -> "PythonReducer":
        from evcli.project.code import PythonReducer

        return PythonReducer.load(sources)

    return PythonDefinition(path, permit, make)


def digest(*parts: Any) -> str:  # noqa: ANN401 (JSON values)
    """Return a hex digest over JSON values, and over the fold version."""
    return sha256(json.dumps([FOLD_VERSION, *parts]).encode()).hexdigest()


def _words(command: str) -> list[str]:
    import shlex

    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:  # the shell will say what is wrong with it
        return command.split()


def _hash_file(path: str) -> str | None:
    from hashlib import file_digest

    try:
        with open(path, "rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
