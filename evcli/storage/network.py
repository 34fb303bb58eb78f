"""Is a path on a network file system, where locks and fsync may not mean what they say?"""

import os
import re

from evcli.errors import NotPermitted
from evcli.light_typing import Final

NETWORK_TYPES: Final = frozenset(
    [
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "davfs",
        "fuse.cephfs",
        "fuse.davfs2",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "pvfs2",
        "smb2",
        "smb3",
        "smbfs",
    ]
)
_MOUNTS: Final = "/proc/self/mountinfo"


def require_local(path: str) -> None:
    """Do nothing if ``path`` is on a local file system, or if nobody can tell (there is no /proc, as on macOS).

    Raises:
        NotPermitted: If it is on a network file system.
    """
    kind = file_system(os.path.realpath(path))
    if kind in NETWORK_TYPES:
        raise NotPermitted(
            f"{path} is on a network file system ({kind}), where several hosts' locks and syncs cannot be relied upon",
            "keep the store on a local disk, or say --allow-network-fs if one host alone writes to it",
        )


def file_system(path: str) -> str | None:
    """Return the type of the file system that a real path is on (proc(5), mountinfo); None if it cannot be told."""
    try:
        with open(_MOUNTS, "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        return None
    wanted = os.fsencode(path)
    found: tuple[int, str] | None = None
    for line in lines[:-1]:
        mount, _, rest = line.partition(b" - ")
        point = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), mount.split(b" ")[4])
        inside = wanted == point or wanted.startswith(point.rstrip(b"/") + b"/")
        if inside and (found is None or len(point) >= found[0]):
            found = (len(point), rest.split(b" ")[0].decode("ascii", "replace"))
    return found[1] if found else None
