"""Driving the command line: in process through its real ``run``, or as the installed script."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from evcli.cli.main import run

SCRIPT = [sys.executable, "-m", "evcli"]


class Result(NamedTuple):
    """What a command ended with: its exit code, and what it printed."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Evcli:
    """Runs evcli in this process, with standard input from bytes or a pipe."""

    def __init__(self, capture: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._capture = capture
        self._monkeypatch = monkeypatch
        self._folder = folder

    def __call__(self, *arguments: str, stdin: bytes | None = None, pipe: bytes | None = None) -> Result:
        """Run; ``stdin`` is what a file holds that is standard input, ``pipe`` what waits in a pipe (up to 64 KiB)."""
        with self._standard_input(stdin, pipe):
            code = run(arguments)
        out, err = self._capture.readouterr()
        return Result(code, out, err.decode())

    def ok(self, *arguments: str, stdin: bytes | None = None, pipe: bytes | None = None) -> Result:
        """Run what must succeed."""
        result = self(*arguments, stdin=stdin, pipe=pipe)
        assert result.code == 0, result.err
        return result

    def fails(self, code: int, *arguments: str, stdin: bytes | None = None, pipe: bytes | None = None) -> str:
        """Run what must fail with ``code`` and one line on standard error; return that line."""
        result = self(*arguments, stdin=stdin, pipe=pipe)
        assert result.code == code, (result.code, result.err)
        assert result.err.startswith("evcli: "), result.err
        assert result.err.count("\n") == 1, result.err
        assert "Traceback" not in result.err
        return result.err

    @contextmanager
    def _standard_input(self, stdin: bytes | None, pipe: bytes | None) -> Iterator[None]:
        if pipe is not None:
            read, write = os.pipe()
            os.write(write, pipe)
            os.close(write)
        elif stdin is not None:
            path = self._folder / "standard-input"
            path.write_bytes(stdin)
            read = os.open(path, os.O_RDONLY)
        else:
            read = os.open(os.devnull, os.O_RDONLY)
        with open(read, encoding="utf-8") as file, self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", file)
            yield


def tree_hash(root: Path) -> str:
    """Digest the names, sizes and contents of all files below ``root``; of nothing if it is not there."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        digest.update(str(path.relative_to(root)).encode())
        if path.is_file():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def start(*arguments: str, stdin: int | None = None, **options: Any) -> "subprocess.Popen[bytes]":
    """Start evcli as a process of its own, with pipes."""
    given: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "stdin": stdin,
        "bufsize": 0,
    } | options
    return subprocess.Popen([*SCRIPT, *arguments], **given)


def lines_of(*events: dict[str, Any]) -> bytes:
    """Write events as the lines of ``--from``."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)
