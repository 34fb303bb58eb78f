"""Letting a user's SQL do nothing but read: SQLite's authorizer, with what is allowed named here, and all else refused."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from evcli.errors import Usage
from evcli.storage.sql_tokens import fold_case

if TYPE_CHECKING:
    import sqlite3

_TABLE_FUNCTIONS: Final = ("json_each", "json_tree")
_FORBIDDEN_FUNCTIONS: Final = frozenset(
    {"load_extension", "fts3_tokenizer", "icu_load_collation", "readfile", "writefile", "edit", "eval"}
)
_STEPS_BETWEEN_LOOKS: Final = 50_000


@contextmanager
def only_reading(
    connection: "sqlite3.Connection", tables: Collection[str], what: str, hint: Callable[[str], str]
) -> Iterator[None]:
    """Let a connection do nothing but read ``tables`` while a user's SQL runs on it.

    Args:
        connection: The connection; it may be closed meanwhile.
        tables: The tables that may be read.
        what: What the SQL was given as, for messages.
        hint: Returns the next step for SQLite's message.

    Raises:
        Usage: What SQLite says of the SQL, or what that is not allowed to do.
        KeyboardInterrupt: If it is interrupted.
        sqlite3.DatabaseError: If something else is wrong, such as a damaged file.
    """
    import sqlite3

    refused: list[str] = []
    # SQLite defines these when they are first used, which looks like writing.
    connection.execute("select 1 from json_each('[]'), json_tree('[]')")
    connection.set_authorizer(_authorizer({fold_case(table) for table in (*tables, *_TABLE_FUNCTIONS)}, refused))
    heed_signals(connection)
    try:
        with sql_told(what, hint, refused):
            yield
    finally:
        with suppress(sqlite3.ProgrammingError):  # closed before the last row was read
            connection.set_authorizer(None)
            connection.set_progress_handler(None, 0)


def heed_signals(connection: "sqlite3.Connection") -> None:
    """Let Python look for signals while SQLite works, as it does between its own steps: else Ctrl-C would wait for it."""
    connection.set_progress_handler(lambda: 0, _STEPS_BETWEEN_LOOKS)


@contextmanager
def sql_told(what: str, hint: Callable[[str], str], refused: Sequence[str] = ()) -> Iterator[None]:
    """Turn what SQLite says of a user's SQL into the error for it; ``refused`` is what was tried and is not allowed.

    Raises:
        Usage: See `only_reading`, as for the rest.
    """
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_INTERNAL) & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        if code not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH):
            raise
        if refused:
            raise not_allowed(what, refused[0]) from error
        raise Usage(f"{what}: {error}", hint(str(error))) from error


def _authorizer(tables: Collection[str], refused: list[str]) -> Callable[..., int]:
    """Return what allows reading ``tables``, and adds to ``refused`` whatever else is tried."""
    import sqlite3

    def authorize(action: int, one: str | None, two: str | None, _database: str | None, _by: str | None) -> int:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ:
            if fold_case(one or "") in tables:
                return sqlite3.SQLITE_OK
            refused.append(f"reading {one}")
        elif action == sqlite3.SQLITE_FUNCTION:
            if fold_case(two or "") not in _FORBIDDEN_FUNCTIONS:
                return sqlite3.SQLITE_OK
            refused.append(f"{two}()")
        else:
            refused.append("anything else")
        return sqlite3.SQLITE_DENY

    return authorize


def not_allowed(what: str, tried: str) -> Usage:
    """Return the error for SQL that would do more than read."""
    return Usage(f"{what} only reads views: {tried} is not allowed", "ask with one select; see 'evcli view list'")
