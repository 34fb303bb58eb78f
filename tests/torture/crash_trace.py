"""What a writer asks of the file system, as steps of `crash_model`: from ``strace``, or noted in this process.

What counts is recorded with strace from the real commands. Chains of crashes run thousands of writers, so theirs
are noted in process, by wrapping the calls of ``os``; the rig compares the two on every protocol.
"""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from tests.torture.crash_model import Op

CALLS: Final = (
    "openat,open,creat,pwrite64,pwritev,pwritev2,write,writev,ftruncate,truncate,fallocate,fsync,fdatasync,"
    "sync_file_range,msync,rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat"
)
_LINE: Final = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)(?:<([^>]*)>)?")
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR: Final = re.compile(r"^(\d+)<([^>]*)>")

_DRIVER: Final = """\
import json, os, sys
from evcli.cli.main import run
for name, environment, argv in json.loads(sys.argv[1]):
    os.environ.update(environment)
    os.write(2, b"begin " + name.encode() + b"\\n")
    code = run(argv)
    os.write(2, b"end %d\\n" % code)
"""


class Command(NamedTuple):
    """A command to be recorded: a name, the directory in which all it touches lies, its environment and words."""

    name: str
    base: str
    environment: Mapping[str, str]
    argv: list[str]


class Recorded(NamedTuple):
    """What a command did; ``acknowledged`` is how many of the steps it had taken when it printed its receipt."""

    ops: list[Op]
    acknowledged: int
    code: int


def record_commands(commands: list[Command], log: Path) -> dict[str, Recorded]:
    """Run commands one after another, in one process under strace, and return what each asked of the file system."""
    import json

    plan = json.dumps([(command.name, dict(command.environment), command.argv) for command in commands])
    strace = ["strace", "-f", "-y", "-xx", "-s", "8388608", "-o", str(log), "-e", f"trace={CALLS}"]
    here = str(Path(__file__).resolve().parents[2])
    subprocess.run(
        [*strace, sys.executable, "-B", "-c", _DRIVER, plan],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])},
    )
    bases = {command.name: os.path.realpath(command.base) for command in commands}
    found: dict[str, Recorded] = {}
    ops: list[Op] = []
    name, acknowledged = "", -1
    for call, arguments, result, target in _calls(log):
        if call == "write" and (descriptor := _DESCRIPTOR.match(arguments)) and descriptor[1] in ("1", "2"):
            text = _texts(arguments)[0]
            if descriptor[1] == "2" and text.startswith(b"begin "):
                name, ops, acknowledged = text[6:-1].decode(), [], -1
            elif descriptor[1] == "2" and text.startswith(b"end "):
                found[name] = Recorded(ops, acknowledged, int(text[4:]))
                name = ""
            elif descriptor[1] == "1" and acknowledged < 0:
                acknowledged = len(ops)
        elif name and result >= 0:
            ops += _steps(call, arguments, result, target, bases[name])
    return found


def _calls(log: Path) -> Iterator[tuple[str, str, int, str]]:
    with log.open() as lines:
        for line in lines:
            assert "unfinished" not in line, "a command with threads is not recorded faithfully"
            found = _LINE.match(line)
            if found:
                yield found[1], found[2], int(found[3]), _plain(found[4] or "").decode()


def _plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode()


def _texts(arguments: str) -> list[bytes]:
    return [_plain(text) for text in _TEXT.findall(arguments)]


def _steps(call: str, arguments: str, result: int, target: str, base: str) -> Iterator[Op]:
    descriptor = _DESCRIPTOR.match(arguments)
    if call in ("openat", "open", "creat"):
        path = _below(base, target)
        if path is not None and ("O_CREAT" in arguments or call == "creat"):
            yield Op("create", path)
        if path is not None and ("O_TRUNC" in arguments or call == "creat"):
            yield Op("cut", path, 0)
    elif call in ("rename", "mkdir", "unlink"):
        paths = [_below(base, os.path.abspath(text.decode())) for text in _texts(arguments)]
        if paths[0] is not None:
            yield Op(call, paths[0], to=(paths[-1] or "") if call == "rename" else "")
    else:
        path = _below(base, _plain(descriptor[2]).decode()) if descriptor else None
        if path is None:
            assert descriptor or base not in repr(_texts(arguments)), f"{call} is not modelled"
        elif call == "pwrite64":
            yield Op("write", path, int(arguments.rsplit(", ", 1)[1]), _texts(arguments)[0][:result])
        elif call == "ftruncate":
            yield Op("cut", path, int(arguments.rsplit(", ", 1)[1]))
        else:
            assert call in ("fsync", "fdatasync"), f"{call} on {path} is not modelled"
            yield Op("sync", path)


