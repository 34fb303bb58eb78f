"""What the rigs of failing system calls found: each in its smallest form."""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evcli.errors import StorageFailed
from evcli.storage.local import LocalStore
from tests.storage.building import all_lines, write


@contextmanager
def failing(name: str, error: int, path: Path) -> Iterator[None]:
    """Let the operating system's call fail where it is about this file; a close closes, as on Linux."""
    real = getattr(os, name)

    def call(first: Any, *rest: Any, **named: Any) -> Any:
        about = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else os.fspath(first)
        if about != str(path):
            return real(first, *rest, **named)
        if name == "close":
            real(first)
        raise OSError(error, os.strerror(error), about)

    setattr(os, name, call)
    try:
        yield
    finally:
        setattr(os, name, real)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="tells a descriptor's file by /proc")
@pytest.mark.parametrize("name", ["lock", "journal.jsonl", "streams/a.jsonl"])
def test_a_close_that_fails_after_the_commit_is_durable_does_not_say_that_nothing_was_stored(
    store_path: Path, name: str
) -> None:
    store = LocalStore(str(store_path))
    store.append([write("a", 1)])
    with failing("close", errno.EIO, store_path / name):
        assert store.append([write("a", 2)]).version == 2
    assert len(all_lines(store)) == 2


def test_a_look_at_store_json_that_fails_does_not_give_the_store_another_id(store_path: Path) -> None:
    LocalStore(str(store_path)).append([write("a", 1)])
    identity = (store_path / "store.json").read_bytes()
    with failing("lstat", errno.EIO, store_path / "store.json"), pytest.raises(StorageFailed):
        LocalStore(str(store_path)).create()
    assert (store_path / "store.json").read_bytes() == identity


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors by /proc")
def test_a_file_that_cannot_be_looked_at_is_not_left_open(store_path: Path) -> None:
    store = LocalStore(str(store_path))
    store.append([write("a", 1)])
    before = len(os.listdir("/proc/self/fd"))
    with failing("fstat", errno.ESTALE, store_path / "journal.jsonl"), pytest.raises(StorageFailed):
        store.append([write("a", 2)])
    assert len(os.listdir("/proc/self/fd")) == before
    assert store.append([write("a", 3)]).version == 2


def test_a_store_that_cannot_be_opened_fails_as_the_contract_says(store_path: Path) -> None:
    LocalStore(str(store_path)).append([write("a", 1)])
    with failing("open", errno.EMFILE, store_path / "store.json"), pytest.raises(StorageFailed, match="nothing was"):
        LocalStore(str(store_path)).append([write("a", 2)])


def test_going_back_needs_no_room_for_a_mark_that_is_not_there(store_path: Path) -> None:
    store = LocalStore(str(store_path))
    store.create()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))
        try:
            store.append([write("a")])
        except StorageFailed as error:
            os._exit(0 if error.code == "io_error" else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
