"""View definitions: what a view's rows are made by, known by a fingerprint, and loaded only when there is something to fold."""

from collections.abc import Callable, Mapping

from evcli.domain.reducers import BUILT_IN, Evolving
from evcli.domain.values import copy_json
from evcli.light_typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from evcli.project.definitions import ProgramDefinition, PythonDefinition, digest

if TYPE_CHECKING:
    from evcli.domain.views import EvolvingRows, RowReducer
    from evcli.project.code import PythonRowReducer


class RowsDefinition(Protocol):
    """What a view's rows are made by."""

    def describe(self) -> str:
        """Say in a few words what that is."""
        ...

    def fingerprint(self, cache_dir: str | None) -> str:
        """Return a hex digest of all that decides what rows the events make; see `ReducerDefinition`."""
        ...

    def load(self) -> "RowReducer":
        """Return what makes them; see `ReducerDefinition`."""
        ...


class ViewDefinition(NamedTuple):
    """What a ``[views.NAME]`` table says: the streams, the SQL columns (name to type), and what the rows are made by."""

    name: str
    patterns: tuple[str, ...]
    columns: Mapping[str, str]
    rows: RowsDefinition

    def describe(self) -> str:
        """Say in a few words what its rows are made by."""
        return self.rows.describe()

    def fingerprint(self, cache_dir: str | None) -> str:
        """Return a hex digest of all that decides what the rows are, columns included."""
        return digest("view", sorted(set(self.patterns)), self.columns, self.rows.fingerprint(cache_dir))

    def load(self) -> "RowReducer":
        """Return what the rows are made by."""
        return self.rows.load()


class RulesRows(NamedTuple):
    """Rows made by declarative rules, under the key that is found at ``key``."""

    rules: Mapping[str, Any]
    compile: Callable[[], Evolving]
    key: str

    def describe(self) -> str:
        """Name the key."""
        return f"rules, key {self.key}"

    def fingerprint(self, cache_dir: str | None) -> str:
        """Digest the rules in their order, and the key."""
        del cache_dir
        return digest("rules", self.rules, self.key)

    def load(self) -> "RowReducer":
        """Return the compiled rules."""
        return _of_reducer(self.compile(), self.key)


class BuiltInRows(NamedTuple):
    """Rows made by a built-in reducer."""

    reducer: str
    key: str

    def describe(self) -> str:
        """Name the reducer and the key."""
        return f"{self.reducer}, key {self.key}"

    def fingerprint(self, cache_dir: str | None) -> str:
        """Digest the names."""
        del cache_dir
        return digest("built-in", self.reducer, self.key)

    def load(self) -> "RowReducer":
        """Return it from the table."""
        reducer = BUILT_IN[self.reducer]
        assert isinstance(reducer, Evolving)
        return _of_reducer(reducer, self.key)


class PythonRows(NamedTuple):
    """Rows made by a Python file; ``name`` is how the ``evcli.toml`` names it."""

    name: str
    code: "PythonDefinition[PythonRowReducer]"

    def describe(self) -> str:
        """Name the file."""
        return self.name

    def fingerprint(self, cache_dir: str | None) -> str:
        """Digest the project's files; see `PythonDefinition`."""
        return self.code.fingerprint(cache_dir)

    def load(self) -> "RowReducer":
        """Load the file."""
        return self.code.load()


class ProgramRows(NamedTuple):
    """Rows made by a program, under the key that is found at ``key``."""

    program: ProgramDefinition
    key: str

    def describe(self) -> str:
        """Name the program and the key."""
        return f"exec:{self.program.command}, key {self.key}"

    def fingerprint(self, cache_dir: str | None) -> str:
        """Digest the program, see `ProgramDefinition`, and the key."""
        return digest(self.program.fingerprint(cache_dir), self.key)

    def load(self) -> "RowReducer":
        """Return the program as a reducer of rows."""
        from evcli.domain.views import key_at
        from evcli.project.row_programs import ExecRowReducer

        self.program.permit(self.program.command)
        return ExecRowReducer(self.program.command, directory=self.program.directory, key_of=key_at(self.key))


def _of_reducer(reducer: Evolving, key: str) -> "EvolvingRows":
    from evcli.domain.views import EvolvingRows, key_at

    return EvolvingRows(key_at(key), lambda: copy_json(reducer.make_initial()), reducer.evolve, reducer.types)
