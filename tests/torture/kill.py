"""SIGKILL at every store system call of every writing command, and at random moments under load."""

import itertools
import os
import random
import shutil
import signal
import time
from collections.abc import Sequence

from tests.torture.commands import Prepared, judge_ended, prepare_all
from tests.torture.injecting import Place, run_traced, tracing_hindrance
from tests.torture.judging import NOTHING, Known, judge, share_out, work_folder
from tests.torture.rig import Figures, Rig, Tier
from tests.torture.writers import Writers

_ROUNDS_PER_STORE = 25


def run(tier: Tier) -> Figures:
    figures = Figures()
    share_out((0, 1), _kill_everywhere, figures=figures)
    seeds = [tier.seed * 1_000_003 + n for n in range(tier.of(80, 10_000) // _ROUNDS_PER_STORE)]
    share_out(seeds, _run_rounds, figures=figures)
    return figures


def _kill_everywhere(halves: Sequence[int]) -> Figures:
    """Kill every command at every second of its calls: another process takes the other ones."""
    figures = Figures()
    with work_folder() as folder:
        prepared = prepare_all(folder, figures)
        for half in halves:
            for one in prepared:
                for place in one.places[half::2]:
                    _kill(folder, one, place, figures)
    return figures


def _kill(folder: str, prepared: Prepared, place: Place, figures: Figures) -> None:
    where, title = f"{folder}/killed", f"{prepared.scenario.name}, killed at {place.name} {place.occurrence}"
    shutil.copytree(prepared.template, where)
    kill = f"{place.name}:signal=SIGKILL:when={place.occurrence}"
    ended = run_traced(folder, prepared.scenario.command(where), kill)
    if ended.code == -signal.SIGKILL:
        figures.more["kills"] = figures.more.get("kills", 0) + 1
    else:
        figures.find("exceptions", f"{title}: was not, but exit {ended.code}, {ended.said}")
    judge_ended(prepared.scenario, where, prepared.known, ended, figures, title)
    shutil.rmtree(where)


def _run_rounds(seeds: Sequence[int]) -> Figures:
    """Kill two writers at random moments, again and again, on one store for each seed."""
    figures = Figures()
    for seed in seeds:
        chance = random.Random(seed)
        known, keys = NOTHING, itertools.count(0, 10_000)
        with work_folder() as folder:
            for round_ in range(_ROUNDS_PER_STORE):
                known = _kill_writers(f"{folder}/store", known, keys, chance)
                figures.states += 1
                if os.path.exists(f"{folder}/store"):
                    # A copy: the next round's writers find what these left, not what the judge settled.
                    shutil.copytree(f"{folder}/store", f"{folder}/{round_}")
                    judge(f"{folder}/{round_}", known, figures, f"seed {seed}, round {round_}")
                    shutil.rmtree(f"{folder}/{round_}")
    return figures


def _kill_writers(root: str, known: Known, keys: "itertools.count[int]", chance: random.Random) -> Known:
    with Writers(root, chance, [next(keys), next(keys)]) as writers:
        for _ in range(2):
            time.sleep(chance.uniform(0, 0.008))
            writers.stop()
        return writers.said(known)


RIG = Rig("kill", run, tracing_hindrance)
