"""Python files as reducers: loaded afresh from their source, with the modules beside them, and folded with.

While a project's code runs, its own modules stand in ``sys.modules`` and are found first; before and after, nothing
of them is there. So projects whose modules have the same names do not meet, and a late import finds its own project.
"""

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from itertools import count, islice
from types import ModuleType
from typing import Any, Final

from evcli.domain.events import Event
from evcli.domain.reducers import Evolving
from evcli.errors import CodeFailed
from evcli.project.sources import LEFT_ALONE, Sources

_BATCH: Final = 256
_number: Final = count(1)
_one_at_a_time: Final = threading.RLock()


class Project:
    """A Python file and the modules it imports from its directory, kept apart from everybody else's."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
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
        """Let the project's modules be imported, for as long as its code runs."""
        with _one_at_a_time:
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

    def failed(self, what: str, error: BaseException) -> CodeFailed:
        """Make the error, in one line, for an exception while the project's code does ``what``."""
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        problem = " ".join(f"{type(error).__name__}: {text}".split()).removesuffix(":")
        return CodeFailed(
            f"{what} failed: {problem} ({self.locate(error)})", "correct it; 'evcli help reducers' shows how it is done"
        )


class PythonReducer:
    """A reducer made of a Python file's ``initial``, ``evolve`` and, optionally, ``types``.

    ``initial`` is a value or a function of no arguments; ``evolve(state, event)`` returns the new state and may change
    the one it is given; ``types`` lists the event types, or globs over them, that it wants to see.

    Raises:
        CodeFailed: If the file cannot be loaded, or does not define them.
    """

    def __init__(self, sources: Sources) -> None:
        self._project = Project(sources)
        module = self._project.load()
        self.manifest = sources.manifest()  # as loaded: what a later import adds has been surveyed
        initial, evolve = self._require(module, "initial"), self._require(module, "evolve")
        if not callable(evolve):
            raise self._wrong("evolve is not a function")
        self.types = self._types_of(module)
        self._evolving = Evolving(initial if callable(initial) else lambda: initial, evolve, self.types)

    def initial(self) -> Any:  # noqa: ANN401 (a state is any JSON value)
        """Return the state before the first event.

        Raises:
            CodeFailed: If ``initial`` is a function and fails.
        """
        try:
            with self._project.running():
                return self._evolving.initial()
        except (Exception, SystemExit) as error:
            raise self._project.failed("initial", error) from error

    def fold(self, state: Any, events: Iterable[Event]) -> Any:  # noqa: ANN401
        """Fold events into the state, which may be changed in place.

        Raises:
            CodeFailed: If ``evolve`` fails; the message names the event, and the line of the file.
        """
        remaining = iter(events)
        # The events are taken while the project's modules are away, since making them may import ours.
        while batch := list(islice(remaining, _BATCH)):
            try:
                with self._project.running():
                    state = self._evolving.fold(state, batch)
            except CodeFailed as failed:
                raise self._with_line(failed) from failed.__cause__
        return state

    def _with_line(self, failed: CodeFailed) -> CodeFailed:
        assert failed.__cause__ is not None
        message = f"{failed.message} ({self._project.locate(failed.__cause__)})"
        forgotten = "'NoneType'" in failed.message  # by far the commonest mistake
        return CodeFailed(message, "does evolve always return the state?" if forgotten else failed.hint, **failed.facts)

    def _require(self, module: ModuleType, name: str) -> Any:  # noqa: ANN401
        if not hasattr(module, name):
            raise self._wrong(f"it does not define {name}")
        return getattr(module, name)

    def _types_of(self, module: ModuleType) -> tuple[str, ...] | None:
        types = getattr(module, "types", None)
        if types is None or isinstance(types, ModuleType):  # 'import types' is the library's
            return None
        if not isinstance(types, list | tuple) or not all(isinstance(name, str) for name in types):
            raise self._wrong('types is not a list of event types, as in types = ["money.deposited"]')
        return tuple(types)

    def _wrong(self, problem: str) -> CodeFailed:
        return CodeFailed(
            f"{self._project.sources.entry}: {problem}",
            "a reducer defines initial and evolve(state, event); see 'evcli help reducers'",
        )


def _take_away(tops: frozenset[str]) -> dict[str, ModuleType]:
    """Take these top-level modules, and all below them, out of ``sys.modules``, and return them."""
    if not tops:
        return {}
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in tops}


def _is_installed(name: str) -> bool:
    spec = PathFinder.find_spec(name)
    return spec is not None and spec.loader is not None
