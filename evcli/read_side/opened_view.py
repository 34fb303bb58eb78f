"""A view that is open for reading: one state of its rows, however long it is asked."""

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from evcli.errors import Busy, StorageFailed
from evcli.light_typing import TYPE_CHECKING, Any, NamedTuple, Self
from evcli.storage.contract import Head
from evcli.storage.view_file import (
    Checkpoint,
    FileUnusable,
    Overtaken,
    Row,
    count_rows,
    get_row,
    open_readonly,
    read_checkpoint,
    sqlite_errors,
)

if TYPE_CHECKING:
    from evcli.storage.view_sql import RowQuery


class Explained(NamedTuple):
    """How an answer came about.

    ``position`` is the last event that it covers, ``lag`` how many came since, ``folded`` how many were folded for it
    in how many ``milliseconds``, ``rebuilt`` why the snapshot file was made anew ("" if it was not).
    """

    view: str
    position: int
    lag: int
    folded: int
    milliseconds: int
    rebuilt: str


class OpenView:
    """A view's rows as of one checkpoint; `close` it."""

    def __init__(self, connection: Any, path: str, name: str, columns: Collection[str], checkpoint: Checkpoint) -> None:  # noqa: ANN401 (SQLite's, which only storage may name)
        self._connection = connection
        self._columns = columns
        self.path = path
        self.name = name
        self.checkpoint = checkpoint

    @classmethod
    def at(cls, path: str, name: str, columns: Collection[str]) -> Self:
        """Open a view's file.

        Raises:
            FileUnusable: If it is damaged, or gone.
            Busy: If another program has it locked.
        """
        if not os.path.exists(path):
            raise FileUnusable(path)
        with _locks_told(name), sqlite_errors():
            connection = open_readonly(path)
            try:
                connection.execute("begin")
                checkpoint = read_checkpoint(connection)
            except BaseException:
                connection.close()
                raise
        return cls(connection, path, name, columns, checkpoint)

    def get(self, key: str) -> Row | None:
        """Return one row, at the cost of one look-up however many there are.

        Raises:
            StorageFailed: If the file turns out to be damaged.
        """
        with self._reading():
            return get_row(self._connection, self.name, key)

    def rows(self, query: "RowQuery | None" = None) -> Iterator[Row]:
        """Yield the rows that a query selects; none given: all, by key.

        Raises:
            Usage: If the query is not well formed.
            StorageFailed: If the file turns out to be damaged.
        """
        from evcli.storage.view_sql import RowQuery, select_rows

        with self._reading():
            yield from select_rows(self._connection, self.name, self._columns, query or RowQuery())

    def count(self) -> int:
        """Return how many rows there are."""
        with self._reading():
            return count_rows(self._connection, self.name)

    def explain(self, head: Head, *, folded: int, rebuilt: str, started: float) -> Explained:
        """Say how the answer came about; ``started`` is when it was asked for, by ``time.perf_counter``."""
        spent = round((time.perf_counter() - started) * 1000)
        lag = max(0, head.position - self.checkpoint.position)
        return Explained(self.name, self.checkpoint.position, lag, folded, spent, rebuilt)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with _locks_told(self.name), sqlite_errors():
                yield
        except FileUnusable as error:
            with suppress(FileNotFoundError):
                os.unlink(self.path)
            raise StorageFailed(
                f"the snapshot file of view {self.name} is damaged, and was deleted: {error}", "ask again"
            ) from error


@contextmanager
def _locks_told(name: str) -> Iterator[None]:
    try:
        yield
    except Overtaken as error:
        raise Busy(f"another program has locked the file of view {name}", "try again when it is done") from error
