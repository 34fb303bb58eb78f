"""Workers and subscriptions that are killed at random moments while four writers go on: nothing twice, nothing skipped."""

import json
import os
import random
import shlex
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from evcli import Store
from evcli.domain.events import Event
from evcli.errors import NotFound
from evcli.read_side.keeping import KeptView
from evcli.read_side.upkeep import rebuild
from evcli.read_side.working import ViewWorker, work_once
from evcli.working import work
from tests.read_side.viewing import STOCK, ask, by_hand, kept, random_events, shop
from tests.torture.forking import command, end, fork, side_by_side, wait
from tests.torture.rig import Figures, Rig, Tier

_WRITERS = 4
_BOTH = STOCK + STOCK.replace("views.stock", "views.streams").replace('key = "/data/sku"', 'key = "stream"')


def run(tier: Tier) -> Figures:
    figures = Figures()
    rounds = tier.of(120, 10_000)
    parts = (partial(_kill_workers, tier.seed, rounds), partial(_kill_subscriptions, tier.seed, rounds))
    side_by_side(figures, parts, in_memory=True)
    return figures


def _kill_workers(seed: int, rounds: int, folder: Path, figures: Figures) -> None:
    """Kill two workers at a time; between the rounds, the files must hold each event that they cover exactly once."""
    chance = random.Random(seed)
    store = shop(folder, _BOTH)
    store.create()
    writers = [fork(partial(_write, folder, seed + number)) for number in range(_WRITERS)]
    try:
        for round_ in range(rounds):
            _kill([partial(_work, folder), partial(_work_on, folder)], chance, longest=0.05)
            figures.states += 1
            if round_ % 10 == 0:
                for name in ("stock", "streams"):
                    _judge(store, name, figures, f"seed {seed}, round {round_}, view {name}")
    finally:
        for writer in writers:
            end(writer)
    work_once(store.kept_views(), lambda _view, _outcome: None)
    for name in ("stock", "streams"):
        _judge(store, name, figures, f"seed {seed}, at the end, view {name}")
        before = ask(store, name, cached=True)[0]
        rebuild(kept(store, name))
        if ask(store, name, cached=True)[0] != before:
            figures.find("lost", f"seed {seed}: view {name} differs from its rebuild")


def _judge(store: Store, name: str, figures: Figures, where: str) -> None:
    try:
        rows, explained = ask(store, name, cached=True)
    except NotFound:  # killed before there was a file
        return
    covered = [event for event in store.read_all() if event["position"] <= explained.position]
    if rows != by_hand(covered, _key_of(name)):
        figures.find("lost", f"{where}: not the fold of the {explained.position} events that it covers")


def _key_of(name: str) -> Callable[[Any], str]:
    return (lambda event: event["stream"]) if name == "streams" else (lambda event: event["data"]["sku"])


def _kill_subscriptions(seed: int, rounds: int, folder: Path, figures: Figures) -> None:
    """Kill ``evcli on`` again and again; what it ran its program for has every event, each stream's in order."""
    chance = random.Random(seed)
    store = shop(folder)
    os.environ |= {"EVCLI_STORE": str(folder / "store"), "EVCLI_STATE": str(folder / "state")}
    handled = folder / "handled"
    write = ["sh", "-c", f'echo "$EVCLI_STREAM $EVCLI_VERSION" >> {shlex.quote(str(handled))}']
    subscribe = ["on", "**", "--name", "rig", "--start", "first", "--jobs", "2"]
    store.append("inventory/x", random_events(chance, 1))
    for _ in range(rounds):
        _append(store, chance, 3)
        _kill([partial(command, [*subscribe, "--", *write])], chance, longest=0.04)
        figures.states += 1
    if command([*subscribe, "--once", "--", *write]):
        figures.find("exceptions", f"seed {seed}: the last run did not end with 0")
    _judge_handled(list(store.read_all()), handled.read_text().splitlines(), figures, f"seed {seed}")


def _judge_handled(events: list[Event], handled: list[str], figures: Figures, where: str) -> None:
    """A repeat goes back to what was handled before; nothing is ever ahead of what was not."""
    reached: dict[str, int] = {}
    for line in handled:
        stream, version = line.rsplit(" ", 1)
        if int(version) > reached.get(stream, 0) + 1:
            figures.find("lost", f"{where}: {stream}@{version} was handled right after {reached.get(stream, 0)}")
        reached[stream] = max(reached.get(stream, 0), int(version))
    last = {event["stream"]: event["version"] for event in events}
    if reached != last:
        figures.find("lost", f"{where}: handled up to {json.dumps(reached)} of {json.dumps(last)}")
    figures.more["repeats"] = figures.more.get("repeats", 0) + len(handled) - len(set(handled))


def _kill(runs: list[Callable[[], object]], chance: random.Random, *, longest: float) -> None:
    pids = [fork(run) for run in runs]
    time.sleep(chance.uniform(0, longest))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        wait(pid)


def _work(folder: Path) -> None:
    store = shop(folder, _BOTH)

    def views() -> list[KeptView]:
        return store.kept_views()

    work([ViewWorker(store.log, views, lambda _view, _outcome: None)])


def _work_on(folder: Path) -> None:
    """Fold without a pause, so that most kills come in the middle of it."""
    store = shop(folder, _BOTH)
    while True:
        work_once(store.kept_views(), lambda _view, _outcome: None)


def _write(folder: Path, seed: int) -> None:
    store, chance = shop(folder, _BOTH), random.Random(seed)
    while True:
        _append(store, chance, chance.randint(1, 12))
        time.sleep(0.005)


def _append(store: Store, chance: random.Random, count: int) -> None:
    store.append(f"inventory/{chance.choice('xyz')}", random_events(chance, count, ascii_uppercase))


RIG = Rig("views", run)
