"""File systems of a rig's own: tmpfs, and ext4 and XFS on loop devices, in a mount namespace that dies with the rig."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from tests.torture.judging import share_out, work_folder
from tests.torture.rig import Figures

Task = TypeVar("Task")
FILE_SYSTEMS: Final = {"ext4": ("64M", ["mkfs.ext4", "-q", "-F"]), "xfs": ("320M", ["mkfs.xfs", "-q", "-f"])}
_NEW_NAMESPACE: Final = 0x20000


def share_out_mounting(tasks: Sequence[Task], run: Callable[[Sequence[Task]], Figures], *, figures: Figures) -> None:
    """Run ``tasks`` as `share_out` does, in processes that may mount: what they mount is gone when they are."""

    def run_apart(share: Sequence[Task]) -> Figures:
        _leave_namespace()
        return run(share)

    share_out(tasks, run_apart, figures=figures)


def _leave_namespace() -> None:
    """Go into a mount namespace of this process's own, from which no mount gets out."""
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NAMESPACE):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    _do("mount", "--make-rprivate", "/")


@contextmanager
def tmpfs(options: str) -> Iterator[str]:
    """Mount a tmpfs with ``options`` and give its directory; it is unmounted after the block."""
    with work_folder() as folder, mounted(f"{folder}/full", "-t", "tmpfs", "-o", options, "none") as point:
        yield point


def make_image(path: str, kind: str) -> None:
    """Make a sparse image of a file system, as small as its kind allows."""
    size, command = FILE_SYSTEMS[kind]
    _do("truncate", "-s", size, path)
    _do(*command, path)


@contextmanager
def mounted(point: str, *arguments: str) -> Iterator[str]:
    """Mount something at ``point`` and give that; it is unmounted after the block, and a loop device let go."""
    os.makedirs(point, exist_ok=True)
    _do("mount", *arguments, point)
    try:
        yield point
    finally:
        # Lazily where something still holds it: the namespace's end, or the holder's, lets it go.
        if subprocess.run(["umount", point], capture_output=True, check=False).returncode:
            _do("umount", "-l", point)


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def mounting_hindrance(*kinds: str) -> str | None:
    """Say why a tmpfs, or file systems of ``kinds`` on loop devices, cannot be mounted here, if they cannot."""
    if os.geteuid():
        return "only root may mount"
    for kind in kinds:
        if shutil.which(FILE_SYSTEMS[kind][1][0]) is None:
            return f"there is no {FILE_SYSTEMS[kind][1][0]}"
    figures = Figures()
    share_out_mounting((kinds,), _try_mounting, figures=figures)
    return figures.problems[0].removeprefix("exceptions: ") if figures.problems else None


def _try_mounting(tries: Sequence[tuple[str, ...]]) -> Figures:
    figures = Figures()
    try:
        with tmpfs("size=400k") as point:
            assert os.path.ismount(point)
        for kind in tries[0]:
            with work_folder() as folder:
                make_image(f"{folder}/image", kind)
                with mounted(f"{folder}/disk", "-o", "loop", f"{folder}/image") as point:
                    assert os.path.ismount(point)
    except OSError as error:
        figures.find("exceptions", f"cannot mount: {error}")
    return figures
