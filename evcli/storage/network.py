"""Is a path on a network file system, where locks and fsync may not mean what they say?"""

import os
from typing import Final

from evcli.errors import NotPermitted

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
    kind = _file_system(os.path.realpath(path))
    if kind in NETWORK_TYPES:
        raise NotPermitted(
            f"{path} is on a network file system ({kind}), where several hosts' locks and syncs cannot be relied upon",
            "keep the store on a local disk, or say --allow-network-fs if one host alone writes to it",
        )


def _file_system(path: str) -> str | None:
    """Return the type of the file system that a real path is on (proc(5), mountinfo); None if it cannot be told."""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    found: tuple[int, str] | None = None
    for line in lines:
        mount, _, rest = line.partition(" - ")
        point = mount.split(" ")[4].encode().decode("unicode_escape") if "\\" in mount else mount.split(" ")[4]
        if (path == point or path.startswith(point.rstrip("/") + "/")) and (found is None or len(point) >= found[0]):
            found = (len(point), rest.split(" ")[0])
    return found[1] if found else None
