"""Commands submitted and handled by processes that are killed all the time: each is settled once, whatever it is."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from evcli import Store
from evcli.cli import submit, work
from evcli.domain.events import Event
from evcli.domain.names import RESERVED
from evcli.domain.queue import ACCEPTED, PARKED, QUEUE, REJECTED, RETRIED, SUBMITTED
from evcli.errors import AnswerIsNo, Conflict
from evcli.write_side.working import MOST_DEATHS
from tests.torture.deciding import note, notes, opened
from tests.torture.forking import command, end, fork, side_by_side, silently, wait, without_syncs
from tests.torture.rig import Figures, Rig, Tier

PRELOADED: Final = (submit, work)
"""Loaded once here rather than by each process that is forked."""
_CONFIG: Final = """\
[streams."files/*"]
decider = "decider.py"
[streams."programs/*"]
decider = "exec:sed -n 's/.*\\"n\\":\\\\([0-9]*\\\\).*/{\\"type\\":\\"done\\",\\"data\\":{\\"n\\":\\\\1}}/p'"
"""
_DECIDER: Final = """\
import os
import signal

from evcli import Rejected


def decide(command, state):
    match command["type"]:
        case "do":
            return [("done", command["data"])]
        case "spread":
            return [("done", command["data"]), ("others/x", "done", command["data"]), ("others/y", "done", command["data"])]
        case "send":
            return [("others/x", "done", command["data"])]
        case "nothing":
            return []
        case "refuse":
            raise Rejected("no")
        case "break":
            raise ValueError("broken")
        case "exit":
            os._exit(7)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