def _below(base: str, path: str) -> str | None:
    if path == base:
        return ""
    return path[len(base) + 1 :] if path.startswith(base + "/") else None


class Recorder:
    """Notes what this process asks of the file system below a directory, while it is entered; syncs are only noted.

    Args:
        base: The directory.
        faults: Which of the noted calls fail, by their numbers, and with what errno. A failing write takes half
            of what it was given first, as a full disk does.
    """

    def __init__(self, base: str, faults: Mapping[int, int] | None = None) -> None:
        self.ops: list[Op] = []
        self._base = os.path.realpath(base)
        self._faults = dict(faults or {})
        self._calls = 0
        self._paths: dict[int, str | None] = {}
        self._real: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> Self:
        for name in ("open", "pwrite", "ftruncate", "fsync", "fdatasync", "mkdir", "replace", "unlink"):
            self._real[name] = getattr(os, name)
            setattr(os, name, getattr(self, f"_{name}"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, function in self._real.items():
            setattr(os, name, function)

    def _path(self, path: str) -> str | None:
        return _below(self._base, os.path.abspath(path))

    def _fault(self, *, path: str | None) -> int:
        if path is None:
            return 0
        self._calls += 1
        return self._faults.pop(self._calls, 0)

    def _open(self, path: str, flags: int, mode: int = 0o777, **more: Any) -> int:
        at = self._path(path)
        if fault := self._fault(path=at):
            raise OSError(fault, os.strerror(fault), path)
        fd: int = self._real["open"](path, flags, mode, **more)
        self._paths[fd] = at
        if at is not None and flags & os.O_CREAT:
            self.ops.append(Op("create", at))
        assert not flags & os.O_TRUNC or at is None
        return fd

    def _pwrite(self, fd: int, text: bytes, offset: int) -> int:
        path = self._paths.get(fd)
        fault = self._fault(path=path)
        if fault and len(text) < 2:
            raise OSError(fault, os.strerror(fault))
        part = bytes(text)
        if fault:
            part = part[: len(part) // 2]
            self._faults[self._calls + 1] = fault  # the rest of it does not find room
        written: int = self._real["pwrite"](fd, part, offset)
        if path is not None:
            self.ops.append(Op("write", path, offset, part[:written]))
        return written

    def _ftruncate(self, fd: int, length: int) -> None:
        path = self._paths.get(fd)
        if fault := self._fault(path=path):
            raise OSError(fault, os.strerror(fault))
        self._real["ftruncate"](fd, length)
        if path is not None:
            self.ops.append(Op("cut", path, length))

    def _fsync(self, fd: int) -> None:
        path = self._paths.get(fd)
        if self._fault(path=path):
            self.ops.append(Op("sync-failed", path or ""))
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if path is not None:
            self.ops.append(Op("sync", path))

    _fdatasync = _fsync

    def _mkdir(self, path: str, mode: int = 0o777) -> None:
        at = self._path(path)
        if not os.path.isdir(path) and (fault := self._fault(path=at)):
            raise OSError(fault, os.strerror(fault))
        self._real["mkdir"](path, mode)
        if at is not None:
            self.ops.append(Op("mkdir", at))

    def _replace(self, source: str, target: str) -> None:
        self._real["replace"](source, target)
        path = self._path(source)
        if path is not None:
            self.ops.append(Op("rename", path, to=self._path(target) or ""))

    def _unlink(self, path: str) -> None:
        self._real["unlink"](path)
        at = self._path(path)
        if at is not None:
            self.ops.append(Op("unlink", at))
