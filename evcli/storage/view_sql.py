"""SQL over view files: a user's expression over rows, or a whole statement over views; it only ever reads.

A user's text is compiled by SQLite under an authorizer, with values as parameters. In an expression, each name that is
no column is defined as the value's member of that name, in a subquery that SQLite flattens: so indexes are used.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from evcli.domain.views import OWN_COLUMNS
from evcli.errors import Usage
from evcli.storage.view_file import Row, quote, readonly_uri, text_literal

if TYPE_CHECKING:
    import sqlite3

SqlValue = str | int | float | None
"""What a parameter may be."""
Hint = Callable[[str], str]
"""Returns the next step for SQLite's message."""

_TOKEN: Final = re.compile(
    r"""(?P<text>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])|(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))"""
    r"""|(?P<param>[:@$][^\W\d]\w*)|(?P<number>\d[\w.]*)|(?P<name>[^\W\d][\w$]*)|(?P<other>\S)""",
    re.DOTALL,
)
_NO_MEMBERS: Final = frozenset({"true", "false", "null"})
_FORBIDDEN_FUNCTIONS: Final = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})
_STEPS_BETWEEN_LOOKS: Final = 100_000


class RowQuery(NamedTuple):
    """Which rows, in which order: an expression with its parameters, names to sort by (``-qty``: descending), how many."""

    where: str | None = None
    params: Mapping[str, SqlValue] = {}
    sort: tuple[str, ...] = ()
    limit: int | None = None


class SqlAnswer(NamedTuple):
    """What a statement selects: its columns, and its rows as they come."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


def select_rows(
    connection: "sqlite3.Connection", table: str, columns: Collection[str], query: RowQuery
) -> Iterator[Row]:
    """Yield the rows of an open view file that a query selects, by key where it does not say otherwise.

    Raises:
        Usage: If the expression is not well formed, or does more than read.
    """
    known = {name.lower() for name in (*OWN_COLUMNS, *columns)}
    members: dict[str, str] = {}
    for name in (*_names_in(query.where or ""), *(name.removeprefix("-") for name in query.sort)):
        if name.lower() not in known and name.lower() not in _NO_MEMBERS:
            other = members.setdefault(name.lower(), name)
            if other != name:
                raise Usage(f"{other!r} and {name!r} are one name to SQL", f"write json_extract(value, '$.{name}')")
    defined = "".join(f", {_member(name)} as {quote(name)}" for name in members.values())
    where = f"where (\n{_checked(query.where)}\n)" if query.where is not None else ""
    order = "".join(f"{quote(name.removeprefix('-'))}{' desc' * name.startswith('-')}, " for name in query.sort)
    limit = f"limit {int(query.limit)}" if query.limit is not None else ""
    sql = (
        f"select key, value, version, position from (select *{defined} from {quote(table)}) {where}"  # noqa: S608 (quoted, and checked)
        f" order by {order}key {limit}"
    )
    with _only_reading(connection):
        cursor = _execute(connection, sql, query.params, hint=_expression_hint)
        for key, value, version, position in _step(cursor, hint=_expression_hint):
            yield Row(key, value.encode(), version, position)


def run_sql(files: Mapping[str, str], sql: str, params: Mapping[str, SqlValue]) -> SqlAnswer:
    """Run one select over views, each of which is a table.

    Args:
        files: The paths of the views' files, by view.
        sql: The statement.
        params: The values of its parameters.

    Raises:
        Usage: If it is not well formed, does more than read, or names too many views.
    """
    import sqlite3

    if not any(token.lastgroup != "comment" for token in _TOKEN.finditer(sql)):
        raise Usage("the statement is empty", "for example: evcli query sql 'select count(*) from VIEW'")
    connection = sqlite3.connect(":memory:", isolation_level=None, uri=True, check_same_thread=False)
    for number, (view, path) in enumerate(files.items()):
        try:
            connection.execute("attach ? as ?", (readonly_uri(path), f"view{number}"))
        except sqlite3.OperationalError as error:
            if "too many attached" not in str(error):
                raise
            raise Usage(f"the statement names {len(files)} views: {error}", "ask them in several statements") from error
        connection.execute(f"create temp view {quote(view)} as select * from view{number}.{quote(view)}")  # noqa: S608 (quoted)
    connection.execute("begin")
    _restrict(connection)

    def hint(problem: str) -> str:
        return _statement_hint(problem, files)

    cursor = _execute(connection, sql, params, hint=hint)
    if cursor.description is None:
        raise Usage("the statement selects nothing", "for example: select key from VIEW")
    return SqlAnswer(tuple(column[0] for column in cursor.description), _rows_of(connection, cursor, hint))


def views_in(sql: str, names: Iterable[str]) -> list[str]:
    """Return those of the views' ``names`` that a statement may refer to."""
    found = {name.lower() for name in _names_in(sql)}
    return [name for name in names if name.lower() in found]


