"""``python -m tests.bench.peers.ledger_eventsourcing append|replay DATABASE FILE BATCH``: an aggregate of the library; print the seconds.

``append`` books a file's events and saves them, as many at once as BATCH says; ``replay`` rebuilds the aggregate from
what was appended. The aggregate does what `tests.bench.events.LEDGER` does.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

NAME = UUID(int=7)


class Ledger(Aggregate):
    """A ledger with a balance and a count."""

    def __init__(self) -> None:
        self.balance = 0
        self.count = 0

    @staticmethod
    def create_id() -> UUID:
        return NAME

    @event("Booked")
    def book(self, kind: str, data: dict[str, Any]) -> None:
        self.balance += data["amount"] if kind == "money.deposited" else -data["amount"]
        self.count += 1


def append(application: Any, events: list[tuple[str, dict[str, Any]]], batch: int) -> float:
    ledger = Ledger()
    application.save(ledger)
    start = time.perf_counter()
    for first in range(0, len(events), batch):
        for kind, data in events[first : first + batch]:
            ledger.book(kind, data)
        application.save(ledger)
    return time.perf_counter() - start


def replay(application: Any, count: int) -> float:
    start = time.perf_counter()
    ledger = application.repository.get(NAME)
    spent = time.perf_counter() - start
    assert ledger.count == count
    return spent


def main() -> None:
    action, database, path, batch = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    with path.open() as file:
        events = [(parsed["type"], parsed["data"]) for parsed in map(json.loads, file)]
    named = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": database}
    application = Application(env=named)
    spent = append(application, events, batch) if action == "append" else replay(application, len(events))
    sys.stdout.write(f"{spent}\n")


if __name__ == "__main__":
    main()
