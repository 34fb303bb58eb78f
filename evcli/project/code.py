"""Python files as reducers, of states and of rows: loaded afresh from their source, with the modules beside them, and folded with.

While a project's code runs, its own modules stand in ``sys.modules`` and are found first; before and after, nothing
of them is there. So projects whose modules have the same names do not meet, and a late import finds its own project.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.machinery import ModuleSpec, PathFinder
from itertools import count, islice
from types import ModuleType
from typing import Any, Final, Self

from evcli.domain.events import Event
from evcli.domain.reducers import Evolving
from evcli.domain.values import copy_json
from evcli.domain.views import Change, EvolvingRows, Rows
from evcli.errors import CodeFailed
from evcli.project.sources import LEFT_ALONE, Sources

ABOUT_NONE: Final = "does evolve always return the state?"
_BATCH: Final = 256
_number: Final = count(1)
_one_at_a_time: Final = threading.RLock()


class Project:
    """A Python file and the modules it imports from its directory, kept apart from everybody else's.

    Args:
        sources: The file.
        topic: Where the help describes what it has to define.
    """

    def __init__(self, sources: Sources, *, topic: str) -> None:
        self.sources = sources
        self.topic = topic
        self._modules: dict[str, ModuleType] = {}
        self._found: set[str] = set()

    def load(self) -> ModuleType:
        """Run the file and return its module.

        Raises:
            CodeFailed: If it cannot be compiled or run, with file and line.
        """
        from importlib.util import module_from_spec, spec_from_file_location

        entry = self.sources.entry
        name = f"evcli_code_{next(_number)}"
        spec = spec_from_file_location(name, entry, loader=self.sources.loader_of(name, entry))
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        self._found.add(name)
        try:
            with self.running():
                sys.modules[name] = module
                spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise self.failed(f"loading {os.path.basename(entry)}", error) from error
        return module

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the project's modules be imported, for as long as its code runs; what it prints is talk, not output."""
        with _one_at_a_time, redirect_stdout(sys.stderr):
            hidden = _take_away(self.sources.modules & sys.modules.keys())
            sys.modules.update(self._modules)
            sys.meta_path.insert(0, self)
            try:
                yield
            finally:
                sys.meta_path.remove(self)
                self._modules = {name: sys.modules.pop(name) for name in self._found if name in sys.modules}
                sys.modules.update(hidden)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module of the project (the import system's protocol, PEP 451)."""
        del target
        parent = fullname.rpartition(".")[0]
        if (parent or fullname) in LEFT_ALONE or (parent and parent not in self._found):
            return None
        for directory in (self.sources.root,) if path is None else tuple(path):
            spec = self.sources.find(directory, fullname)
            # As Python has it: a directory without __init__.py yields to a real package from anywhere.
            if spec is not None and (spec.loader is not None or parent or not _is_installed(fullname)):
                self._found.add(fullname)
                return spec
        return None

    def locate(self, error: BaseException) -> str:
        """Return the innermost line of the project's own files that the exception comes from, as ``file:line``."""
        if isinstance(error, SyntaxError) and error.filename and self.sources.has_read(error.filename):
            return f"{error.filename}:{error.lineno}"
        where = self.sources.entry
        traceback = error.__traceback__
        while traceback is not None:
            path = traceback.tb_frame.f_code.co_filename
            if self.sources.has_read(path):
                where = f"{path}:{traceback.tb_lineno}"
            traceback = traceback.tb_next
        return where

    def describe(self, error: BaseException) -> str:
        """Say in one line what exception came from which line of the project's code."""
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        problem = " ".join(f"{type(error).__name__}: {text}".split()).removesuffix(":")
        return f"{problem} ({self.locate(error)})"

    def failed(self, what: str, error: BaseException) -> CodeFailed:
        """Make the error, in one line, for an exception while the project's code does ``what``."""
        return CodeFailed(
            f"{what} failed: {self.describe(error)}", f"correct it; 'evcli help {self.topic}' shows how it is done"
        )


class Code:
    """What a project's file defines, and running it.

    Args:
        sources: The file.
        topic: Where the help describes it.
        defines: What it has to define, in words.
        about_none: The next step where a function took None for something else, by far the commonest mistake.
    """

    def __init__(self, sources: Sources, *, topic: str, defines: str, about_none: str = "") -> None:
        self.project = Project(sources, topic=topic)
        self._help = f"{defines}; see 'evcli help {topic}'"
        self._about_none = about_none
        self._module = self.project.load()
        self.manifest = sources.manifest()  # as loaded: what a later import adds has been surveyed

    def has(self, name: str) -> bool:
        """Say whether the file defines ``name``."""
        return hasattr(self._module, name)

    def require(self, name: str) -> Any:  # noqa: ANN401 (whatever the file defines)
        """Return what the file defines as ``name``.

        Raises:
            CodeFailed: If it does not.
        """
        if not self.has(name):
            raise self.wrong(f"it does not define {name}")
        return getattr(self._module, name)

    def function(self, name: str) -> Callable[..., Any]:
        """Return the function that the file defines as ``name``.

        Raises:
            CodeFailed: If it does not.
        """
        found = self.require(name)
        if not callable(found):
            raise self.wrong(f"{name} is not a function")
        return found  # type: ignore[no-any-return]  # a function of the user's

    def types(self) -> tuple[str, ...] | None:
        """Return the event types that the file says it wants to see; None for all.

        Raises:
            CodeFailed: If that is no list of them.
        """
        types = getattr(self._module, "types", None)
        if types is None or isinstance(types, ModuleType):  # 'import types' is the library's
            return None
        if not isinstance(types, list | tuple) or not all(isinstance(name, str) for name in types):
            raise self.wrong('types is not a list of event types, as in types = ["money.deposited"]')
        return tuple(types)

    def wrong(self, problem: str) -> CodeFailed:
        """Make the error for a file that does not define what it has to."""
        return CodeFailed(f"{self.project.sources.entry}: {problem}", self._help)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the project's modules be imported, and name the line of the file where it fails on an event."""
        try:
            with self.project.running():
                yield
        except CodeFailed as failed:
            where = self.project.locate(failed.__cause__ or failed)
            message = f"{failed.message} ({where})"
            hint = (self._about_none if "'NoneType'" in failed.message else "") or failed.hint
            raise CodeFailed(message, hint, **failed.facts) from failed.__cause__


class PythonReducer:
    """A reducer made of a Python file's ``initial``, ``evolve`` and, optionally, ``types``.

    ``initial`` is a value or a function of no arguments; ``evolve(state, event)`` returns the new state and may change
    the one it is given; ``types`` lists the event types, or globs over them, that it wants to see.

    Raises:
        CodeFailed: If the file does not define them.
    """

    def __init__(self, code: Code) -> None:
        self._code = code
        self.manifest = self._code.manifest
        initial, evolve = self._code.require("initial"), self._code.function("evolve")
        self.types = self._code.types()
        self.batch = 1
        self._evolving = Evolving(initial if callable(initial) else lambda: initial, evolve, self.types)

    @classmethod
    def load(cls, sources: Sources) -> Self:
        """Load the file.

        Raises:
            CodeFailed: If it cannot be loaded, or does not define a reducer.
        """
        defines = "a reducer defines initial and evolve(state, event)"
        return cls(Code(sources, topic="reducers", defines=defines, about_none=ABOUT_NONE))

    def initial(self) -> Any:  # noqa: ANN401 (a state is any JSON value)
        """Return the state before the first event.

        Raises:
            CodeFailed: If ``initial`` is a function and fails.
        """
        project = self._code.project
        try:
            with project.running():
                return self._evolving.initial()
        except (Exception, SystemExit) as error:
            raise project.failed("initial", error) from error

    def fold(self, state: Any, events: Iterable[Event]) -> Any:  # noqa: ANN401
        """Fold events into the state, which may be changed in place.

        Raises:
            CodeFailed: If ``evolve`` fails; the message names the event, and the line of the file.
        """
        if isinstance(events, Sequence):
            with self._code.running():
                return self._evolving.fold(state, events)
        remaining = iter(events)
        # The events are taken while the project's modules are away, since making them may import ours.
        while batch := list(islice(remaining, _BATCH)):
            with self._code.running():
                state = self._evolving.fold(state, batch)
        return state


class PythonRowReducer:
    """Rows of a view made of a Python file's ``key``, ``evolve`` and, optionally, ``types``.

    ``key(event)`` returns the key of the row that an event concerns, several in a list, or None; ``evolve(row, event)``
    returns the row after an event, and is given None where there is none; None removes it.

    Raises:
        CodeFailed: If the file cannot be loaded, or does not define them.
    """

    def __init__(self, sources: Sources) -> None:
        self._code = Code(
            sources,
            topic="views",
            defines="a view's file defines key(event) and evolve(row, event)",
            about_none="is row None, as it is where there is no row yet? Begin with: row = row or {}",
        )
        self.manifest = self._code.manifest
        key, evolve = self._code.function("key"), self._code.function("evolve")
        self.types = self._code.types()
        self.batch = 1
        # A row may keep a part of an event and change it later, which neither another row nor a second fold may see.
        self._evolving = EvolvingRows(key, lambda: None, lambda row, event: evolve(row, copy_json(event)), self.types)

    def changes(self, events: Iterable[Event]) -> list[Change]:
        """Return the events that concern any row; see `RowReducer`."""
        given = list(events)
        with self._code.running():
            return self._evolving.changes(given)

    def fold(self, rows: Rows, changes: Iterable[Change]) -> None:
        """Fold changes into the rows; see `RowReducer`."""
        given = list(changes)
        with self._code.running():
            self._evolving.fold(rows, given)


def _take_away(tops: frozenset[str]) -> dict[str, ModuleType]:
    """Take these top-level modules, and all below them, out of ``sys.modules``, and return them."""
    if not tops:
        return {}
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in tops}


def _is_installed(name: str) -> bool:
    spec = PathFinder.find_spec(name)
    return spec is not None and spec.loader is not None
