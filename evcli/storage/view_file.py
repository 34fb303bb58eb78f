"""The snapshot file of a view: an SQLite database with its rows and its checkpoint, changed in one transaction.

The table of the rows has the view's own name, so that any SQLite tool can ask it; columns are generated from the
JSON, so that there is one truth. A file is built without a journal, then switched to WAL: readers never wait for the
writer. Commits go into the WAL, whose frames have checksums; the database file itself changes only when `close` says so.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

from evcli.errors import StorageFailed
from evcli.light_typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

if TYPE_CHECKING:
    import sqlite3

_WAL_BYTES: Final = 4 << 20
_BUSY_SECONDS: Final = 5.0
_KEYS_AT_ONCE: Final = 500
_CHECKPOINT: Final = "evcli_checkpoint"


class Checkpoint(NamedTuple):
    """How far a view has got: all events up to ``position`` are folded into its rows.

    ``time`` is when the last of them was recorded; ``head_position`` and ``head_hash`` name the history that it was
    read from by the end of one of its commits, at or after ``position``.
    """

    position: int
    time: str
    head_position: int
    head_hash: str


class Row(NamedTuple):
    """A row: its key, its value as JSON text, and version and position of the last event that made it what it is."""

    key: str
    value: bytes
    version: int
    position: int


class RowChange(NamedTuple):
    """What a row has become: its value as JSON text (None: it is gone), and its last event's version and position."""

    key: str
    value: bytes | None
    version: int
    position: int


class FileUnusable(Exception):  # noqa: N818 (a fact about a cache, no failure for the user)
    """The file is damaged, or not what it should be: it is made anew."""


class Overtaken(Exception):  # noqa: N818 (never shown: whoever folds looks again)
    """Somebody else has changed the file."""


class ViewFile:
    """A view's file, open for folding into it; see `create` and `open`."""

    def __init__(self, connection: "sqlite3.Connection", path: str, table: str) -> None:
        self._connection = connection
        self._path = path
        self._table = quote(table)
        self._witness: sqlite3.Connection | None = None

    @classmethod
    def create(cls, path: str, table: str, columns: Mapping[str, str], checkpoint: Checkpoint) -> Self:
        """Make a file without rows, which nobody reads before `finish`: it is written without a journal or syncs."""
        import sqlite3

        with sqlite_errors():
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            connection.execute("pragma journal_mode = off")
            connection.execute("pragma synchronous = off")
            create_rows(connection, table, columns)
            connection.execute(f"create table {_CHECKPOINT} (position, time, head_position, head_hash)")
            connection.execute(f"insert into {_CHECKPOINT} values (?, ?, ?, ?)", checkpoint)  # noqa: S608 (a constant)
        return cls(connection, path, table)

    @classmethod
    def open(cls, path: str, table: str) -> Self:
        """Open a finished file.

        Raises:
            FileUnusable: If it is none.
        """
        import sqlite3

        if not os.path.exists(path):
            raise FileUnusable(path)
        with sqlite_errors():
            # While it is open, the other connection is not the last one to be closed, which would write the database.
            witness = open_readonly(path)
            witness.execute(f"select 1 from {_CHECKPOINT}").fetchone()  # noqa: S608 (a constant)
            connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            connection.execute("pragma synchronous = normal")
            connection.execute("pragma wal_autocheckpoint = 0")
        found = cls(connection, path, table)
        found._witness = witness
        return found

    def checkpoint(self) -> Checkpoint:
        """Return how far the rows have got.

        Raises:
            FileUnusable: If the file is damaged.
        """
        return read_checkpoint(self._connection)

    @contextmanager
    def transaction(self, expected: Checkpoint) -> Iterator[None]:
        """Let rows and checkpoint change together, if the checkpoint still is ``expected``.

        Raises:
            Overtaken: If it is another.
        """
        with sqlite_errors():
            self._connection.execute("begin immediate")
        try:
            self._require(expected)
            yield
        except BaseException:
            with suppress(Exception):  # what went wrong before is what counts
                self._connection.execute("rollback")
            raise
        with sqlite_errors():
            self._connection.execute("commit")

    def _require(self, expected: Checkpoint) -> None:
        if self.checkpoint() != expected:
            raise Overtaken

    def load(self, keys: list[str]) -> dict[str, bytes]:
        """Return the values of those of ``keys`` that have a row."""
        found: dict[str, bytes] = {}
        with sqlite_errors():
            for first in range(0, len(keys), _KEYS_AT_ONCE):
                asked = keys[first : first + _KEYS_AT_ONCE]
                places = ",".join("?" * len(asked))
                rows = self._connection.execute(
                    f"select key, value from {self._table} where key in ({places})",  # noqa: S608 (quoted)
                    asked,
                )
                found.update((key, value.encode()) for key, value in rows)
        return found

    def save(self, changes: Iterable[RowChange], checkpoint: Checkpoint) -> None:
        """Write rows and checkpoint, within a `transaction`."""
        gone: list[tuple[str]] = []

        def kept() -> Iterator[tuple[Any, ...]]:
            for key, value, version, position in changes:
                if value is None:
                    gone.append((key,))
                else:
                    yield key, value.decode(), version, position

        with sqlite_errors():
            self._connection.executemany(
                f"insert into {self._table} (key, value, version, position) values (?, ?, ?, ?) on conflict (key) do"  # noqa: S608
                " update set value = excluded.value, version = excluded.version, position = excluded.position",
                kept(),
            )
            self._connection.executemany(f"delete from {self._table} where key = ?", gone)  # noqa: S608
            self._connection.execute(
                f"update {_CHECKPOINT} set position = ?, time = ?, head_position = ?, head_hash = ?",  # noqa: S608
                checkpoint,
            )

    def finish(self, columns: Iterable[str]) -> None:
        """End the building of a new file: make the indexes, switch to WAL, close."""
        with sqlite_errors():
            for name in columns:
                index = quote(f"evcli by {name}")
                self._connection.execute(f"create index {index} on {self._table} ({quote(name)})")
            self._connection.execute("pragma synchronous = full")
            self._connection.execute("pragma journal_mode = wal")
        self.close()

    def close(self, *, fold_wal: bool = False) -> bool:
        """Close the file; say whether the database file itself was written, since the WAL had become long.

        ``fold_wal`` does so in any case.
        """
        written = False
        with suppress(Exception):  # a WAL that cannot be folded in now stays for the next time
            if self._witness is not None and (fold_wal or os.path.getsize(self._path + "-wal") > _WAL_BYTES):
                written = True
                self._connection.execute("pragma busy_timeout = 100")
                self._connection.execute("pragma wal_checkpoint(truncate)")
        self._connection.close()
        if self._witness is not None:
            self._witness.close()
        return written


