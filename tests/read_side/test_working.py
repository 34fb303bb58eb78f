"""The worker keeps all views current; what fails is parked, and nothing else."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from evcli import Store
from evcli.errors import CodeFailed, EvcliError, NotTrusted
from evcli.read_side.keeping import KeptView, Outcome
from evcli.read_side.upkeep import skip, status_of
from evcli.read_side.working import ViewWorker, work_once
from evcli.working import work
from tests.read_side.viewing import STOCK, ask, kept, received, shop

TWO = STOCK + '[views.sizes]\nfrom = "inventory/**"\nkey = "stream"\nreducer = "count"\n'


class Stopped(Exception):  # noqa: N818 (the test's own end)
    pass


class Told:
    """What a worker reports."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, Outcome | EvcliError]] = []

    def __call__(self, view: KeptView, outcome: Outcome | EvcliError) -> None:
        self.outcomes.append((view.name, outcome))

    def failed(self) -> list[str]:
        return [name for name, outcome in self.outcomes if isinstance(outcome, CodeFailed)]


@contextmanager
def working(store: Store, told: Told) -> Iterator[None]:
    """Let a worker of this process's own work beside the test."""
    ended = threading.Event()

    def views() -> list[KeptView]:
        if ended.is_set():
            raise Stopped
        return store.kept_views()

    def run() -> None:
        with pytest.raises(Stopped):
            work([ViewWorker(store.log, views, told)])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def cached_position(store: Store, name: str = "stock") -> int:
    return status_of(kept(store, name), store.head()).position


def test_what_is_appended_is_folded_without_being_asked(tmp_path: Path) -> None:
    store = shop(tmp_path, TWO)
    store.append("inventory/x", [received("A", 1)])
    with working(store, Told()):
        eventually(lambda: cached_position(store) == 1)
        store.append("inventory/x", [received("A", 2)])
        eventually(lambda: cached_position(store) == 2 and cached_position(store, "sizes") == 2)
    assert ask(store, cached=True)[0]["A"]["qty"] == 3


def test_a_poison_event_parks_one_view_and_nothing_else(tmp_path: Path) -> None:
    store = shop(tmp_path, TWO)
    store.append("inventory/x", [received("A", 1), received("A", "many")])
    told = Told()
    with working(store, told):
        eventually(lambda: cached_position(store, "sizes") == 2)
        store.append("inventory/x", [received("A", 3)])
        eventually(lambda: cached_position(store, "sizes") == 3)
        assert told.failed() == ["stock"]  # once: it is not tried again and again
        skip(kept(store))
        store.append("inventory/x", [received("A", 4)])
        eventually(lambda: cached_position(store) == 4)
    assert ask(store, cached=True)[0]["A"]["qty"] == 8


def test_a_definition_that_is_changed_is_folded_anew_by_the_worker(tmp_path: Path) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 5)])
    with working(store, Told()):
        eventually(lambda: cached_position(store) == 1)
        shop(tmp_path, STOCK.replace('inc = { qty = "/data/qty" }, set', "inc = { qty = 1 }, set"))
        eventually(lambda: ask(store, cached=True)[0]["A"]["qty"] == 1)


def test_a_view_that_may_not_run_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("def key(event):\n    pass\n")
    store = shop(tmp_path, '[views.odd]\nfrom = "**"\nreducer = "odd.py"\n' + STOCK)
    store.append("inventory/x", [received("A", 1)])
    told = Told()
    assert not work_once(store.kept_views(), told)
    with working(store, told):
        store.append("inventory/x", [received("A", 1)])
        eventually(lambda: cached_position(store) == 2)
    assert [name for name, outcome in told.outcomes if isinstance(outcome, NotTrusted)] == ["odd", "odd"]


def test_once_tells_whether_all_views_are_current(tmp_path: Path) -> None:
    store = shop(tmp_path, TWO)
    store.append("inventory/x", [received("A", 1)])
    assert work_once(store.kept_views(), Told())
    store.append("inventory/x", [received("A", "many")])
    told = Told()
    assert not work_once(store.kept_views(), told)
    assert told.failed() == ["stock"]
    assert cached_position(store, "sizes") == 2


def test_a_journal_that_has_not_grown_costs_one_stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = shop(tmp_path)
    store.append("inventory/x", [received("A", 1)])
    stats: list[object] = []
    looks: list[float] = []
    real_stat = os.stat

    def sleep(_seconds: float) -> None:
        looks.append(len(stats))
        if len(looks) == 12:
            raise Stopped

    monkeypatch.setattr("evcli.read_side.working.time.sleep", sleep)
    monkeypatch.setattr(os, "stat", lambda *given, **more: stats.append(given) or real_stat(*given, **more))  # type: ignore[func-returns-value]  # adds it
    with pytest.raises(Stopped):
        work([ViewWorker(store.log, store.kept_views, Told())])
    assert [after - before for before, after in pairwise(looks[1:])] == [1] * 10


def evcli(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "evcli", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    store = shop(tmp_path, TWO)
    monkeypatch.setenv("EVCLI_CONFIG", str(tmp_path / "evcli.toml"))
    store.append("inventory/x", [received("A", 1)])
    return store


def test_the_worker_ends_on_sigterm_and_two_of_them_share_the_views(filled: Store) -> None:
    workers = [evcli("work"), evcli("work")]
    eventually(lambda: cached_position(filled) == 1)
    for number in range(2, 12):
        filled.append("inventory/x", [received("A", 1)])
        eventually(lambda: cached_position(filled) == number)  # noqa: B023 (called at once)
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
        assert worker.communicate(timeout=20)[0] == ""
        assert worker.returncode == 143
    assert ask(filled, cached=True)[0]["A"]["qty"] == 11
    assert not list((Path(kept(filled).folder._path)).glob("building/rows*"))  # type: ignore[union-attr]  # noqa: SLF001 (what is left)


def test_work_once_is_for_cron(filled: Store) -> None:
    done = evcli("work", "--once")
    assert done.communicate(timeout=20)[1].splitlines() == [
        "evcli: view stock: 1 events folded (first use)",
        "evcli: view sizes: 1 events folded (first use)",
    ]
    assert done.returncode == 0
    filled.append("inventory/x", [received("A", "many")])
    done = evcli("work", "--once")
    assert "not all is done" in done.communicate(timeout=20)[1]
    assert done.returncode == 1
