"""``evcli.toml``: which reducer a stream has, and which views there are. Data, not code; what it names runs only when it is trusted."""

import os
from collections.abc import Callable
from functools import cache, cached_property

from evcli.domain.names import compile_pattern
from evcli.domain.reducers import BUILT_IN, Reducer, ReducerDefinition
from evcli.errors import BadConfig, NotFound, Refused, Usage
from evcli.light_typing import TYPE_CHECKING, Any, Final, NamedTuple
from evcli.places import CONFIG_FILE
from evcli.project.definitions import (
    EXEC_PREFIX,
    BuiltInDefinition,
    Permission,
    ProgramDefinition,
    PythonDefinition,
    RulesDefinition,
    is_decider,
    is_reducer,
    python_reducer,
    require_trust,
)
from evcli.project.toml_file import Keys, TomlFile, parse_keys

if TYPE_CHECKING:
    from evcli.domain.undoing import Undo
    from evcli.project.deciders import DeciderDefinition
    from evcli.project.view_definitions import ViewDefinition

DEFAULT_REDUCER: Final = "merge"
_STREAM_KEYS: Final = ("reducer", "decider", "undo", "initial")


class StreamConfig(NamedTuple):
    """What a ``[streams."PATTERN"]`` table says.

    ``line`` returns that of its reducer; ``permit`` is asked before its decider runs; ``undo`` is what it declares of undoing.
    """

    pattern: str
    matches: Callable[[str], bool]
    reducer: ReducerDefinition
    decider: str | None
    permit: Permission
    line: Callable[[], int]
    undo: "Undo | None" = None


