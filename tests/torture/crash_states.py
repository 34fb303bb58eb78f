"""Crash states: what a power cut, a kill or a failing disk may leave of a protocol, and what evcli makes of it.

The system calls of the real commands are recorded with strace; `crash_model` says which disks a power cut may leave
after each of them. Each such disk is read, appended to, verified and read again. That append is noted call by call as
well, and cut in its turn: chains of crashes, kills and failed calls, each writer settling what the one before it left.

The disks are built on a tmpfs: the model says what is durable, the file system below need not.
"""

import gc
import itertools
import multiprocessing
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from tests.torture.crash_checks import Commits, Finder, Place, Walker
from tests.torture.crash_model import Disk, Op
from tests.torture.crash_protocols import Protocol, prepare
from tests.torture.rig import Figures, Rig, Tier

FEW: Final = 0.01
"""The share of the states that each of the small protocols (snapshot, trust, distrust) gets."""
SYSTEMATIC: Final = 0.45
MEMORY: Final = "/dev/shm"  # noqa: S108 (what is made there has a name of its own)
FULLY: Final = 500
"""Of a small protocol with fewer states than these, none is left out."""
MOST_LINKS: Final = 8
MANY: Final = 100_000


class Job(NamedTuple):
    """What one process goes through: its part of the states."""

    protocols: list[Protocol]
    commits: Commits
    states: int
    seed: int
    worker: int
    workers: int
    folder: str


def run(tier: Tier) -> Figures:
    """Record every protocol, then go through its crash states in one process for each core."""
    total = tier.of(6_000, 1_000_000)
    figures = Figures()
    folder = tempfile.mkdtemp(prefix="evcli-crash-", dir=MEMORY if os.path.isdir(MEMORY) else None)
    try:
        workers = min(8, os.cpu_count() or 1)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:  # one that notices when a worker dies
            protocols, commits, found = pool.submit(prepare, Path(folder)).result()
            _add(figures, found)
            jobs = [Job(protocols, commits, total // workers, tier.seed, n, workers, folder) for n in range(workers)]
            for found in pool.map(go_through, jobs):
                _add(figures, found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return figures


def _add(figures: Figures, found: Figures) -> None:
    figures.states += found.states
    for kind in ("lost", "partial", "duplicates", "exceptions"):
        setattr(figures, kind, getattr(figures, kind) + getattr(found, kind))
    figures.problems = (figures.problems + found.problems)[:100]
    for what, count in found.more.items():
        figures.more[what] = (
            max(figures.more.get(what, 0), count) if what == "deep" else figures.more.get(what, 0) + count
        )


def go_through(job: Job) -> Figures:
    """Go through one process's part of the states."""
    gc.freeze()
    rng = random.Random(f"{job.seed}/{job.worker}")
    place = Place(
        os.path.join(job.folder, f"worker-{job.worker}"), rng, job.commits, first=1_000_000 * (job.worker + 1)
    )
    finder = Finder()
    stores = [protocol for protocol in job.protocols if protocol.check is None]
    few = [protocol for protocol in job.protocols if protocol.check is not None]
    for protocol in few:
        _check_small(protocol, place, finder, int(job.states * FEW), rng)
    walker = Walker(place, finder)
    goal = finder.figures.states + int((job.states - finder.figures.states) * SYSTEMATIC)
    for number, protocol in enumerate(stores):
        share = (goal - finder.figures.states) // (len(stores) - number)
        if protocol.name.startswith("batch"):
            share //= 4 if job.states < MANY else 1
        for label, disk in _some(protocol, share, job, rng):
            walker.visit(disk, label)
    # a batch's states take ten times as long
    weights = [0.1 if protocol.name.startswith("batch") else 1 for protocol in stores]
    chains = 0
    while stores and finder.figures.states < job.states:
        (protocol,) = rng.choices(stores, weights)
        chains += _walk_chain(walker, protocol, rng)
    finder.figures.more["chains"] = chains
    return finder.figures


def _some(protocol: Protocol, share: int, job: Job, rng: random.Random) -> Iterator[tuple[str, Disk]]:
    """Yield about ``share`` of the disks that power cuts may leave of a protocol, evenly over all of them."""
    cuts = list(_prefixes(protocol.disk, protocol.ops))
    total = sum(1 for _, disk in cuts for _ in disk.every_power_cut()) or 1
    chance = share * job.workers / total
    number = 0
    for after, disk in cuts:
        for make in disk.every_power_cut():
            number += 1
            if number % job.workers == job.worker and (chance >= 1 or rng.random() < chance):
                yield f"{protocol.name}, power cut after {after}", make()


def _prefixes(disk: Disk, ops: list[Op]) -> Iterator[tuple[str, Disk]]:
    disk = disk.copy()
    for number, op in enumerate(ops):
        disk.apply(op)
        if op.kind != "begin":
            yield f"step {number} ({op.kind} {op.path})", disk.copy()


def _check_small(protocol: Protocol, place: Place, finder: Finder, share: int, rng: random.Random) -> None:
    """Check a protocol that is no append: each disk by its own check."""
    assert protocol.check is not None
    prefixes = list(_prefixes(protocol.disk, protocol.ops))
    systematic = [(after, make) for after, disk in prefixes for make in disk.every_power_cut()]
    rng.shuffle(systematic)
    share = max(share, len(systematic) if len(systematic) < FULLY else 0)
    more: Iterator[tuple[str, Callable[[], Disk]]] = (
        (after, lambda disk=disk: disk.cut_power(rng))  # type: ignore[misc]  # a default that binds the loop's value
        for after, disk in itertools.islice(iter(lambda: rng.choice(prefixes), None), share)
    )
    for after, make in itertools.islice(itertools.chain(systematic, more), share):
        disk = make()
        if finder.is_new(disk):
            place.build(disk)
            with finder.finding(f"{protocol.name}, power cut after {after}"):
                protocol.check(place, disk, protocol.prepared)


def _walk_chain(walker: Walker, protocol: Protocol, rng: random.Random) -> int:
    """Cut a protocol somewhere, append to what is left, cut that append, and so on; say if it was a chain."""
    disk, ops, label = protocol.disk, protocol.ops, protocol.name
    for link in range(rng.randint(1, MOST_LINKS)):
        label, disk = _crash(disk, ops, label, rng)
        found = walker.visit(disk, label, faulty=rng.random() < 0.2)
        if found is None:
            return 0
        disk, ops = found
        walker.finder.figures.more["deep"] = max(link + 1, walker.finder.figures.more.get("deep", 0))
    return 1


def _crash(disk: Disk, ops: list[Op], label: str, rng: random.Random) -> tuple[str, Disk]:
    """Stop after some of the steps: the writer is killed (perhaps within a write), or the power is cut."""
    disk = disk.copy()
    at = rng.randint(0, len(ops))
    for op in ops[:at]:
        disk.apply(op)
    if rng.random() < 0.35:
        if at < len(ops) and ops[at].kind == "write" and ops[at].data:
            part = rng.randint(0, len(ops[at].data))
            if part:
                disk.apply(ops[at]._replace(data=ops[at].data[:part]))
        return f"{label}; killed at step {at}", disk
    return f"{label}; power cut at step {at}", disk.cut_power(rng)


def hindrance() -> str | None:
    """Say why this cannot run here."""
    if shutil.which("strace") is None:
        return "there is no strace"
    return None


RIG = Rig("crash-states", run, hindrance)
