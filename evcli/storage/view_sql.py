"""SQL over view files: a user's expression over rows, or a whole statement over views; it only ever reads.

A user's text is compiled by SQLite under an authorizer that allows what is named here, with values as parameters. In an
expression, each name that is no column is defined as the value's member of that name, in a table expression that SQLite
flattens: so indexes are used.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from math import isinf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from evcli.domain.values import kind_of
from evcli.domain.views import OWN_COLUMNS
from evcli.errors import Busy, StorageFailed, Usage
from evcli.storage.sql_reading import not_allowed, only_reading
from evcli.storage.sql_tokens import (
    Members,
    Token,
    check_expression,
    check_utf8,
    dotted_name_in,
    fold_case,
    members_in,
    names_in,
    one_statement,
    params_in,
    tokenise,
)
from evcli.storage.view_file import (
    FileUnusable,
    Overtaken,
    Row,
    quote,
    readonly_uri,
    sqlite_errors,
    text_literal,
)

if TYPE_CHECKING:
    import sqlite3

SqlValue = str | int | float | None
"""What a parameter may be."""

_WHERE: Final = "--where"
_SORT: Final = "--sort"
_SQL: Final = "query sql"
_VERBS: Final = frozenset({"select", "with", "values", "explain"})
_MANUAL: Final = "it is SQL as SQLite has it; see 'evcli help views'"


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
        Usage: If the query is not well formed, or does more than read.
        sqlite3.DatabaseError: If the file is damaged.
    """
    known = {fold_case(name) for name in (*OWN_COLUMNS, *columns)}
    expression = read_expression(query.where, columns, query.params, _WHERE)
    source = quote(table)
    where = f" where (\n{query.where}\n)" if query.where is not None else ""  # the line's end also ends a comment
    # Left to itself, SQLite goes through all rows by key, to save a sort, rather than use the index of a column.
    declared = {fold_case(name) for name in columns}
    by_key = "+key" if any(fold_case(name) in declared for name in names_in(expression.tokens)) else "key"
    order = ", ".join([_sort_term(term, table, known) for term in query.sort] + [by_key])
    sql = (
        f"{expression.over(table)} select key, value, version, position from {source}{where}"  # noqa: S608 (quoted, and checked)
        f" order by {order}{_limit(query.limit)}"
    )
    with only_reading(connection, [table], _WHERE, expression.hint):
        for key, value, version, position in connection.execute(sql, dict(query.params)):
            yield Row(key, value.encode(), version, position)


def read_expression(
    text: str | None, columns: Iterable[str], params: Mapping[str, SqlValue], what: str
) -> "Expression":
    """Read a user's expression over rows; None for none.

    Args:
        text: The expression.
        columns: The columns that the rows have besides their own.
        params: The values of its parameters.
        what: What it was given as, for messages.

    Raises:
        Usage: If it is not well formed.
    """
    tokens: Sequence[Token] = ()
    members = Members((), ())
    if text is not None:
        tokens = tokenise(text, what)
        check_expression(tokens, what)
        members = members_in(tokens, {fold_case(name) for name in (*OWN_COLUMNS, *columns)}, what)
    _check_params(tokens, params, what)
    return Expression(tokens, members)


class Expression(NamedTuple):
    """A user's expression over rows, as words, and the names in it that are no columns."""

    tokens: Sequence[Token]
    members: Members

    def over(self, table: str) -> str:
        """Return the SQL that defines these names, each as the value's member, in a source with the table's own name.

        With that name, a subquery over the table finds members as the expression around it does.
        """
        source = quote(table)
        defined = "".join(f", {_member(name, 't')} as {quote(name)}" for name in self.members.defined)
        return f"with {source} as (select t.*{defined} from main.{source} as t)"  # noqa: S608 (quoted)

    def hint(self, problem: str) -> str:
        """Return the next step for what SQLite says of the expression."""
        return _expression_hint(problem, self.members.ambiguous, dotted_name_in(self.tokens))


def run_sql(files: Mapping[str, str], sql: str, params: Mapping[str, SqlValue]) -> SqlAnswer:
    """Run one select over views, each of which is a table; its rows are to be read, or closed.

    Args:
        files: The paths of the views' files, by view.
        sql: The statement.
        params: The values of its parameters.

    Raises:
        Usage: If it is not well formed, does more than read, names too many views, or selects what JSON cannot hold.
        StorageFailed: If a file turns out to be damaged.
        Busy: If one is changed in a way that readers do have to wait for.
    """
    rows = _from_files(files, _run(files, sql, params))
    return SqlAnswer(next(rows), rows)


def views_in(sql: str, names: Iterable[str]) -> list[str]:
    """Return those of the views' ``names`` that a statement may refer to.

    Raises:
        Usage: If the statement is not well formed.
    """
    found = {fold_case(name) for name in names_in(tokenise(sql, _SQL))}
    return [name for name in names if fold_case(name) in found]


