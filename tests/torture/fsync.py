"""An fsync fails: never acknowledged, never tried again, and the truth told; the next writer settles it.

Injected at every sync of every way to append; and for real, on a loop image over a tmpfs that has no room left.
"""

import errno
import os
import random
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from evcli.errors import DurabilityUnknown, EvcliError, NotPermitted, StorageFailed
from evcli.storage.contract import Receipt
from evcli.storage.local import LocalStore
from tests.torture.acts import ACTS, KEY, Act, judge_act, run_act
from tests.torture.injecting import Call, Injection
from tests.torture.judging import NOTHING, Known, commit, judge, read_events, work_folder
from tests.torture.mounts import FILE_SYSTEMS, make_image, mounted, mounting_hindrance, share_out_mounting, tmpfs
from tests.torture.rig import Figures, Rig, Tier

_SYNCS: Final = ("fsync", "fdatasync")
_PAGE: Final = 4096


def run(tier: Tier) -> Figures:
    figures = Figures()
    with work_folder() as folder:
        for act in ACTS:
            if "append" in act.name:
                _fail_each_sync(act, f"{folder}/{ACTS.index(act)}", figures)
    if hindrance := mounting_hindrance(*FILE_SYSTEMS):
        figures.left_out.append(f"failing disks: {hindrance}")
    else:
        disks = [(kind, f"{tier.seed} {n}") for n in range(tier.of(3, 100)) for kind in FILE_SYSTEMS]
        share_out_mounting(disks, _fail_disks, figures=figures)
    return figures


def _fail_each_sync(act: Act, folder: str, figures: Figures) -> None:
    template, where = f"{folder}/template", f"{folder}/state"
    os.makedirs(template)
    known = act.prepare(template)
    for failures in _plans(act, template, where, known):
        shutil.copytree(template, where)
        title = f"{act.name}, call {min(failures)} fails with {errno.errorcode[failures[min(failures)]]}"
        outcome = run_act(act, where, known, failures, figures, title)
        failed = outcome.calls[min(failures)]
        title += f" ({failed.name} of {os.path.relpath(failed.file, where)})"
        if "quarantine" not in failed.file:  # that is kept if there is room, and only then
            _check_failed(outcome.calls[min(failures) + 1 :], outcome.error, failed, where, figures, title)
        # What was in doubt before has been settled once the commit itself is written.
        doubtful = {KEY} if isinstance(outcome.error, DurabilityUnknown) else known.possible
        if doubtful:
            _check_settled(where, doubtful, figures, title)
        judge_act(where, outcome, figures, title)
        shutil.rmtree(where)


def _plans(act: Act, template: str, where: str, known: Known) -> Iterator[Mapping[int, int]]:
    """Yield each sync failing with each error, alone; and every sync from one on, as a dying disk has it."""
    shutil.copytree(template, where)
    calls = run_act(act, where, known, {}, Figures(), "undisturbed").calls
    shutil.rmtree(where)
    syncs = [number for number, call in enumerate(calls) if call.name in _SYNCS]
    for number in syncs:
        for error in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
            yield {number: error}
        yield {later: errno.EIO for later in syncs if later >= number}


def _check_failed(
    rest: Sequence[Call], error: Exception | None, failed: Call, folder: str, figures: Figures, where: str
) -> None:
    """Check what a writer does after a sync has failed: it says so, in the right words, and syncs nothing again."""
    if error is None:
        figures.find("lost", f"{where}: acknowledged")
    elif getattr(error, "exit_code", None) != StorageFailed.exit_code:
        figures.find("exceptions", f"{where}: {error}")
    again = [call.name for call in rest if call.name in _SYNCS or call.name in ("pwrite", "ftruncate")]
    if again:
        figures.find("exceptions", f"{where}: after it, {again}")
    about_commit = failed.name == "fdatasync" and _is_written(folder)
    if about_commit and not isinstance(error, DurabilityUnknown):
        figures.find("exceptions", f"{where}: the commit is written, and it says: {error}")


def _is_written(folder: str) -> bool:
    """Say whether the bytes of the commit that was to be appended stand in some file."""
    found = b""
    for where, _, names in os.walk(f"{folder}/store/streams"):
        for name in names:
            with open(os.path.join(where, name), "rb") as file:
                found += file.read()
    return b'"key":%d,' % KEY in found


