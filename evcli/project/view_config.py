"""The ``[views.NAME]`` tables of an ``evcli.toml``."""

import os
import re
from functools import cache

from evcli.domain.names import check_name, compile_pattern, is_pattern
from evcli.domain.reducers import BUILT_IN, Evolving
from evcli.errors import Refused, Usage
from evcli.light_typing import TYPE_CHECKING, Any, Final
from evcli.project.definitions import (
    EXEC_PREFIX,
    Permission,
    ProgramDefinition,
    PythonDefinition,
    is_reducer,
    require_trust,
)
from evcli.project.toml_file import Keys, TomlFile, parse_keys
from evcli.project.view_definitions import (
    BuiltInRows,
    ProgramRows,
    PythonRows,
    RowsDefinition,
    RulesRows,
    ViewDefinition,
)

if TYPE_CHECKING:
    from evcli.project.code import PythonRowReducer
    from evcli.project.sources import Sources

_KEYS: Final = ("from", "key", "columns", "initial", "on", "reducer")
_NAME: Final = r"[A-Za-z][A-Za-z0-9_-]{0,63}"
_RESERVED: Final = ("evcli", "sqlite_")
_COLUMN: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_COLUMN_TYPES: Final = ("integer", "real", "text", "numeric")
_NO_COLUMNS: Final = ("rowid", "oid", "_rowid_", "true", "false")


def read_views(file: TomlFile, tables: dict[str, Any], state_root: str | None) -> tuple[ViewDefinition, ...]:
    """Read the views' tables, in the order of the file.

    Raises:
        BadConfig: If one is wrong, with line and key.
    """
    known: set[str] = set()
    for name in tables:
        keys: Keys = ("views", name)
        if not re.fullmatch(_NAME, name) or name.lower().startswith(_RESERVED):
            file.fail(
                keys,
                "a view's name is letters, digits, '_' and '-', begins with a letter (not with evcli or sqlite_), and"
                " has at most 64 of them",
            )
        if name.lower() in known:
            file.fail(keys, "two views differ only in case, and tables of SQL cannot")
        known.add(name.lower())
    return tuple(_read_view(file, name, table, state_root) for name, table in tables.items())


def _read_view(file: TomlFile, name: str, value: Any, state_root: str | None) -> ViewDefinition:  # noqa: ANN401
    keys: Keys = ("views", name)
    table = file.table(keys, value, known=_KEYS)
    patterns = _read_patterns(file, keys, table)
    columns = _read_columns(file, keys, table)
    return ViewDefinition(name, patterns, columns, _read_rows(file, keys, table, state_root))


def _read_patterns(file: TomlFile, keys: Keys, table: dict[str, Any]) -> tuple[str, ...]:
    if "from" not in table:
        file.fail(keys, 'it says no streams; for example from = ["inventory/**"], or from = "**" for all')
    given = table["from"]
    patterns = [given] if isinstance(given, str) else given
    if not isinstance(patterns, list) or not patterns or not all(isinstance(text, str) for text in patterns):
        file.fail((*keys, "from"), 'this must be a list of names and patterns, as in ["inventory/**"]')
    for text in patterns:
        try:
            compile_pattern(text) if is_pattern(text) else check_name(text)
        except Refused as error:
            file.fail((*keys, "from"), f"{error.message}; {error.hint}")
    return tuple(patterns)


def _read_columns(file: TomlFile, keys: Keys, table: dict[str, Any]) -> dict[str, str]:
    at = (*keys, "columns")
    columns = file.table(at, table.get("columns", {}))
    if file.is_known:
        return dict(columns)
    from evcli.domain.views import OWN_COLUMNS

    known = {*OWN_COLUMNS, *_NO_COLUMNS}
    for name, kind in columns.items():
        if not re.fullmatch(_COLUMN, name):
            file.fail((*at, name), "a column's name is letters, digits and '_', and begins with no digit")
        if name.lower() in known:
            file.fail((*at, name), "there is a column of that name already")
        if kind not in _COLUMN_TYPES:
            file.fail((*at, name), f"{kind!r} is no type of a column; there are {', '.join(_COLUMN_TYPES)}")
        known.add(name.lower())
    return dict(columns)


def _read_rows(file: TomlFile, keys: Keys, table: dict[str, Any], state_root: str | None) -> RowsDefinition:
    if "reducer" not in table:
        return _read_rules(file, keys, table)
    reducer = _read_reducer(file, keys, table)
    base_dir = os.path.dirname(os.path.abspath(file.path))

    def permit(what: str) -> None:
        require_trust(file.path, what, state_root)

    if reducer.startswith(EXEC_PREFIX):
        program = ProgramDefinition(reducer.removeprefix(EXEC_PREFIX).strip(), base_dir, permit)
        return ProgramRows(program, _read_key(file, keys, table))
    if reducer in BUILT_IN:
        return BuiltInRows(reducer, _read_key(file, keys, table))
    if "key" in table:
        file.fail((*keys, "key"), "the Python file says the keys: def key(event)")
    return _read_python(file, (*keys, "reducer"), reducer, os.path.join(base_dir, reducer), permit)


def _read_reducer(file: TomlFile, keys: Keys, table: dict[str, Any]) -> str:
    reducer, at = table["reducer"], (*keys, "reducer")
    if isinstance(reducer, dict):
        file.fail(at, "the rules of a view stand in its own table: [views.NAME.on]")
    if not isinstance(reducer, str) or not is_reducer(reducer):
        names = ", ".join(BUILT_IN)
        file.fail(at, f'this is no reducer of rows; use {names}, a FILE.py, "exec:PROGRAM", or rules')
    for name in ("on", "initial"):
        if name in table:
            file.fail((*keys, name), "this goes with rules, and there is a reducer")
    return reducer


def _read_python(file: TomlFile, keys: Keys, name: str, path: str, permit: Permission) -> RowsDefinition:
    def permit_if_there(what: str) -> None:
        if not os.path.isfile(path):  # said of this view only, once it is asked for
            file.fail(keys, f"there is no file {path}")
        permit(what)

    return PythonRows(name, PythonDefinition(path, permit_if_there, _load_rows))


def _load_rows(sources: "Sources") -> "PythonRowReducer":
    from evcli.project.code import PythonRowReducer

    return PythonRowReducer(sources)


def _read_rules(file: TomlFile, keys: Keys, table: dict[str, Any]) -> RowsDefinition:
    if "on" not in table:
        file.fail(keys, "it says nothing about its rows; give it rules ([views.NAME.on]), or a reducer")
    key = _read_key(file, keys, table)
    rules: dict[str, Any] = {name: table[name] for name in ("initial", "on") if name in table}

    @cache
    def compiled() -> Evolving:
        from evcli.domain.rules import BadRule, compile_rules

        try:
            return compile_rules(rules, of_rows=True)
        except BadRule as error:
            file.fail((*keys, *parse_keys(error.key)), error.problem)

    if not file.is_known:
        compiled()
    return RulesRows(rules, compiled, key)


def _read_key(file: TomlFile, keys: Keys, table: dict[str, Any]) -> str:
    at, key = (*keys, "key"), table.get("key")
    if not isinstance(key, str):
        file.fail(at if "key" in table else keys, 'a view needs a key: key = "/data/sku", or key = "stream"')
    if file.is_known:
        return key
    from evcli.domain.views import key_at

    try:
        key_at(key)
    except Usage as error:
        file.fail(at, f"{error.message}; {error.hint}")
    return key