class Config:
    """What an ``evcli.toml`` says: its streams' and its views' tables in file order. Without a file, ``path`` is empty.

    ``read_views`` reads the views' tables when they are first asked for; ``note`` is for whoever may write to the cache: it
    notes what the file says there, so that it need not be parsed the next time.
    """

    def __init__(
        self,
        path: str = "",
        streams: tuple[StreamConfig, ...] = (),
        read_views: "Callable[[], tuple[ViewDefinition, ...]]" = tuple,
        note: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self.streams = streams
        self.note = note
        self._read_views = read_views

    @cached_property
    def views(self) -> "tuple[ViewDefinition, ...]":
        """The views' tables, in file order."""
        return self._read_views()

    def definition_for(self, stream: str) -> ReducerDefinition:
        """Return the reducer definition of the first pattern that matches; the built-in merge if none does.

        Raises:
            BadConfig: If it names a file that is not there.
        """
        for entry in self.streams:
            if entry.matches(stream):
                found = entry.reducer
                if isinstance(found, PythonDefinition) and not os.path.isfile(found.path):
                    raise BadConfig(
                        self.path, entry.line(), f"streams.{entry.pattern}", f"there is no file {found.path}"
                    )
                return found
        return BuiltInDefinition(DEFAULT_REDUCER)

    def decider_for(self, stream: str) -> "DeciderDefinition":
        """Return what decides on the commands to a stream, as the first pattern that matches has it.

        Raises:
            NotFound: If it has none.
        """
        decider = self.decider_if_any(stream)
        if decider is not None:
            return decider
        found = next((entry for entry in self.streams if entry.matches(stream)), None)
        place = f'[streams."{found.pattern if found else "PATTERN"}"]'
        raise NotFound(
            f"nothing decides on commands to {stream}",
            f'name a decider in {self.path or CONFIG_FILE}: {place} decider = "bank.py" (evcli help deciders)',
            stream=stream,
        )

    def decider_if_any(self, stream: str) -> "DeciderDefinition | None":
        """Return what decides on the commands to a stream; None if nothing does."""
        found = next((entry for entry in self.streams if entry.matches(stream)), None)
        if found is None or found.decider is None:
            return None
        from evcli.project.deciders import define_decider

        return define_decider(found.decider, os.path.dirname(os.path.abspath(self.path)), found.permit)

    def undo_for(self, stream: str) -> "Undo | None":
        """Return what is declared of undoing a stream's events, as the first pattern that matches has it."""
        return next((entry.undo for entry in self.streams if entry.matches(stream)), None)

    def view(self, name: str) -> "ViewDefinition":
        """Return the definition of a view.

        Raises:
            NotFound: If there is none of that name.
        """
        for view in self.views:
            if view.name == name:
                return view
        known = ", ".join(view.name for view in self.views)
        if known:
            raise NotFound(f"no view {name}", f"{self.path} has: {known}", view=name)
        where = f"in {self.path}" if self.path else "since there is no evcli.toml"
        raise NotFound(f"no view {name} {where}", "'evcli help views' shows how to declare one", view=name)


def load_config(path: str | None, *, state_root: str | None = None, cache: str | None = None) -> Config:
    """Read an ``evcli.toml``.

    Args:
        path: The file; None for no file.
        state_root: Where trust is recorded; None where no code may run.
        cache: The root of the caches; None to do without.

    Raises:
        BadConfig: If it is wrong, with line and key: also for a key that evcli does not know.
    """
    if path is None:
        return Config()
    file = TomlFile(path, cache)
    tables = file.table((), file.tables, known=("streams", "views"))
    streams = file.table(("streams",), tables.get("streams", {}))
    found = tuple(_read_stream(file, pattern, table, state_root) for pattern, table in streams.items())

    def read_all_views() -> "tuple[ViewDefinition, ...]":
        from evcli.project.view_config import read_views

        return read_views(file, file.table(("views",), tables["views"]), state_root)

    config = Config(path, found, read_all_views if "views" in tables else tuple, file.note)
    if not file.is_known:
        config.views  # noqa: B018 (raises where one is wrong)
    return config


def parse_reducer(
    text: str, base_dir: str, *, from_command_line: bool, state_root: str | None = None
) -> ReducerDefinition:
    """Read ``NAME``, ``FILE.py`` or ``exec:PROGRAM``; files are looked up, and programs run, in ``base_dir``.

    Code from the command line is trusted by being named; other code if ``base_dir`` is trusted.

    Raises:
        Usage: If it is none of them, or the file is not there.
    """
    if not is_reducer(text):
        names = ", ".join(BUILT_IN)
        raise Usage(f"there is no reducer {text!r}", f"use {names}, a FILE.py, or 'exec:PROGRAM'")
    if not from_command_line:
        return _define(
            text, base_dir, lambda what: require_trust(os.path.join(base_dir, CONFIG_FILE), what, state_root)
        )
    definition = _define(text, base_dir, lambda _what: None)
    if isinstance(definition, PythonDefinition) and not os.path.isfile(definition.path):
        raise Usage(f"there is no file {definition.path}", "check the name of the reducer's file")
    return definition


def parse_decider(text: str, base_dir: str) -> "DeciderDefinition":
    """Read ``FILE.py`` or ``exec:PROGRAM`` from the command line, which is trusted by being named there.

    Raises:
        Usage: If it is neither, or the file is not there.
    """
    from evcli.project.deciders import PythonDeciderDefinition, define_decider

    if not is_decider(text):
        raise Usage(f"there is no decider {text!r}", "use a FILE.py, or 'exec:PROGRAM'")
    definition = define_decider(text, base_dir, lambda _what: None)
    if isinstance(definition, PythonDeciderDefinition) and not os.path.isfile(definition.path):
        raise Usage(f"there is no file {definition.path}", "check the name of the decider's file")
    return definition


def _define(text: str, base_dir: str, permit: Permission, initial: Any = None) -> ReducerDefinition:  # noqa: ANN401
    if text.startswith(EXEC_PREFIX):
        return ProgramDefinition(text.removeprefix(EXEC_PREFIX).strip(), base_dir, permit, initial)
    if text in BUILT_IN:
        return BuiltInDefinition(text)
    return python_reducer(os.path.join(base_dir, text), permit)


def _read_stream(file: TomlFile, pattern: str, value: Any, state_root: str | None) -> StreamConfig:  # noqa: ANN401
    keys: Keys = ("streams", pattern)
    try:
        matches = compile_pattern(pattern)
    except Refused as error:
        file.fail(keys, f"{error.message}; {error.hint}")
    table = file.table(keys, value, known=_STREAM_KEYS)
    decider, at = table.get("decider"), (*keys, "decider")
    if decider is not None and not (isinstance(decider, str) and is_decider(decider)):
        file.fail(at, 'this is no decider; use a FILE.py or "exec:PROGRAM"')

    def permit(what: str) -> None:
        if not str(decider).startswith(EXEC_PREFIX) and not os.path.isfile(what):  # the states need no decider
            file.fail(at, f"there is no file {what}")
        require_trust(file.path, what, state_root)

    definition = _read_reducer(file, keys, table, state_root)
    undo = _read_undo(file, (*keys, "undo"), table["undo"]) if "undo" in table else None
    return StreamConfig(pattern, matches, definition, decider, permit, lambda: file.line_of((*keys, "reducer")), undo)


def _read_undo(file: TomlFile, keys: Keys, value: Any) -> "Undo":  # noqa: ANN401 (a TOML value)
    from evcli.domain.rules import BadRule
    from evcli.domain.undoing import compile_undo

    try:
        return compile_undo(file.table(keys, value))
    except BadRule as error:
        file.fail((*keys, *parse_keys(error.key)), error.problem)


def _read_reducer(file: TomlFile, keys: Keys, table: dict[str, Any], state_root: str | None) -> ReducerDefinition:
    reducer, at = table.get("reducer", DEFAULT_REDUCER), (*keys, "reducer")
    is_program = isinstance(reducer, str) and reducer.startswith(EXEC_PREFIX)
    if "initial" in table and not is_program:
        file.fail((*keys, "initial"), 'this goes with reducer = "exec:…"; rules and Python files have their own')
    if isinstance(reducer, dict):
        return _read_rules(file, at, reducer)
    if not isinstance(reducer, str) or not is_reducer(reducer):
        file.fail(at, f'this is no reducer; use {", ".join(BUILT_IN)}, a FILE.py, "exec:PROGRAM", or a table of rules')
    base_dir = os.path.dirname(os.path.abspath(file.path))
    initial = _check_initial(file, (*keys, "initial"), table.get("initial"))
    return _define(reducer, base_dir, lambda what: require_trust(file.path, what, state_root), initial)


def _read_rules(file: TomlFile, keys: Keys, rules: dict[str, Any]) -> RulesDefinition:
    @cache
    def compiled() -> Reducer:
        from evcli.domain.rules import BadRule, compile_rules

        try:
            return compile_rules(rules)
        except BadRule as error:
            file.fail((*keys, *parse_keys(error.key)), error.problem)

    if not file.is_known:
        compiled()
    return RulesDefinition(rules, compiled)


def _check_initial(file: TomlFile, keys: Keys, value: Any) -> Any:  # noqa: ANN401 (a TOML value)
    from evcli.storage.codec import encode_value

    if value is not None:
        try:
            encode_value(value)
        except Refused as error:
            file.fail(keys, error.message)
    return value
