"""What the torture rig of locks has found, each in its smallest form (the lock itself: test_files)."""

from pathlib import Path

import pytest

from evcli.errors import NotPermitted
from evcli.storage import network


@pytest.mark.parametrize(
    ("name", "escaped"),
    [("café au lait", "café\\040au\\040lait"), ("line\u2028end", "line\u2028end"), ("\x85", "\x85"), ("a\r", "a\r")],
)
def test_a_mount_point_of_any_name_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, escaped: str
) -> None:
    table = tmp_path / "mountinfo"
    lines = f"1 1 0:1 / / rw - ext4 source rw\n2 1 0:2 / {tmp_path}/{escaped} rw - nfs source rw\n"
    table.write_bytes(lines.encode())
    monkeypatch.setattr(network, "_MOUNTS", str(table))
    with pytest.raises(NotPermitted, match="nfs"):
        network.require_local(str(tmp_path / name / "store"))
    network.require_local(str(tmp_path / "elsewhere"))