def _names_in(sql: str) -> list[str]:
    """Return the identifiers of a text, quoted ones without their quotes, each once, keywords among them."""
    names: dict[str, None] = {}
    for token in _TOKEN.finditer(sql):
        if token["name"]:
            names[token["name"]] = None
        elif token["quoted"]:
            mark = token["quoted"][0]
            names[token["quoted"][1:-1].replace(mark * 2, mark)] = None
    return list(names)


def _checked(where: str | None) -> str:
    """Return an expression that cannot reach out of the parentheses it is put in."""
    depth, something = 0, False
    for token in _TOKEN.finditer(where or ""):
        text = token["other"] or ""
        something = something or token.lastgroup != "comment"
        depth += (text == "(") - (text == ")")
        if depth < 0 or text in (";", "'", '"', "`", "["):
            raise Usage(
                f"{where!r} is not one expression",
                "check its parentheses and quotes, as in \"qty < 5 and name = 'mug'\"",
            )
        if token["comment"] and token["comment"].startswith("/*") and not token["comment"].endswith("*/"):
            raise Usage(f"{where!r} has a comment without an end", "end it with */")
    if depth or not something:
        raise Usage(f"{where!r} is not one expression", 'check its parentheses, as in "qty < 5 and (a or b)"')
    return where or ""


def _member(name: str) -> str:
    if '"' in name or "\\" in name:
        raise Usage(
            f"the name {name!r} holds a quote or a backslash",
            "ask for it with a LIKE on value, or declare no such names",
        )
    path = f'$."{name}"'
    return f"json_extract(value, {text_literal(path)})"


@contextmanager
def _only_reading(connection: "sqlite3.Connection") -> Iterator[None]:
    _restrict(connection)
    try:
        yield
    finally:
        connection.set_authorizer(None)
        connection.set_progress_handler(None, 0)


def _restrict(connection: "sqlite3.Connection") -> None:
    """Let a connection do nothing but read, and let it be interrupted."""
    import sqlite3

    allowed = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}

    def authorize(action: int, _one: str | None, other: str | None, _database: str | None, _by: str | None) -> int:
        if action in allowed or (
            action == sqlite3.SQLITE_FUNCTION and (other or "").lower() not in _FORBIDDEN_FUNCTIONS
        ):
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    connection.set_authorizer(authorize)
    # Python looks for signals between its own steps: without this, Ctrl-C would wait for SQLite.
    connection.set_progress_handler(lambda: 0, _STEPS_BETWEEN_LOOKS)


def _execute(
    connection: "sqlite3.Connection", sql: str, params: Mapping[str, SqlValue], *, hint: Hint
) -> "sqlite3.Cursor":
    with _telling(hint):
        return connection.execute(sql, dict(params))


def _step(cursor: "sqlite3.Cursor", *, hint: Hint) -> Iterator[tuple[Any, ...]]:
    with _telling(hint):
        yield from cursor


@contextmanager
def _telling(hint: Hint) -> Iterator[None]:
    """Let what is wrong with a user's SQL be told as that, an interruption be one, and all else pass."""
    import sqlite3

    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
        problem = str(error)
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        if code == sqlite3.SQLITE_AUTH:
            raise Usage(f"that is not allowed here: {problem}", "queries only read: one select over views") from error
        if code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_MISMATCH):
            raise Usage(f"SQL: {problem}", hint(problem)) from error
        raise


def _rows_of(connection: "sqlite3.Connection", cursor: "sqlite3.Cursor", hint: Hint) -> Iterator[tuple[Any, ...]]:
    try:
        yield from _step(cursor, hint=hint)
    finally:
        connection.close()


def _expression_hint(problem: str) -> str:
    if problem.startswith("no such column") and "." in problem:
        return "for what lies deeper in the value: json_extract(value, '$.address.city')"
    if "binding" in problem or "parameter" in problem:
        return "give each :name its value: --param name=text, or name:=5"
    return "it is an expression of SQLite's over one row, as in \"qty < 5 and name like '%mug%'\""


def _statement_hint(problem: str, files: Mapping[str, str]) -> str:
    if problem.startswith("no such table"):
        return f"the tables are the views of evcli.toml{'; it names ' + ', '.join(files) if files else ''}"
    if problem.startswith("no such column"):
        return "a view has key, value, version, position and its columns; for others json_extract(value, '$.name')"
    if "binding" in problem or "parameter" in problem:
        return "give each :name its value: --param name=text, or name:=5"
    return "it is one select of SQLite's over views"