"""
_EVENTS: Final = {"do": 1, "spread": 3, "send": 1, "nothing": 0, "refuse": 0, "break": 0, "exit": 0, "kill": 0}
"""The events that an accepted command leads to."""
_OUTCOMES: Final = {"refuse": REJECTED, "break": PARKED, "exit": PARKED, "kill": PARKED}
_WORKERS: Final = (["work"], ["work", "--jobs", "3"], ["work", "--jobs", "3"])
_WORKER_ENDS: Final = (7, -signal.SIGKILL)
"""How the decider ends a worker."""
_SUBMITTERS: Final = 3
_COMMANDS: Final = 150
_STREAMS: Final = ("files/a", "files/b", "files/c", "files/d", "programs/a")


def run(tier: Tier) -> Figures:
    figures = Figures()
    seeds = range(tier.seed * 1000, tier.seed * 1000 + tier.of(1, 40))
    for first in seeds[::2]:
        pair = range(first, min(first + 2, seeds.stop))
        side_by_side(figures, [partial(_handle_all, seed) for seed in pair], in_memory=True)
    return figures


class _Submitted(NamedTuple):
    """A command as the queue has it: its place in it, its stream, its name."""

    version: int
    stream: str
    name: str


def _handle_all(seed: int, folder: Path, figures: Figures) -> None:
    """Kill whoever submits or works, again and again, until all is submitted; then let one worker finish."""
    without_syncs()
    (folder / "decider.py").write_text(_DECIDER)
    store = opened(folder, _CONFIG)
    chance = random.Random(seed)
    tasks: dict[str, Callable[[], object]] = {
        f"submitter {n}": partial(_submit, store, folder, seed, n) for n in range(_SUBMITTERS)
    }
    tasks |= {
        f"worker {n}": partial(silently, arguments, str(folder / f"worker {n}")) for n, arguments in enumerate(_WORKERS)
    }
    running = {name: fork(task) for name, task in tasks.items()}
    kills = 0
    try:
        while any(name.startswith("submitter") for name in running):
            time.sleep(chance.uniform(0, 0.1))
            for name, status in _ended(running).items():
                if status not in (_WORKER_ENDS if name.startswith("worker") else (0,)):
                    figures.find("exceptions", f"seed {seed}: a {name} ended with {status}{_last(folder / name)}")
                if name.startswith("worker"):  # of a poisonous command
                    running[name] = fork(tasks[name])
            name = chance.choice(list(running))
            os.kill(running[name], chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
            kills += 1
            if (status := wait(running[name])) not in (*_WORKER_ENDS, -signal.SIGTERM, 143, 0):
                figures.find("exceptions", f"seed {seed}: {name}, killed, ended with {status}{_last(folder / name)}")
            running[name] = fork(tasks[name])
    finally:
        for pid in running.values():
            end(pid)
    settled = sum(event["type"] != SUBMITTED for event in store.read(QUEUE))
    for what, number in (("kills", kills), ("settled between them", settled)):
        figures.more[what] = figures.more.get(what, 0) + number
    _finish(store, folder, figures, f"seed {seed}")


def _last(said: Path) -> str:
    return f": {said.read_text().splitlines()[-1:]}" if said.exists() else ""


def _ended(running: dict[str, int]) -> dict[str, int]:
    """Take out those that have ended by themselves, and return their exit codes."""
    found = {}
    for name, pid in list(running.items()):
        reaped, status = os.waitpid(pid, os.WNOHANG)
        if reaped:
            del running[name]
            found[name] = os.waitstatus_to_exitcode(status)
    return found


def _submit(store: Store, folder: Path, seed: int, number: int) -> None:
    """Submit a share from where it has got to; what was going on may be there, or not, and is not tried again."""
    tried = notes(folder / f"tried-{number}")
    for n in range(len(tried) * _SUBMITTERS + number, _COMMANDS, _SUBMITTERS):
        chance = random.Random(f"{seed} {n}")
        stream = chance.choice(_STREAMS)
        name = (
            "do"
            if stream.startswith("programs")
            else chance.choice(("do", "do", "spread", "send", "nothing", "refuse"))
        )
        if n % 50 == 20:
            stream, name = "files/b", ("kill", "exit", "break")[n // 50 % 3]
        note(folder / f"tried-{number}", f"c{n}")
        if n % 5 == 0:
            if command(["submit", stream, name, f"n:={n}", "--id", f"c{n}"]):
                raise AssertionError(n)
        else:
            store.submit(stream, name, {"n": n}, id=f"c{n}")
        note(folder / "acknowledged", f"c{n}")
        if n % 7 == 0 and name not in _OUTCOMES:  # impatient: it is executed here, if no worker was faster
            note(folder / "hurried", f"c{n}")
            with suppress(Conflict):
                store.do(stream, name, {"n": n}, id=f"c{n}")
        time.sleep(0.002)


def _finish(store: Store, folder: Path, figures: Figures, where: str) -> None:
    """Let workers do what is left; what was killed so often that it is parked is taken up again, as a user would."""
    submitted = _submissions(store)
    most = (MOST_DEATHS + 2) * sum(1 for each in submitted.values() if each.name in ("exit", "kill")) + 1
    codes = [_work_once(most)]
    for key, queued in store.queue()["parked"].items():
        if submitted[key].name not in _OUTCOMES:
            figures.more["innocents parked"] = figures.more.get("innocents parked", 0) + 1
            if command(["submit", "--retry", key]):
                figures.find("exceptions", f"{where}: {key} is parked, and not to be retried: {queued['reason']}")
    codes.append(_work_once(most))
    poisonous = any(_OUTCOMES.get(each.name) == PARKED for each in submitted.values())
    if codes[-1] != (AnswerIsNo.exit_code if poisonous else 0):
        figures.find("exceptions", f"{where}: the last 'work --once' ended with {codes}")
    _judge(store, submitted, folder, figures, where)


def _work_once(most: int) -> int:
    """Work until all is settled; return the last exit code. A poisonous command ends a worker so often, and no more."""
    code = -1
    for _ in range(most):
        code = command(["work", "--once"])
        if code in (0, AnswerIsNo.exit_code):
            break
    return code


def _submissions(store: Store) -> dict[str, _Submitted]:
    found: dict[str, _Submitted] = {}
    for event in store.read(QUEUE):
        if event["type"] == SUBMITTED:
            data = event["data"]
            found[data["id"]] = _Submitted(event["version"], data["stream"], data["command"]["type"])
    return found


def _judge(store: Store, submitted: Mapping[str, _Submitted], folder: Path, figures: Figures, where: str) -> None:
    queue = list(store.read(QUEUE))
    effects: dict[str, list[Event]] = {}
    for event in store.read_all():
        if not event["stream"].startswith(RESERVED):
            effects.setdefault(event["meta"]["correlation"], []).append(event)
    outcomes = Counter((event["data"]["id"], event["type"]) for event in queue)
    for key in {key for [key] in notes(folder / "acknowledged")} - submitted.keys():
        figures.find("lost", f"{where}: {key} was acknowledged and is not in the queue")
    for key, command_ in submitted.items():
        figures.states += 1
        title = f"{where}: {key} ({command_.name} to {command_.stream})"
        times, expected = len(effects.get(key, [])), _EVENTS[command_.name]
        if times != expected:
            kind = "lost" if times < expected else "duplicates"
            figures.find(kind, f"{title} led to {times} events, not {expected}")
        settled = [kind for kind in (ACCEPTED, REJECTED) if outcomes[key, kind]]
        wanted = _OUTCOMES.get(command_.name, ACCEPTED)
        if settled != ([wanted] if wanted != PARKED else []) or outcomes[key, wanted] != 1:
            figures.find("exceptions", f"{title} was settled by {settled}, not {wanted} once")
        said = store.command(key)
        if said.status != wanted.removeprefix("command.") or len((said.receipt or {}).get("events", ())) != expected:
            figures.find("exceptions", f"{title} is said to be {said}")
    if effects.keys() - submitted.keys():
        figures.find(
            "exceptions", f"{where}: {effects.keys() - submitted.keys()} had effects, and nobody submitted them"
        )
    aside = {event["data"]["id"] for event in queue if event["type"] == RETRIED}
    aside |= {key for [key] in notes(folder / "hurried")}
    in_order = {key: each for key, each in submitted.items() if effects.get(key) and key not in aside}
    _judge_order(in_order, effects, figures, where)
    store.verify()


def _judge_order(
    submitted: Mapping[str, _Submitted], effects: Mapping[str, Sequence[Event]], figures: Figures, where: str
) -> None:
    """A stream's commands took effect in the order in which they were submitted, but for what somebody put aside."""
    for stream in _STREAMS:
        places = [
            (each.version, effects[key][0]["position"]) for key, each in submitted.items() if each.stream == stream
        ]
        if sorted(places) != sorted(places, key=lambda place: place[1]):
            figures.find("exceptions", f"{where}: the commands to {stream} took effect in another order")


RIG = Rig("queue", run)
