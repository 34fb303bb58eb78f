"""What the crash-states rig has found, each as small as it gets."""

from pathlib import Path

from evcli.project.trust import trust, trusted
from tests.torture.crash_model import Disk, File
from tests.torture.crash_trace import Recorder


def test_trust_that_was_told_survives_a_power_cut_in_the_folders_it_made(tmp_path: Path) -> None:
    state = "user/state"
    with Recorder(str(tmp_path)) as recorder:
        trust(str(tmp_path), str(tmp_path / state))
    disk = Disk()
    for op in recorder.ops:
        disk.apply(op)
    assert trusted(str(tmp_path / state)) == [str(tmp_path)]

    left = disk.leave(lambda folder: (False,) * len(folder.pending), File.oldest)

    assert dict(disk.contents()) == dict(left.contents())
