"""A SQL expression as a check of rows that are in no file: they are held in memory, and asked after each change.

What it means is what it means in ``query rows --where``: a row passes if it would be selected.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from evcli.storage.sql_reading import heed_signals, only_reading, sql_told
from evcli.storage.sql_tokens import fold_case, names_in
from evcli.storage.view_file import Row, create_rows, quote
from evcli.storage.view_sql import SqlValue, read_expression

_KEY: Final = "evcli_key"


class RowCheck:
    """Rows in memory, and an expression that all of them are to pass.

    Args:
        table: The name of their table, for subqueries.
        columns: The columns that they have besides their own, name to SQL type.
        expression: The expression.
        params: The values of its parameters.
        what: What the expression was given as, for messages.

    Raises:
        Usage: If the expression is not well formed, or does more than read.
    """

    def __init__(
        self, table: str, columns: Mapping[str, str], expression: str, params: Mapping[str, SqlValue], *, what: str
    ) -> None:
        import sqlite3

        read = read_expression(expression, columns, params, what)
        self._what, self._hint = what, read.hint
        self._params = dict(params)
        # A subquery may look at any row: a change of one may fail another.
        self.looks_around = any(fold_case(name) == "select" for name in names_in(read.tokens))
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        create_rows(self._connection, table, columns)
        rows = quote(table)
        which = "" if self.looks_around else f"key = :{_KEY} and "
        self._failing = (
            f"{read.over(table)} select key from {rows} where {which}(\n{expression}\n) is not true"  # noqa: S608 (quoted, and checked)
            " order by key limit 1"
        )
        self._put = f"insert or replace into {rows} (key, value, version, position) values (?, ?, ?, ?)"  # noqa: S608
        self._drop = f"delete from {rows} where key = ?"  # noqa: S608
        # What may be compiled is settled here, once: the very text is run without the authorizer, which is slow, below.
        with only_reading(self._connection, [table], what, self._hint):
            self._ask("")
        heed_signals(self._connection)

    def put(self, row: Row) -> None:
        """Take a row in, or what has become of it."""
        self._connection.execute(self._put, (row.key, row.value.decode(), row.version, row.position))

    def drop(self, key: str) -> None:
        """Let go of a row that is gone."""
        self._connection.execute(self._drop, (key,))

    def find_failing(self, changed: Iterable[str]) -> str | None:
        """Return the key of a row that does not pass; None if all do, those that are not ``changed`` having passed before.

        Raises:
            Usage: If the expression cannot be worked out for a row.
        """
        with sql_told(self._what, self._hint):
            for key in changed:
                if (failing := self._ask(key)) is not None or self.looks_around:
                    return failing
        return None

    def __del__(self) -> None:
        # A check is asked as long as somebody has it; nobody else has the connection, and it wants to be closed.
        if hasattr(self, "_connection"):
            self._connection.close()

    def _ask(self, key: str) -> str | None:
        params = self._params if self.looks_around else self._params | {_KEY: key}
        found = self._connection.execute(self._failing, params).fetchone()
        return None if found is None else str(found[0])
