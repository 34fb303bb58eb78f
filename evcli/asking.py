"""Views as Python callers and commands ask them: by key, by a SQL expression, by a whole statement."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from evcli.domain.values import Json
from evcli.given import to_instant
from evcli.read_side.opened_view import Explained
from evcli.read_side.views import Answer, Freshness, View
from evcli.storage.codec import loads
from evcli.storage.view_sql import RowQuery, SqlAnswer, SqlValue, run_sql


class ViewRow(NamedTuple):
    """A row of a view: its key, its value, and version and position of the last event that made it what it is."""

    key: str
    value: Json
    version: int
    position: int


class AskedView:
    """A view to ask. Each answer covers all that is stored when it is asked for, unless it is told otherwise.

    The keyword arguments that all methods take: ``until``, a moment as of which to answer; ``cached``, to answer
    without catching up; ``at_least``, a position to wait for, at most ``timeout`` seconds.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self.name = view.name

    def get(
        self,
        key: str,
        *,
        until: str | datetime | None = None,
        cached: bool = False,
        at_least: int | None = None,
        timeout: float = 5.0,
    ) -> ViewRow | None:
        """Return the row of a key; None if there is none."""
        with self._view.open(Freshness(cached, at_least, timeout, to_instant(until))) as answer:
            found = answer.view.get(key)
        return found and ViewRow(found.key, loads(found.value), found.version, found.position)

    def query(
        self,
        where: str | None = None,
        *,
        params: Mapping[str, SqlValue] | None = None,
        sort: Sequence[str] = (),
        limit: int | None = None,
        until: str | datetime | None = None,
        cached: bool = False,
        at_least: int | None = None,
        timeout: float = 5.0,
    ) -> Iterator[ViewRow]:
        """Yield the rows that a SQL expression selects; none given: all of them.

        Args:
            where: An expression over the row, such as ``"qty < :few and updated > '2026'"``; a name that is no column
                is the value's member of that name.
            params: Values of the ``:names`` in it.
            sort: Names to sort by, with a minus for descending; else by key.
            limit: How many rows at most.
            until: See the class, as for the rest.
            cached: Likewise.
            at_least: Likewise.
            timeout: Likewise.

        Raises:
            Usage: If the expression is not well formed.
        """
        with self._view.open(Freshness(cached, at_least, timeout, to_instant(until))) as answer:
            for row in answer.view.rows(RowQuery(where, params or {}, tuple(sort), limit)):
                yield ViewRow(row.key, loads(row.value), row.version, row.position)


class SqlResult(NamedTuple):
    """What a statement selects: its columns, its rows, and how each view that it names came about."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]
    explained: tuple[Explained, ...]


@contextmanager
def ask_sql(
    views: Sequence[View], sql: str, params: Mapping[str, SqlValue], freshness: Freshness
) -> Iterator[SqlResult]:
    """Run a statement over views, each brought up to date first, and let its rows be read.

    Raises:
        Usage: If the statement is not well formed, or does more than read.
    """
    with ExitStack() as stack:
        answers: list[Answer] = [stack.enter_context(view.open(freshness)) for view in views]
        found: SqlAnswer = run_sql({answer.view.name: answer.view.path for answer in answers}, sql, params)
        yield SqlResult(found.columns, found.rows, tuple(answer.explained for answer in answers))
