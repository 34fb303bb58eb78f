"""A real power cut (FS_IOC_SHUTDOWN without flushing the log) while a writer acknowledges, on ext4 and XFS."""

import fcntl
import functools
import itertools
import os
import random
import shutil
import struct
import time
from collections.abc import Callable, Sequence
from typing import Final

from tests.torture.judging import NOTHING, Known, judge, work_folder
from tests.torture.mounts import FILE_SYSTEMS, make_image, mounted, mounting_hindrance, share_out_mounting
from tests.torture.rig import Figures, Rig, Tier
from tests.torture.writers import Writers

_FS_IOC_SHUTDOWN: Final = 0x8004587D
_NO_LOG_FLUSH: Final = 2
_LOOP_MAJOR: Final = 7
_CUTS_PER_STORE: Final = 10


def _rig(kind: str) -> Rig:
    def run(tier: Tier) -> Figures:
        figures = Figures()
        cuts = tier.of(30, 5_000)
        shares = [(f"{tier.seed} {kind} {half}", cuts // 2) for half in range(2)]
        share_out_mounting(shares, functools.partial(_cut_often, kind), figures=figures)
        return figures

    return Rig(f"power-{kind}", run, functools.partial(mounting_hindrance, kind))


def _cut_often(kind: str, shares: Sequence[tuple[str, int]]) -> Figures:
    """Cut the power again and again: what a cut leaves is what the next writer finds."""
    figures = Figures()
    for seed, cuts in shares:
        chance, known, keys = random.Random(seed), NOTHING, itertools.count(0, 10_000)
        with work_folder() as folder:
            make_image(f"{folder}/image", kind)
            for number in range(cuts):
                with mounted(f"{folder}/disk", "-o", "loop", f"{folder}/image") as disk:
                    if number % _CUTS_PER_STORE == 0:
                        shutil.rmtree(f"{disk}/store", ignore_errors=True)
                        os.sync()
                        known = NOTHING
                    before = len(known.acknowledged)
                    known = _cut(disk, known, next(keys), chance)
                    new = len(known.acknowledged) - before
                with mounted(f"{folder}/disk", "-o", "loop", f"{folder}/image") as disk:
                    if os.path.exists(f"{disk}/store"):
                        shutil.copytree(f"{disk}/store", f"{folder}/copy")
                figures.states += 1
                judge(f"{folder}/copy", known, figures, f"{kind}, seed {seed}, cut {number}")
                figures.more["acknowledged"] = figures.more.get("acknowledged", 0) + new
                shutil.rmtree(f"{folder}/copy", ignore_errors=True)
    return figures


def _cut(disk: str, known: Known, first: int, chance: random.Random) -> Known:
    """Let a writer work for a moment and cut the power; believe what it acknowledged before that."""
    with Writers(f"{disk}/store", chance, [first]) as writers:
        time.sleep(chance.uniform(0, 0.08))
        cut = _breaker(disk)
        known = writers.said(known)
        cut()
        writers.stop()
        return writers.said(known, believed=False)


def _breaker(disk: str) -> Callable[[], None]:
    """Return what cuts the power of a loop-mounted file system, and of nothing else."""
    if not os.path.ismount(disk) or os.major(os.stat(disk).st_dev) != _LOOP_MAJOR:
        raise RuntimeError(f"{disk} is no loop-mounted file system")
    fd = os.open(disk, os.O_RDONLY | os.O_DIRECTORY)

    def cut() -> None:
        fcntl.ioctl(fd, _FS_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        os.close(fd)

    return cut


RIGS = [_rig(kind) for kind in FILE_SYSTEMS]