def _from_files(files: Mapping[str, str], rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    try:
        with sqlite_errors():
            yield from rows
    except Overtaken as error:
        raise Busy(f"{_SQL}: another process has locked a view's file", "ask again") from error
    except FileUnusable as error:
        for path in files.values():  # which of them it is, SQLite does not say
            with suppress(FileNotFoundError):
                os.unlink(path)
        raise StorageFailed(
            f"a snapshot file of {', '.join(files)} is damaged, and was deleted: {error}", "ask again"
        ) from error


def _run(files: Mapping[str, str], sql: str, params: Mapping[str, SqlValue]) -> Iterator[tuple[Any, ...]]:
    """Yield the names of the columns, then the rows."""
    import sqlite3

    tokens = tokenise(sql, _SQL)
    sql = one_statement(sql, tokens, _SQL)
    if fold_case(tokens[0].text) not in _VERBS:
        raise not_allowed(_SQL, tokens[0].text)
    _check_params(tokens, params, _SQL)
    with closing(sqlite3.connect(":memory:", isolation_level=None, uri=True, check_same_thread=False)) as connection:
        if len(files) > (most := connection.getlimit(sqlite3.SQLITE_LIMIT_ATTACHED)):
            raise Usage(f"{_SQL}: the statement names {len(files)} views, and {most} are the most", "ask in several")
        for number, (view, path) in enumerate(files.items()):
            connection.execute("attach ? as ?", (readonly_uri(path), f"view{number}"))
            connection.execute(f"create temp view {quote(view)} as select * from view{number}.{quote(view)}")  # noqa: S608 (quoted)
        connection.text_factory = lambda text: text.decode(errors="replace")
        connection.execute("begin")
        with only_reading(connection, files, _SQL, _statement_hint):
            cursor = connection.execute(sql, dict(params))
            columns = _tell_apart([column[0] for column in cursor.description])
            yield columns
            for row in cursor:
                for name, value in zip(columns, row, strict=True):
                    if isinstance(value, bytes) or (isinstance(value, float) and isinf(value)):
                        raise _no_json(name, value)
                yield row


def _no_json(name: str, value: SqlValue | bytes) -> Usage:
    if isinstance(value, bytes):
        return Usage(
            f"{_SQL}: column {name!r} holds a blob, which JSON cannot", f"select hex({name}), or cast({name} as text)"
        )
    return Usage(f"{_SQL}: column {name!r} holds an infinite number, which JSON cannot", f"select cast({name} as text)")


def _tell_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of which no two are the same, as SQLite does it for the columns of a view: ``key``, ``key:1``."""
    taken: dict[str, None] = {}
    for name in names:
        free, number = name, 0
        while free in taken:
            number += 1
            free = f"{name}:{number}"
        taken[free] = None
    return tuple(taken)


def _member(name: str, source: str) -> str:
    """Return the SQL for a value's member; NULL where the value is no object, or has none of that name."""
    if name and not any(char in '"\\' or char < " " for char in name):
        path = f'$."{name}"'
        return f"json_extract({source}.value, {text_literal(path)})"
    # Versions of SQLite differ in how a path spells what JSON escapes.
    return f"(select m.value from json_each({source}.value) as m where m.key = {text_literal(name)})"  # noqa: S608


def _sort_term(term: str, table: str, known: Collection[str]) -> str:
    """Return the SQL for a name to sort by, written as it would be in an expression."""
    tokens = tokenise(term.removeprefix("-"), _SORT)
    if len(tokens) != 1 or tokens[0].kind not in ("name", "quoted"):
        dotted = dotted_name_in(tokens)
        raise Usage(
            f"{_SORT} {term!r} is not one name",
            f"for what lies deeper: evcli {_SQL} \"select … order by json_extract(value, '$.{dotted}')\""
            if dotted
            else 'as in qty or -qty; one with other characters is written in "double quotes"',
        )
    name, row = tokens[0].text, quote(table)
    of_row = f"{row}.{quote(name)}" if fold_case(name) in known else _member(name, row)
    return of_row + " desc" * term.startswith("-")


def _limit(limit: int | None) -> str:
    if limit is None:
        return ""
    if not 0 <= limit < 1 << 63:
        raise Usage(f"--limit {limit} is no number of rows", "as in --limit 10")
    return f" limit {int(limit)}"


def _check_params(tokens: Iterable[Token], params: Mapping[str, SqlValue], what: str) -> None:
    used = params_in(tokens)
    for name in used:
        if name not in params:
            raise Usage(f"{what}: :{name} has no value", f"give it one: --param {name}=text, or {name}:=5 for a number")
    for name, value in params.items():
        if name not in used:
            raise Usage(f"{what}: there is no :{name} to take the value of --param {name}", f"write it as :{name}")
        if not isinstance(value, str | int | float | None):
            raise Usage(
                f"the parameter {name!r} is no single value but {kind_of(value)}", "give a text, a number or null"
            )
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise Usage(
                f"the parameter {name!r} is too large for SQL: {value}", "whole numbers have 64 bits with a sign"
            )
        if isinstance(value, str) and not value.isascii():
            check_utf8(value, f"the parameter {name!r}")


def _expression_hint(problem: str, ambiguous: Sequence[str], dotted: str | None) -> str:
    for name in ambiguous:
        if problem.endswith(f"no such column: {name}"):
            return f"it is written in two ways that differ only in case: use json_extract(value, '$.{name}')"
    if dotted and ("no such column" in problem or 'near "."' in problem):
        return f"what lies deeper is written json_extract(value, '$.{dotted}')"
    if "syntax error" in problem:
        return 'as in "qty < 5 and name like :name"; a name that is a keyword is written in "double quotes"'
    return _MANUAL


def _statement_hint(problem: str) -> str:
    if "no such table" in problem:
        return 'see what views there are: evcli view list; one with a dash is written in "double quotes"'
    if "no such column" in problem:
        return "a view has key, value, version, position and its columns; for members json_extract(value, '$.name')"
    return _MANUAL