def read_checkpoint(connection: "sqlite3.Connection") -> Checkpoint:
    """Return the checkpoint of an open view file.

    Raises:
        FileUnusable: If it has none.
    """
    with sqlite_errors():
        row = connection.execute(f"select position, time, head_position, head_hash from {_CHECKPOINT}").fetchone()  # noqa: S608
    if row is None:
        raise FileUnusable("no checkpoint")
    return Checkpoint(*row)


def get_row(connection: "sqlite3.Connection", table: str, key: str) -> Row | None:
    """Return one row of an open view file, at the cost of one look-up."""
    try:
        key.encode()
    except UnicodeEncodeError:  # as the shell gives what is not UTF-8
        return None
    found = connection.execute(
        f"select key, value, version, position from {quote(table)} where key = ?",  # noqa: S608 (quoted)
        (key,),
    ).fetchone()
    return Row(found[0], found[1].encode(), found[2], found[3]) if found else None


def count_rows(connection: "sqlite3.Connection", table: str) -> int:
    """Return how many rows an open view file has."""
    found: int = connection.execute(f"select count(*) from {quote(table)}").fetchone()[0]  # noqa: S608 (quoted)
    return found


@contextmanager
def sqlite_errors() -> Iterator[None]:
    """Say what SQLite's errors mean for a file of the cache.

    Raises:
        FileUnusable: If it is damaged, or not a view's.
        Overtaken: If somebody else has it locked.
        OSError: If it may not be opened or written.
        StorageFailed: If anything else is wrong, such as a full disk.
    """
    import _sqlite3 as sqlite3

    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:  # Python's own, about how it is used
            raise
        code &= 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise Overtaken from error
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
            raise PermissionError(str(error)) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA):
            raise FileUnusable(str(error)) from error
        raise StorageFailed(
            f"a view's file could not be read or written: {error}", "make room, or name another cache: EVCLI_CACHE=DIR"
        ) from error


def create_rows(connection: "sqlite3.Connection", table: str, columns: Mapping[str, str]) -> None:
    """Create the table of a view's rows, without any."""
    generated = "".join(
        f", {quote(name)} {kind} generated always as (json_extract(value, {text_literal(_member(name))})) virtual"
        for name, kind in columns.items()
    )
    connection.execute(
        f"create table {quote(table)} (key text primary key not null, value text not null,"
        f" version integer not null, position integer not null{generated})"
    )


def open_readonly(path: str) -> "sqlite3.Connection":
    """Open a view's file for reading: it never waits for whoever folds, nor changes a byte of the database."""
    import _sqlite3  # sqlite3 itself, without the datetimes that it loads to convert: they take as long as the query

    return _sqlite3.connect(
        readonly_uri(path), uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )


def readonly_uri(path: str) -> str:
    """Return the URI by which SQLite opens a file for reading only."""
    escaped = re.sub(rb"[^A-Za-z0-9/._~-]", lambda found: b"%%%02X" % found[0][0], os.fsencode(path))
    return f"file:{escaped.decode()}?mode=ro"


def quote(name: str) -> str:
    """Return a name as SQL spells one that may be anything."""
    return '"' + name.replace('"', '""') + '"'


def _member(name: str) -> str:
    return f'$."{name}"'


def text_literal(text: str) -> str:
    """Return a text as SQL spells it."""
    return "'" + text.replace("'", "''") + "'"
