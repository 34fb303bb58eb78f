"""The disk is full: a limit at every byte of an append (writes that are truly short), and a tmpfs without room."""

import os
import random
import resource
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from evcli.errors import DurabilityUnknown, StorageFailed
from evcli.storage.lines import MARK_BYTES
from evcli.storage.local import LocalStore
from tests.torture.judging import Known, commit, judge, share_out, work_folder
from tests.torture.mounts import mounting_hindrance, share_out_mounting, tmpfs
from tests.torture.rig import Figures, Rig, Tier

_KEY: Final = 10
_MOST_TRIES: Final = 400


class Shape(NamedTuple):
    """A commit, after a store of the commits in ``before``."""

    name: str
    before: tuple[Mapping[str, int], ...]
    counts: Mapping[str, int]
    pad: int = 0


ONE: Final = Shape("one event", ({"s/t": 1}, {"s/t": 2, "u": 1}), {"s/t": 1})
TWO: Final = Shape("a first commit, of two streams", (), {"s/t": 2, "new/v": 1})


def run(tier: Tier) -> Figures:
    figures = Figures()
    limits = [(shape, limit) for shape in (ONE, TWO) for limit in _offsets(shape)]
    limits += [(shape, limit) for shape in _random_shapes(tier) for limit in _some_offsets(shape, tier)]
    share_out(limits, _run_limits, figures=figures)
    if hindrance := mounting_hindrance():
        figures.left_out.append(f"full file systems: {hindrance}")
    else:
        seeds = [f"{tier.seed} {number}" for number in range(tier.of(20, 400))]
        share_out_mounting(seeds, _fill_disks, figures=figures)
    return figures


def _offsets(shape: Shape) -> range:
    """Return every file size at which a limit makes a difference to the last commit."""
    with work_folder() as folder:
        _make(folder, shape.before)
        before = _sizes(folder)
        LocalStore(f"{folder}/store").append(commit(_KEY, shape.counts, pad=shape.pad))
        after = _sizes(folder)
    changed = [name for name in after if before.get(name) != after[name] and not name.endswith("lock")]
    least = MARK_BYTES if shape.before else 0  # who has marked a commit can write as much as a mark
    return range(max(least, min(before.get(name, 0) for name in changed)), max(after[name] for name in changed) + 1)


def _sizes(folder: str) -> dict[str, int]:
    paths = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]
    return {path: os.path.getsize(path) for path in paths}


def _random_shapes(tier: Tier) -> Iterator[Shape]:
    chance = random.Random(f"{tier.seed} shapes")
    for number in range(tier.of(0, 500)):
        before = tuple({"s/t": chance.randint(1, 5), "u": 1} for _ in range(chance.randint(0, 3)))
        counts = chance.choice([{"s/t": 1}, {"s/t": 100}, {"s/t": 1, "u": 2, "n/e/w": 3}])
        yield Shape(f"shape {number}", before, counts, chance.choice([0, 500, 4_000]))


def _some_offsets(shape: Shape, tier: Tier) -> list[int]:
    chance = random.Random(f"{tier.seed} {shape.name}")
    offsets = _offsets(shape)
    return sorted(chance.sample(offsets, min(100, len(offsets))))


def _make(folder: str, before: Sequence[Mapping[str, int]]) -> Known:
    known, store = Known({}), LocalStore(f"{folder}/store")
    for key, counts in enumerate(before):
        known = known.after(key, store.append(commit(key, counts)))
    return known


def _run_limits(limits: Sequence[tuple[Shape, int]]) -> Figures:
    figures, made = Figures(), dict[str, Known]()
    with work_folder() as folder:
        for number, (shape, limit) in enumerate(limits):
            template, where = f"{folder}/{shape.name}", f"{folder}/state"
            if shape.name not in made:
                os.mkdir(template)
                made[shape.name] = _make(template, shape.before)
            shutil.copytree(template, where)
            _run_limit(where, made[shape.name], shape, limit, twice=number % 2 == 0, figures=figures)
            shutil.rmtree(where)
    return figures


def _run_limit(folder: str, known: Known, shape: Shape, limit: int, *, twice: bool, figures: Figures) -> None:
    root, where = f"{folder}/store", f"{shape.name}, files of up to {limit} bytes"
    store = LocalStore(root)
    figures.states += 1
    with _files_up_to(limit):
        for key in (_KEY, _KEY + 1)[: 2 if twice else 1]:
            known = _try_append(store, known, key, shape.counts, shape.pad, figures, where)
    judge(root, known, figures, where)


@contextmanager
def _files_up_to(limit: int) -> Iterator[None]:
    """Let no file grow beyond ``limit`` bytes; Python ignores the signal that says so, and gets EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _try_append(
    store: LocalStore, known: Known, key: int, counts: Mapping[str, int], pad: int, figures: Figures, where: str
) -> Known:
    """Append; where there is no room, it must say that nothing was stored: nothing but room was missing."""
    try:
        return known.after(key, store.append(commit(key, counts, pad=pad), lock_wait=0))
    except DurabilityUnknown as error:
        figures.find("exceptions", f"{where}: {error}")
        return known.perhaps(key)
    except StorageFailed as error:
        figures.more["refusals"] = figures.more.get("refusals", 0) + 1
        if not str(error).startswith("nothing was stored"):
            figures.find("exceptions", f"{where}: {error}")
    except Exception as error:  # noqa: BLE001 (whatever it is, it is what the rig looks for)
        figures.find("exceptions", f"{where}: {type(error).__name__}: {error}")
    return known


def _fill_disks(seeds: Sequence[str]) -> Figures:
    figures = Figures()
    for seed in seeds:
        _fill_disk(random.Random(seed), figures, f"tmpfs {seed}")
    return figures


def _fill_disk(chance: random.Random, figures: Figures, where: str) -> None:
    """Append to a small tmpfs until there is no room left, of bytes or of names, and a while longer; then make room."""
    size, names = chance.randrange(20, 120, 4), chance.randint(4, 30)
    limit = chance.choice([f"size={size}k", f"size=4m,nr_inodes={names}"])
    with tmpfs(limit) as point:
        store, known, refused = LocalStore(f"{point}/store"), Known({}), 0
        _fill(f"{point}/filler", 4096 * chance.randint(0, 3))
        for key in range(_MOST_TRIES):
            counts = chance.choice([{"s/t": 1}, {"s/t": 3, "u": 2}, {f"new/{key}": 1}])
            before = len(known.acknowledged)
            known = _try_append(store, known, key, counts, chance.choice([0, 300, 3_000]), figures, f"{where}, {limit}")
            refused += len(known.acknowledged) == before
            figures.states += 1
            if chance.random() < 0.2:
                store = LocalStore(f"{point}/store")
            if refused > 3:
                break
        os.unlink(f"{point}/filler")
        # More room than its own was: in a copy.
        with work_folder() as roomy:
            if os.path.exists(f"{point}/store"):
                shutil.copytree(f"{point}/store", f"{roomy}/store")
            judge(f"{roomy}/store", known, figures, f"{where}, {limit}")


def _fill(path: str, size: int) -> None:
    with open(path, "wb") as file:
        file.write(b"x" * size)


RIG = Rig("no-space", run)
