"""Stores that may not be written to: exit 77, not a byte changed, and readers still read (part of the rig of locks)."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from evcli.domain.events import NewEvent, Write
from evcli.errors import NotPermitted
from evcli.storage import network
from evcli.storage.local import LocalStore
from tests.torture.forking import command
from tests.torture.rig import Figures

_REFUSED: Final = NotPermitted.exit_code


def _append(number: int, store: LocalStore) -> None:
    store.append([Write("s0", [NewEvent("written", str(number))])])


def _bytes_of(store: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file()}


def unwritable_stores(root: Path, figures: Figures) -> None:
    """Take rights away from a store, one by one, and write to it as somebody who is not root."""
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        figures.left_out.append("stores that may not be written: root may write anywhere, and there is no setpriv")
        return
    store = root / "store"
    own, other = ["append", "s0", "written"], ["append", "new/stream", "written"]
    cases: tuple[tuple[str, list[str]], ...] = (
        ("lock", own),
        ("journal.jsonl", own),
        ("streams/s0.jsonl", own),
        ("streams", other),
        (".", own),
        ("everything", own),
    )
    for name, arguments in cases:
        shutil.rmtree(store, ignore_errors=True)
        LocalStore(str(store)).append([Write("s0", [NewEvent("written")])])
        if name == ".":
            (store / "lock").unlink()
        _set_rights(store, but=name)
        before = _bytes_of(store)
        code = _run_humbly(store, arguments)
        same = {path: text for path, text in _bytes_of(store).items() if not path.endswith("/lock")} == {
            path: text for path, text in before.items() if not path.endswith("/lock")
        }
        if code != _REFUSED or not same:
            figures.find("exceptions", f"{name} unwritable: {code}, {'un' * same}changed")
        if _run_humbly(store, ["replay", "s0"]):
            figures.find("exceptions", f"{name} unwritable: it cannot be read either")
        _set_rights(store, but="")
        _append(1, LocalStore(str(store)))
        LocalStore(str(store)).verify()
        figures.states += 1
    root.chmod(0o555)
    code = _run_humbly(root / "elsewhere", own)
    root.chmod(0o755)
    figures.states += 1
    if code != _REFUSED or (root / "elsewhere").exists():
        figures.find("exceptions", f"no place for a store: {code}")
    _read_only(store, figures)


def _set_rights(store: Path, *, but: str) -> None:
    """Let everything be written by its owner but one file or directory, or everything."""
    for path in [store, *store.rglob("*")]:
        closed = but in ("everything", str(path.relative_to(store)))
        path.chmod((0o755 if path.is_dir() else 0o644) & (~0o222 if closed else ~0))


def _run_humbly(store: Path, arguments: list[str]) -> int:
    """Run evcli as somebody to whom the rights of files apply."""
    humbly = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    return subprocess.run([*humbly, *_evcli(store, arguments)], capture_output=True, check=False).returncode


def _read_only(store: Path, figures: Figures) -> None:
    """Write to and read from a file system that is mounted read-only, in a mount namespace of one's own."""
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 99; shift; exec "$@"'
    for arguments, expected in ((["append", "s0", "written"], _REFUSED), (["replay", "s0"], 0), (["verify"], 0)):
        words = ["unshare", "-m", "sh", "-c", script, "sh", str(store), *_evcli(store, arguments)]
        done = subprocess.run(words, capture_output=True, check=False)
        if done.returncode in (1, 99):  # no mount namespaces here
            return
        figures.states += 1
        if done.returncode != expected:
            figures.find("exceptions", f"mounted read-only, {arguments[0]}: {done.returncode} {done.stderr!r}")


def _evcli(store: Path, arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "evcli", "--store", str(store), *arguments]


# network file systems


@contextmanager
def _mounted(root: Path, *mounts: tuple[str, str]) -> Iterator[None]:
    """Let evcli see other mounts: their points, as the kernel writes them (proc(5)), and their types."""
    lines = [f"{number} 1 0:{number} / {point} rw - {kind} source rw\n" for number, (point, kind) in enumerate(mounts)]
    table, original = root / "mountinfo", network._MOUNTS  # noqa: SLF001 (there is no network here)
    table.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
    network._MOUNTS = str(table)  # type: ignore[misc]  # noqa: SLF001
    try:
        yield
    finally:
        network._MOUNTS = original  # type: ignore[misc]  # noqa: SLF001


def _escaped(path: Path) -> str:
    """Write a mount point as the kernel does: space, tab, newline and backslash as octal digits."""
    text = str(path)
    for char in "\\ \t\n":
        text = text.replace(char, f"\\{ord(char):03o}")
    return text


def network_file_systems(root: Path, figures: Figures) -> None:
    """Append where a network file system is mounted: refused, unless it is allowed."""

    def expect(store: Path, *mounts: tuple[str, str], refused: bool) -> None:
        with _mounted(root, *mounts):
            code = command(["--store", str(store), "append", "s0", "written"])
            allowed = command(["--store", str(store), "append", "s0", "written", "--allow-network-fs"])
            read = command(["--store", str(store), "replay", "s0"])
        figures.states += 1
        if (code, allowed, read) != (_REFUSED if refused else 0, 0, 0):
            figures.find("exceptions", f"{str(store)!a} on {mounts!a}: {code}, allowed {allowed}, read {read}")

    for kind in sorted(network.NETWORK_TYPES):
        expect(root / "net" / kind, ("/", "ext4"), (_escaped(root), kind), refused=True)
    for kind in ("ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "apfs", "fuseblk"):
        expect(root / "local" / kind, ("/", "nfs4"), (_escaped(root), kind), refused=False)
    expect(root / "a" / "b" / "store", ("/", "ext4"), (str(root), "nfs"), (str(root / "a"), "xfs"), refused=False)
    expect(root / "ab", ("/", "ext4"), (str(root / "a"), "nfs"), refused=False)
    expect(root / "twice", (str(root), "ext4"), (str(root), "nfs"), refused=True)
    for name in (
        "with space",
        "tab\tnew\nline",
        "back\\slash",
        "caf\u00e9 au lait",
        "line\u2028end",
        "\x85",
        "\x1c",
        "cr\r",
        "\udcff x",
    ):
        expect(root / name / "store", ("/", "ext4"), (_escaped(root / name), "nfs"), refused=True)
    (root / "real").mkdir()
    (root / "link").symlink_to(root / "real")
    expect(root / "link" / "s", ("/", "ext4"), (str(root / "real"), "cifs"), refused=True)
