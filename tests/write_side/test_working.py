"""Workers: several at a time, with threads, that are told to end, and that die."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evcli.deciding import Deciders
from evcli.domain.commands import Command
from evcli.domain.events import Write
from evcli.domain.values import Json
from evcli.project.config import load_config
from evcli.project.trust import trust
from evcli.storage.attempts import Attempts
from evcli.storage.codec import new_event
from evcli.storage.local import LocalStore
from evcli.storage.memory import MemoryStore
from evcli.write_side.queue import retry, status_of
from evcli.write_side.working import MOST_DEATHS
from tests.write_side.deciding import by, put, told, worker


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    store = LocalStore(str(store_path))
    store.create()
    return store


def die_of(store: LocalStore, decide: Callable[[Command, Json], Any], folder: Path, *, jobs: int = 1) -> int:
    """Look in a process of its own; return the signal that ended it, or 0."""
    pid = os.fork()
    if pid == 0:
        worker(store, decide, attempts=Attempts(str(folder)), jobs=jobs)[0].look()
        os._exit(0)
    return -min(0, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def deadly(command: Command, _state: Json) -> Any:
    """Kill the process on one command; be in the midst of the others when it happens."""
    if command.type == "die":
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(command.data["seconds"])
    return [("done", {})]


@pytest.mark.parametrize("jobs", [1, 3])
def test_what_kills_the_worker_is_parked_and_what_it_was_at_besides_is_not(
    store: LocalStore, tmp_path: Path, jobs: int
) -> None:
    for stream in "acd":
        put(store, stream, "wait", {"seconds": 0.08}, id=f"wait-{stream}")
    put(store, "b", "die", id="poison")
    ends = [die_of(store, deadly, tmp_path / "attempts", jobs=jobs) for _ in range(MOST_DEATHS + 1)]
    assert ends == [signal.SIGKILL] * MOST_DEATHS + [0]
    assert [status_of(store, f"wait-{stream}").status for stream in "acd"] == ["accepted"] * 3
    parked = status_of(store, "poison")
    assert (parked.status, parked.reason) == (
        "parked",
        f"a function failed on the command die to b@0: the worker has died {MOST_DEATHS} times while it was deciding on it",
    )
    retry(store, "poison", lock_wait=10.0)
    assert die_of(store, deadly, tmp_path / "attempts") == signal.SIGKILL


def test_a_stream_that_another_worker_is_at_is_left_to_it(store: LocalStore, tmp_path: Path) -> None:
    for number in range(3):
        put(store, "a", "meet", id=f"k-{number}")
    put(store, "b", "pass", id="other")
    met, going_on = threading.Event(), threading.Event()
    decided: list[str] = []

    def decide(command: Command, _state: Json) -> Any:
        decided.append(command.stream)
        if command.stream == "a" and not met.is_set():
            met.set()
            going_on.wait(10)
        return [("met", {})]

    attempts = str(tmp_path / "attempts")
    first, second = (worker(LocalStore(store.root), decide, attempts=Attempts(attempts))[0] for _ in range(2))
    thread = threading.Thread(target=first.look)
    thread.start()
    assert met.wait(10)
    assert second.look()  # the other stream's
    assert second.others == {"a"}
    going_on.set()
    thread.join()
    assert not second.look()
    assert not second.others
    assert sorted(decided) == ["a", "a", "a", "b"]
    assert told(store, "a") == [("met", {})] * 3


def test_nothing_goes_ahead_of_a_command_to_its_stream_that_has_to_wait() -> None:
    store = MemoryStore()
    for name in ("first", "second"):
        put(store, "a", name, id=name)
    put(store, "b", "second", id="other")
    is_busy = True

    def decide(command: Command, _state: Json) -> Any:
        if command.type == "first" and is_busy:  # its stream moves on whenever it is decided
            store.append([Write("a", [new_event({"type": "noise"})])], lock_wait=10.0)
        return [(command.type, {})]

    worker_, _ = worker(store, decide)
    worker_.look()
    assert {kind for kind, _ in told(store, "a")} == {"noise"}
    assert told(store, "b") == [("second", {})]
    is_busy = False
    worker_.look()
    assert [kind for kind, _ in told(store, "a") if kind != "noise"] == ["first", "second"]


def test_a_worker_goes_on_with_the_history_of_a_backup_that_is_restored(store: LocalStore, tmp_path: Path) -> None:
    def decide(_command: Command, _state: Json) -> Any:
        return [("done", {})]

    put(store, "a", "go", id="first")
    shutil.copytree(store.root, tmp_path / "backup")
    for number in range(2):
        put(store, "a", "go", id=f"lost-{number}")
    living, _ = worker(LocalStore(store.root), decide)
    assert living.look()
    shutil.rmtree(store.root)
    shutil.copytree(tmp_path / "backup", store.root)
    put(LocalStore(store.root), "a", "go", id="after")
    assert living.look()
    restored = LocalStore(store.root)
    assert [status_of(restored, key).status for key in ("first", "after")] == ["accepted"] * 2
    assert told(restored, "a") == [("done", {})] * 2


def test_a_worker_with_jobs_that_is_told_to_end_begins_nothing_more(store: LocalStore) -> None:
    for stream in "ab":
        for number in range(20):
            put(store, stream, "wait", id=f"{stream}-{number}")

    class Ended(BaseException):
        pass

    def end(_signal: int, _frame: object) -> None:
        raise Ended

    def slow(_command: Command, _state: Json) -> Any:
        time.sleep(0.05)
        return []

    before = signal.signal(signal.SIGUSR1, end)
    timer = threading.Timer(0.12, partial(os.kill, os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(Ended):
            worker(store, slow, jobs=2)[0].look()
    finally:
        signal.signal(signal.SIGUSR1, before)
    statuses = [status_of(store, f"{stream}-{number}").status for stream in "ab" for number in range(20)]
    assert 2 <= statuses.count("accepted") <= 12


def test_deciders_are_given_to_many_threads_while_they_are_looked_at_anew(tmp_path: Path) -> None:
    config = tmp_path / "evcli.toml"
    config.write_text('[streams."**"]\ndecider = "d.py"\n')
    (tmp_path / "d.py").write_text("loaded = []\n\n\ndef decide(command, state):\n    return []\n")
    trust(str(tmp_path), str(tmp_path / "state"))
    state_by = by(MemoryStore(), lambda _command, _state: []).state_by
    deciders = Deciders(
        lambda: load_config(str(config), state_root=str(tmp_path / "state")), state_by, cache=None, timeout=1.0
    )
    problems: list[BaseException] = []
    found = set()

    def ask(thread: int) -> None:
        try:
            for number in range(50):
                deciders.refresh()
                found.add(id(deciders.deciding(f"s{(number + thread) % 4}").decider))
        except BaseException as problem:  # noqa: BLE001
            problems.append(problem)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(found) == 1  # one file is loaded once, for however many streams
