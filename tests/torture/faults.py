"""Every store system call fails, at each occurrence, with each error; and a second one in the way back.

In process, with the functions of ``os`` wrapped from outside; and the commands themselves, through strace.
"""

import errno
import functools
import os
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from evcli.storage.local import LocalStore
from tests.torture.acts import ACTS, Act, judge_act, run_act
from tests.torture.commands import Prepared, judge_ended, prepare_all
from tests.torture.injecting import SELF_RETRYING, Call, run_traced, tracing_hindrance
from tests.torture.judging import Known, share_out, work_folder
from tests.torture.rig import Figures, Rig, Tier

ERRORS: Final = (
    *("EIO", "ENOSPC", "EDQUOT", "EINTR", "EMFILE"),
    *("EACCES", "EROFS", "ESTALE", "ENOLCK", "ENOMEM"),
)
_DOCUMENTED: Final = (0, 74, 75, 77)


class _Situation(NamedTuple):
    act: Act
    known: Known
    template: str
    calls: list[Call]


def run(tier: Tier) -> Figures:
    figures = Figures()
    share_out((0, 1), functools.partial(_run_acts, tier), figures=figures)
    if hindrance := tracing_hindrance():
        figures.left_out.append(f"real system calls: {hindrance}")
    else:
        share_out((0, 1), functools.partial(_run_commands, tier), figures=figures)
    return figures


def _run_acts(tier: Tier, halves: Sequence[int]) -> Figures:
    """Run every second state of the enumeration: another process runs the other ones."""
    figures = Figures()
    with work_folder() as folder:
        situations = [_prepare(act, folder, figures) for act in ACTS]
        for half in halves:
            for situation in situations:
                for failures in _plans(situation, tier, half):
                    _run_state(situation, folder, failures, figures)
    return figures


def _prepare(act: Act, folder: str, figures: Figures) -> _Situation:
    template = f"{folder}/{ACTS.index(act)}"
    os.mkdir(template)
    situation = _Situation(act, act.prepare(template), template, [])
    _run_state(situation, folder, {}, figures)  # the first run imports
    return situation._replace(calls=_run_state(situation, folder, {}, figures))


def _run_state(situation: _Situation, folder: str, failures: Mapping[int, int], figures: Figures) -> list[Call]:
    where = f"{folder}/state"
    shutil.copytree(situation.template, where)
    try:
        told = ", ".join(f"call {number} {errno.errorcode[error]}" for number, error in failures.items())
        title = f"{situation.act.name}: {told or 'undisturbed'}"
        outcome = run_act(situation.act, where, situation.known, failures, figures, title)
        failed = [f"{call.name} of {os.path.relpath(call.file, where)}" for call in outcome.calls if call.failed]
        title += f" ({'; '.join(failed)}; {outcome.error or 'no error'})"
        if not failures and outcome.error is not None:
            figures.find("exceptions", title)
        again = LocalStore(f"{where}/store") if len(outcome.calls) % 2 else None
        judge_act(where, outcome, figures, title, again=again)
    finally:
        shutil.rmtree(where)
    return outcome.calls


def _plans(situation: _Situation, tier: Tier, half: int) -> Iterator[dict[int, int]]:
    """Yield what to fail: in the quick tier one error for each call and a few pairs, else every one and many pairs."""
    chance = random.Random(f"{tier.seed} {half} {situation.act.name}")
    for number in range(half, len(situation.calls), 2):
        possible = [error for error in ERRORS if _can_be(error, situation.calls[number])]
        for error in chance.sample(possible, 1) if tier.quick else possible:
            yield {number: getattr(errno, error)}
    for _ in range(tier.of(10, 600)):
        first = chance.randrange(len(situation.calls))
        one, two = (getattr(errno, chance.choice(ERRORS[:3] + ERRORS[4:])) for _ in range(2))
        yield {first: one, first + chance.randint(1, 12): two}


def _can_be(error: str, call: Call) -> bool:
    """Say whether Python lets an error through: it calls again after EINTR; only strace can show that."""
    return error != "EINTR" or call.name not in SELF_RETRYING


def _run_commands(tier: Tier, halves: Sequence[int]) -> Figures:
    figures = Figures()
    with work_folder() as folder:
        prepared = prepare_all(folder, figures)
        chance = random.Random(tier.seed)  # the same in both processes, so that no state is counted twice
        plans = [(one, inject) for one in prepared for inject in _traced_plans(one, chance, tier)]
        drawn = chance.sample(plans, min(len(plans), tier.of(120, 10_000)))
        for half in halves:
            for one, inject in drawn[half::2]:
                _run_command(one, inject, folder, figures)
    return figures


def _traced_plans(prepared: Prepared, chance: random.Random, tier: Tier) -> Iterator[tuple[str, ...]]:
    for place in prepared.places:
        for error in ERRORS if not tier.quick else chance.sample(ERRORS, 1):
            yield (f"{place.name}:error={error}:when={place.occurrence}",)
    writes = [place for place in prepared.places if place.name in ("pwrite64", "fsync", "fdatasync", "openat")]
    for place in writes:
        second = chance.choice(["ftruncate:error=EIO:when=1", "ftruncate:error=EIO:when=2", "fsync:error=EIO:when=1+"])
        if not second.startswith(place.name):
            yield f"{place.name}:error={chance.choice(ERRORS)}:when={place.occurrence}", second


def _run_command(prepared: Prepared, inject: tuple[str, ...], folder: str, figures: Figures) -> None:
    where, title = f"{folder}/state", f"{prepared.scenario.name} with {' and '.join(inject)}"
    shutil.copytree(prepared.template, where)
    ended = run_traced(folder, prepared.scenario.command(where), *inject)
    title += f" (exit {ended.code}, {ended.said.strip()})"
    if ended.code not in _DOCUMENTED or (ended.code and not ended.said.startswith("evcli: ")):
        figures.find("exceptions", title)
    judge_ended(prepared.scenario, where, prepared.known, ended, figures, title)
    figures.more["through strace"] = figures.more.get("through strace", 0) + 1
    shutil.rmtree(where)


RIG = Rig("errors", run)