def _check_settled(folder: str, doubtful: Collection[int], figures: Figures, where: str) -> None:
    """Let another writer settle it in a copy: a commit that it keeps it must have written and synced again."""
    shutil.copytree(f"{folder}/store", f"{folder}/copy/store")
    try:
        with Injection({}) as injection:
            LocalStore(f"{folder}/copy/store").append(commit(KEY + 5, {"elsewhere": 1}), lock_wait=0)
        events = read_events(f"{folder}/copy/store")
    except EvcliError as error:
        figures.find("exceptions", f"{where}, then {error}")
        return
    finally:
        shutil.rmtree(f"{folder}/copy")
    if not events or events[-1].key != KEY + 5 or len(events) < 2 or events[-2].key not in doubtful:
        return
    for stream in {event.stream for event in events if event.key == events[-2].key}:
        calls = [call.name for call in injection.calls if call.file.endswith(f"streams/{stream}.jsonl")]
        if "pwrite" not in calls or "fdatasync" not in calls[calls.index("pwrite") :]:
            figures.find("lost", f"{where}: {stream} was kept and not written again")


def _fail_disks(disks: Sequence[tuple[str, str]]) -> Figures:
    figures = Figures()
    for kind, seed in disks:
        with tmpfs("size=160m") as room:
            _fail_disk(kind, room, random.Random(f"{kind} {seed}"), figures, f"{kind}, seed {seed}")
    return figures


def _fail_disk(kind: str, room: str, chance: random.Random, figures: Figures, where: str) -> None:
    """Append to a file system whose disk runs out of room for what is synced; then give it room, and mount it again."""
    make_image(f"{room}/image", kind)
    known, unknown = NOTHING, 0
    with mounted(f"{room}/disk", "-o", "loop", f"{room}/image") as disk:
        if chance.random() < 0.8:
            known = known.after(0, LocalStore(f"{disk}/store").append(commit(0, {"s/t": 1, "u": 1})))
        _fill_up(f"{room}/filler", free=chance.randint(0, 60), folder=room)
        for key in range(1, 200):
            if unknown == 1 and chance.random() < 0.5:
                os.truncate(f"{room}/filler", 0)
            known, failed = _append_once(f"{disk}/store", known, key, chance, figures, where)
            unknown += failed
            if not failed and _lies(f"{disk}/store/streams"):
                figures.more["lies of the disk"] = figures.more.get("lies of the disk", 0) + 1
                return
            if unknown > 3:
                break
    os.unlink(f"{room}/filler")
    figures.states += 1
    figures.more["real failures"] = figures.more.get("real failures", 0) + unknown
    with work_folder() as copy:
        try:
            with mounted(f"{room}/disk", "-o", "loop", f"{room}/image") as disk:
                if os.path.exists(f"{disk}/store"):
                    shutil.copytree(f"{disk}/store", f"{copy}/store")
        except (OSError, shutil.Error):  # the disk did not keep the file system's own blocks either
            figures.more["disks gone"] = figures.more.get("disks gone", 0) + 1
            return
        judge(f"{copy}/store", known, figures, where)


def _lies(folder: str) -> bool:
    """Say whether the disk said that bytes were synced which are not on it: then nobody can keep them."""
    paths = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]
    cached = [Path(path).read_bytes() for path in paths]
    Path("/proc/sys/vm/drop_caches").write_text("1")
    return cached != [Path(path).read_bytes() for path in paths]


def _fill_up(path: str, *, free: int, folder: str) -> None:
    """Leave this many pages of a tmpfs free."""
    room = os.statvfs(folder)
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(_PAGE, (room.f_bavail - free) * room.f_bsize))


def _append_once(
    root: str, known: Known, key: int, chance: random.Random, figures: Figures, where: str
) -> tuple[Known, bool]:
    counts = chance.choice([{"s/t": 1}, {"s/t": 3, "u": 2}, {f"new/{key}": 1}])
    try:
        receipt: Receipt = LocalStore(root).append(commit(key, counts, pad=chance.choice([0, 3_000])), lock_wait=0)
    except DurabilityUnknown:
        return known.perhaps(key), True
    except StorageFailed:
        return known, True
    except (OSError, NotPermitted):  # the file system has gone away under it, or only lets itself be read
        return known, True
    except EvcliError as error:
        figures.find("exceptions", f"{where}, commit {key}: {type(error).__name__}: {error}")
        return known, True
    return known.after(key, receipt), False


RIG = Rig("fsync", run)
