"""The Python files of one project: each found as Python would, read once, and known by its hash.

What runs is what was fingerprinted, since both come from the same bytes; bytecode is neither read nor written.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from types import CodeType
from typing import Any, Final, NamedTuple

LEFT_ALONE: Final = sys.stdlib_module_names | {"evcli", "__main__"}
"""Modules that a file of the same name beside a reducer does not replace."""

Manifest = dict[str, Any]
"""``entry``, ``files`` (path to SHA-256) and ``lookups`` (directory, name, and what was found there or null).

All paths are relative to the project's directory.
"""


class _Import(NamedTuple):
    """An import statement: the directory where it begins, and the names from there."""

    directory: str
    names: tuple[str, ...]


class Sources:
    """The files of the project that a Python file makes up with the modules beside and below it.

    Args:
        entry: The file's path; the project is the directory of the file that it leads to.
    """

    def __init__(self, entry: str) -> None:
        self.entry = os.path.realpath(entry)
        self.root = os.path.dirname(self.entry)
        self._texts: dict[str, bytes] = {}
        self._lookups: dict[tuple[str, str], str | None] = {}
        self._finders: dict[str, FileFinder] = {}
        self._surveyed: set[str] = set()

    @cached_property
    def modules(self) -> frozenset[str]:
        """The names of the modules and packages in the project's directory that are the project's to import."""
        names = set()
        for name in os.listdir(self.root):
            if name.endswith(".py"):
                names.add(name.removesuffix(".py"))
            elif os.path.isfile(os.path.join(self.root, name, "__init__.py")):
                names.add(name)
        return frozenset(names - LEFT_ALONE)

    def has_read(self, path: str) -> bool:
        """Say whether the file at ``path`` is one that was read."""
        return path in self._texts

    def read(self, path: str) -> bytes:
        """Return a file's bytes, the same ones however often it is asked.

        Raises:
            OSError: If it cannot be read.
        """
        if path not in self._texts:
            with open(path, "rb") as file:
                self._texts[path] = file.read()
        return self._texts[path]

    def find(self, directory: str, fullname: str) -> ModuleSpec | None:
        """Find the module of that name in ``directory``: a package, a file, or a directory without ``__init__.py``."""
        if directory not in self._finders:
            self._finders[directory] = FileFinder(directory, (SourceFileLoader, [".py"]))
        spec = self._finders[directory].find_spec(fullname)
        if spec is not None:
            if spec.origin is not None:
                spec.loader = self.loader_of(fullname, spec.origin)
            self._lookups[directory, fullname.rpartition(".")[2]] = _place_of(spec)
        return spec

    def loader_of(self, fullname: str, path: str) -> SourceFileLoader:
        """Return what loads a module from the bytes read here."""
        return _Loader(self, fullname, path)

    def survey(self, path: str) -> None:
        """Read what the file at ``path`` may ever import from the project, so that a later import is known too."""
        if path in self._surveyed:
            return
        self._surveyed.add(path)
        for directory, names in _imports_in(self.read(path), os.path.dirname(path), self.root):
            if os.path.commonpath((directory, self.root)) == self.root:  # no more dots than the import system allows
                self._follow(directory, names)

    def manifest(self) -> Manifest:
        """Describe all that was read and found."""
        files = {self._relative(path): sha256(text).hexdigest() for path, text in sorted(self._texts.items())}
        lookups = sorted(
            (self._relative(directory), name, found and self._relative(found))
            for (directory, name), found in self._lookups.items()
        )
        return {"entry": self._relative(self.entry), "files": files, "lookups": [list(lookup) for lookup in lookups]}

    def agrees_with(self, manifest: Manifest) -> bool:
        """Say whether an earlier manifest still describes the files; nothing is imported or run."""
        try:
            if manifest["entry"] != self._relative(self.entry):
                return False
            for path, digest in manifest["files"].items():
                if sha256(self.read(self._absolute(path))).hexdigest() != digest:
                    return False
            return all(
                self._locate(self._absolute(directory), name) == (found and self._absolute(found))
                for directory, name, found in manifest["lookups"]
            )
        except (OSError, KeyError, TypeError, ValueError, AttributeError):
            return False

    def _follow(self, directory: str, names: tuple[str, ...]) -> None:
        for name in names:
            found = self._locate(directory, name)
            if found is None:
                return
            if found.endswith(".py"):
                with suppress(OSError):  # importing it will say so
                    self.survey(found)
                if os.path.basename(found) != "__init__.py":
                    return
                found = os.path.dirname(found)
            directory = found

    def _locate(self, directory: str, name: str) -> str | None:
        spec = self.find(directory, name)
        place = _place_of(spec) if spec else None
        self._lookups[directory, name] = place  # what is not there counts: once it is, it would be imported
        return place

    def _relative(self, path: str) -> str:
        return os.path.relpath(path, self.root)

    def _absolute(self, path: str) -> str:
        return os.path.normpath(os.path.join(self.root, path))


class _Loader(SourceFileLoader):
    """Loads a module from the bytes that `Sources` has read."""

    def __init__(self, sources: Sources, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self._sources = sources

    def get_data(self, path: str) -> bytes:
        return self._sources.read(path)

    def get_code(self, fullname: str) -> CodeType:
        del fullname  # a loader is made for one module
        self._sources.survey(self.path)
        return self.source_to_code(self._sources.read(self.path), self.path)


def _place_of(spec: ModuleSpec) -> str | None:
    """Return the module's file, or the directory of a package without one."""
    return spec.origin or next(iter(spec.submodule_search_locations or ()), None)


def _imports_in(text: bytes, directory: str, root: str) -> Iterator[_Import]:
    """Yield the imports of a file in ``directory``, also those inside functions."""
    import ast

    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError):  # compiling it will say so
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _outside_library(root, alias.name)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names = f"{node.module}.{alias.name}" if node.module else alias.name
                if node.level:
                    start = os.path.normpath(os.path.join(directory, *[".."] * (node.level - 1)))
                    yield _Import(start, tuple(names.split(".")))
                else:
                    yield from _outside_library(root, names)


def _outside_library(root: str, dotted: str) -> Iterator[_Import]:
    names = tuple(dotted.split("."))
    if names[0] not in LEFT_ALONE:
        yield _Import(root, names)
