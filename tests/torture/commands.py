"""evcli's writing commands in the situations in which the rigs kill them and fail their system calls."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from evcli.cli import input_parts
from evcli.cli.main import COMMANDS, run
from evcli.errors import EvcliError
from evcli.project.trust import is_trusted, trust, trusted
from evcli.storage.local import LocalStore
from tests.torture.injecting import Ended, Place, places_in, run_traced
from tests.torture.judging import Known, commit, judge, read_identity
from tests.torture.rig import Figures

_PART: Final = 20  # what `append --from` commits together of a file, instead of 1,000: as many calls, less to judge


class Scenario(NamedTuple):
    """A command in a situation: ``prepare`` makes that in an empty folder, ``arguments`` are for it, ``judge`` judges it."""

    name: str
    prepare: Callable[[str], Known]
    arguments: tuple[str, ...]
    keys: tuple[int, ...] = ()
    judge: Callable[[str, Known, Ended, Figures, str], None] | None = None

    def command(self, folder: str) -> Callable[[], int]:
        """Return what runs the command on ``folder``, in a process of its own."""

        def command() -> int:
            os.environ.update(
                EVCLI_STATE=f"{folder}/state", EVCLI_CACHE=f"{folder}/cache", EVCLI_STORE=f"{folder}/store"
            )
            with os.fdopen(1, "w", closefd=False) as sys.stdout, os.fdopen(2, "w", closefd=False) as sys.stderr:
                input_parts.MOST_EVENTS = _PART  # type: ignore[misc]  # in this process alone
                return run([argument.replace("FOLDER", folder) for argument in self.arguments])

        return command


class Prepared(NamedTuple):
    """A scenario that was run undisturbed: its situation, to be copied, and the calls that touch it."""

    scenario: Scenario
    known: Known
    template: str
    places: list[Place]


def prepare_all(folder: str, figures: Figures) -> list[Prepared]:
    """Run every scenario undisturbed, in this process (a rig's own fork), so that nothing is left to be imported."""
    found = []
    for number, scenario in enumerate(SCENARIOS):
        template, where = f"{folder}/{number}-template", f"{folder}/{number}-undisturbed"
        os.mkdir(template)
        known = scenario.prepare(template)
        shutil.copytree(template, where)
        with _silent():
            scenario.command(where)()
        shutil.rmtree(where)
        shutil.copytree(template, where)
        ended = run_traced(folder, scenario.command(where))
        if ended.code:
            figures.find("exceptions", f"{scenario.name}, undisturbed: exit {ended.code}, {ended.said}")
        judge_ended(scenario, where, known, ended, figures, f"{scenario.name}, undisturbed")
        found.append(Prepared(scenario, known, template, places_in(ended.log, where)))
    return found


@contextmanager
def _silent() -> Iterator[None]:
    streams, kept = (sys.stdout, sys.stderr), (os.dup(1), os.dup(2))
    devnull = os.open(os.devnull, os.O_RDWR)
    try:
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        yield
    finally:
        sys.stdout, sys.stderr = streams
        for fd, copy in enumerate(kept, 1):
            os.dup2(copy, fd)
            os.close(copy)
        os.close(devnull)


def judge_ended(scenario: Scenario, folder: str, known: Known, ended: Ended, figures: Figures, where: str) -> None:
    """Judge what a command left, by its receipts: what it did not acknowledge may be there, or not.

    Unless it said that nothing was stored: then it is not.
    """
    figures.states += 1
    if scenario.judge is not None:
        scenario.judge(folder, known, ended, figures, where)
        return
    receipts = [json.loads(line) for line in ended.out.splitlines() if line.endswith("}")]
    for key, receipt in zip(scenario.keys, receipts, strict=False):
        known = known._replace(acknowledged={**known.acknowledged, key: receipt["position"]})
    open_keys = scenario.keys[len(receipts) :]
    if ended.code < 0 or "durability unknown" in ended.said:
        for key in open_keys[:1]:
            known = known.perhaps(key)
    judge(f"{folder}/store", known, figures, where)


def store(folder: str) -> Known:
    """Make a store of three commits, and input files."""
    writer = LocalStore(f"{folder}/store")
    known = Known({})
    for key, counts in enumerate(({"s/t": 1}, {"s/t": 2, "u": 1}, {"u": 3})):
        known = known.after(key, writer.append(commit(key, counts)))
    known = known._replace(identity=read_identity(f"{folder}/store"))
    _write_lines(f"{folder}/many", 10, {"s/t": _PART})
    _write_lines(f"{folder}/many", 11, {"s/t": 3})
    _write_lines(f"{folder}/two", 10, {"s/t": 2, "new/v": 2})
    return known


def _write_lines(path: str, key: int, counts: Mapping[str, int]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        for write in commit(key, counts):
            file.writelines(
                f'{{"stream":"{write.stream}","type":"tested","data":{event.data}}}\n' for event in write.events
            )


def nothing(folder: str) -> Known:
    """Make no store, but the input files."""
    store(folder)
    shutil.rmtree(f"{folder}/store")
    return Known({})


def unmarked(folder: str) -> Known:
    """Leave a whole commit without its mark: the next writer settles it, forward."""
    known = store(folder)
    with open(f"{folder}/store/lock", "rb") as file:
        mark = file.read()
    LocalStore(f"{folder}/store").append(commit(5, {"s/t": 2, "w/x": 2}))
    with open(f"{folder}/store/lock", "r+b") as file:
        file.write(mark)
    return known.perhaps(5)


def unmarked_first(folder: str) -> Known:
    """Leave a whole first commit without its mark."""
    LocalStore(f"{folder}/store").append(commit(5, {"s/t": 2, "w/x": 2}))
    with open(f"{folder}/store/lock", "r+b") as file:
        file.write(b" " * 94)
    return Known({}).perhaps(5)


def short(folder: str) -> Known:
    """Leave a commit whose second stream is short: the next writer cuts it."""
    known = unmarked(folder)
    os.truncate(f"{folder}/store/streams/w/x.jsonl", 40)
    return known._replace(possible=frozenset())


def torn(folder: str) -> Known:
    """Leave a journal that ends within a line: the next writer cuts it."""
    known = store(folder)
    with open(f"{folder}/store/journal.jsonl", "ab") as file:
        file.write(b'{"position":8,"count":1,"ti')
    return known


def _project(folder: str) -> Known:
    os.mkdir(f"{folder}/project")
    with open(f"{folder}/project/evcli.toml", "w", encoding="utf-8"):
        pass
    return Known({})


def _judge_init(folder: str, known: Known, ended: Ended, figures: Figures, where: str) -> None:
    root, config = f"{folder}/project/.evcli", f"{folder}/project/evcli.toml"
    acknowledged = '"id"' in ended.out
    try:
        if acknowledged:
            known = known._replace(identity=read_identity(root))
            if not os.path.getsize(config):
                figures.find("lost", f"{where}: an acknowledged evcli.toml")
        LocalStore(root).create()
    except (OSError, EvcliError) as error:
        figures.find("lost" if acknowledged else "exceptions", f"{where}, then init: {error}")
        return
    judge(root, known, figures, where)


def _no_project(folder: str) -> Known:
    os.mkdir(f"{folder}/project")
    return Known({})


def _judge_trust(folder: str, _: Known, ended: Ended, figures: Figures, where: str) -> None:
    project, state = f"{folder}/project", f"{folder}/state"
    before = is_trusted(project, state)
    if '"trusted":true' in ended.out and not before:
        figures.find("lost", f"{where}: an acknowledged trust")
    if trusted(state) not in ([], [project]):
        figures.find("partial", f"{where}: trusted is {trusted(state)}")
    trust(project, state)
    if not is_trusted(project, state) or trusted(state) != [project]:
        figures.find("exceptions", f"{where}: cannot be trusted any more")


def _no_journal(folder: str) -> Known:
    """Lose the journal, for `repair` to rebuild from the streams."""
    known = store(folder)
    os.unlink(f"{folder}/store/journal.jsonl")
    return known


def _judge_repair(folder: str, known: Known, ended: Ended, figures: Figures, where: str) -> None:
    """After a repair was stopped, another one ends it; after one that was done, nothing is left to do."""
    if ended.code == 0:
        judge(f"{folder}/store", known, figures, where)
        return
    with _silent():
        code = REPAIR.command(folder)()
    if code:
        figures.find("exceptions", f"{where}, then repair: exit {code}")
    judge(f"{folder}/store", known, figures, where)


_ONE: Final = ("append", "s/t", "tested", '{"key":10,"index":0,"total":1}')
REPAIR: Final = Scenario("repair", _no_journal, ("repair", "--yes"), judge=_judge_repair)
SCENARIOS: Final = (
    Scenario("append", store, _ONE, (10,)),
    Scenario("append to a new store", nothing, _ONE, (10,)),
    Scenario("append to a new stream", store, ("append", "n/e/w", *_ONE[2:]), (10,)),
    Scenario("append after an unmarked commit", unmarked, _ONE, (10,)),
    Scenario("append after a short commit", short, _ONE, (10,)),
    Scenario("append after a torn journal", torn, _ONE, (10,)),
    Scenario("append --from", store, ("append", "--from", "FOLDER/many"), (10, 11)),
    Scenario("append --from --atomic", store, ("append", "--from", "FOLDER/two", "--atomic"), (10,)),
    Scenario("init", _no_project, ("init", "FOLDER/project"), judge=_judge_init),
    Scenario("trust", _project, ("trust", "FOLDER/project"), judge=_judge_trust),
    *([REPAIR] if any(command.words == "repair" for command in COMMANDS) else []),
)
