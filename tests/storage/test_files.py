"""Files that are not what they seem, and the writer's lock."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evcli.domain.events import Write
from evcli.errors import Busy, Damaged, EvcliError, NotPermitted, Refused, StorageFailed, StoreNotFound
from evcli.storage import layout
from evcli.storage.files import replace_file, writer_lock
from evcli.storage.local import LocalStore
from tests.storage.building import all_lines, contents, event, stored_lines, write


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    store = LocalStore(str(store_path))
    store.append([write("a/b", 1), write("c", 2)])
    return store


@pytest.fixture(params=["the same process", "another process"])
def writer(request: pytest.FixtureRequest, store: LocalStore) -> LocalStore:
    """A writer who made the last commit itself, and one who did not."""
    return store if request.param == "the same process" else LocalStore(store.root)


@contextmanager
def another_process(run: Callable[[], object]) -> Iterator[int]:
    """Fork a process that runs ``run`` and give its id; it is gone after the block."""
    pid = os.fork()
    if pid == 0:
        try:
            run()
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("name", ["streams/a/b.jsonl", "streams/a", "streams"])
def test_a_symbolic_link_in_the_place_of_a_stream_is_damage(writer: LocalStore, store_path: Path, name: str) -> None:
    (store_path / name).rename(store_path / "elsewhere")
    (store_path / name).symlink_to(store_path / "elsewhere")
    before = contents(store_path)
    for act in (
        lambda: writer.append([write("a/b")]),
        lambda: stored_lines(writer, "a/b", end=2),
        lambda: all_lines(writer),
        writer.verify,
    ):
        with pytest.raises(Damaged, match="symbolic link"):
            act()
    assert contents(store_path) == before


@pytest.mark.parametrize("name", ["journal.jsonl", "lock", "store.json"])
def test_a_symbolic_link_in_the_place_of_a_file_of_the_store_is_damage(
    store_path: Path, store: LocalStore, name: str
) -> None:
    (store_path / name).rename(store_path / "elsewhere")
    (store_path / name).symlink_to(store_path / "elsewhere")
    again = LocalStore(store.root)
    with pytest.raises(Damaged, match="symbolic link"):
        again.append([write("a/b")])
    with pytest.raises(Damaged, match="symbolic link"):
        again.head()


def test_a_dangling_link_is_not_written_through(store: LocalStore, store_path: Path, tmp_path: Path) -> None:
    (store_path / "streams/d.jsonl").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Damaged, match="symbolic link"):
        store.append([write("d")])
    assert not (tmp_path / "nowhere").exists()
    (store_path / "streams/d.jsonl").unlink()
    assert store.verify().events == 2


def test_what_is_no_regular_file_is_damage(store: LocalStore, store_path: Path) -> None:
    os.mkfifo(store_path / "streams/d.jsonl")
    with pytest.raises(Damaged, match="regular file"):
        store.append([write("d")])
    with pytest.raises(Damaged, match="regular file"):
        stored_lines(store, "d")


def test_a_store_may_be_reached_by_a_symbolic_link(store: LocalStore, store_path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(store_path)
    LocalStore(str(tmp_path / "link")).append([write("c")])
    assert store.verify().events == 3


@pytest.mark.parametrize("name", ["streams/a/b.jsonl", "journal.jsonl", "lock"])
def test_a_file_with_another_name_is_read_and_not_written(
    writer: LocalStore, store_path: Path, tmp_path: Path, name: str
) -> None:
    os.link(store_path / name, tmp_path / "backup")
    before = contents(store_path)
    with pytest.raises(NotPermitted, match="hard link"):
        writer.append([write("c", 3), write("a/b", 4)])
    assert contents(store_path) == before
    assert len(all_lines(writer)) == 2
    assert writer.verify().events == 2


def test_a_backup_of_hard_links_is_read_and_neither_of_the_two_is_written(
    store: LocalStore, store_path: Path, tmp_path: Path
) -> None:
    shutil.copytree(store_path, tmp_path / "backup", copy_function=os.link)
    backup = LocalStore(str(tmp_path / "backup"))
    before = contents(store_path)
    for one in (store, backup):
        assert one.verify().events == 2
        with pytest.raises(NotPermitted):
            one.append([write("c")])
    assert contents(store_path) == contents(tmp_path / "backup") == before
    shutil.rmtree(tmp_path / "backup")
    assert store.append([write("c")]).position == 3


def test_a_torn_commit_in_a_hard_linked_stream_is_not_cut(store: LocalStore, store_path: Path, tmp_path: Path) -> None:
    path = store_path / "streams/c.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    (store_path / "lock").write_bytes(b"")
    os.link(path, tmp_path / "backup")
    before = contents(store_path)
    with pytest.raises(NotPermitted):
        LocalStore(store.root).append([write("c")])
    assert contents(store_path) == before


def test_a_stream_file_that_is_gone_is_damage_and_nothing_is_stored(writer: LocalStore, store_path: Path) -> None:
    (store_path / "streams/c.jsonl").unlink()
    before = contents(store_path)
    with pytest.raises(Damaged):
        writer.append([write("c")])
    assert contents(store_path) == before


def test_what_was_added_to_a_stream_by_hand_is_damage(writer: LocalStore, store_path: Path) -> None:
    with (store_path / "streams/c.jsonl").open("a") as file:
        file.write('{"type":"mine"}\n')
    before = contents(store_path)
    with pytest.raises(Damaged):
        writer.append([write("c")])
    with pytest.raises(Damaged):
        stored_lines(LocalStore(str(store_path)), "c")
    assert contents(store_path) == before


def test_waiting_for_the_lock_ends_in_busy(store: LocalStore, store_path: Path) -> None:
    before = contents(store_path)
    with writer_lock(store.root, wait=0):
        began = time.monotonic()
        for wait in (0.0, 0.2):
            with pytest.raises(Busy):
                store.append([write("c")], lock_wait=wait)
        assert 0.2 <= time.monotonic() - began < 5
        assert len(all_lines(store)) == 2
    assert contents(store_path) == before
    assert store.append([write("c")], lock_wait=0).position == 3


@pytest.mark.parametrize("replaced", [False, True])
def test_a_lock_file_that_is_deleted_or_replaced_while_it_is_held_lets_nobody_else_in(
    store: LocalStore, store_path: Path, *, replaced: bool
) -> None:
    def hold() -> None:
        with writer_lock(store.root, wait=0):
            (store_path / "lock").unlink()
            if replaced:
                (store_path / "lock").touch()
            os.write(ready, b"1")
            time.sleep(60)

    started, ready = os.pipe()
    with another_process(hold):
        os.read(started, 1)
        with pytest.raises(Busy):
            store.append([write("c")], lock_wait=0.2)
    assert store.append([write("c")]).position == 3
    assert store.verify().events == 3


def test_a_child_that_is_forked_while_the_lock_is_held_does_not_keep_it(store: LocalStore) -> None:
    lock = writer_lock(store.root, wait=0)
    lock.__enter__()
    with another_process(lambda: time.sleep(60)):
        lock.__exit__(None, None, None)
        assert store.append([write("c")], lock_wait=0).position == 3


def test_a_forked_child_does_not_share_the_lock(store: LocalStore) -> None:
    def append_and_stay() -> None:
        store.append([write("c", "child")])
        time.sleep(60)

    with another_process(append_and_stay):
        while store.head().position == 2:
            time.sleep(0.001)
        assert store.append([write("c", "parent")], lock_wait=5).version == 3
    with writer_lock(store.root, wait=0), another_process(lambda: store.append([write("c")], lock_wait=60)) as pid:
        time.sleep(0.1)
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
        assert store.head().position == 4


def test_the_lock_is_free_once_its_holder_is_killed(store: LocalStore) -> None:
    def hold() -> None:
        with writer_lock(store.root, wait=0):
            os.write(ready, b"1")
            time.sleep(60)

    started, ready = os.pipe()
    with another_process(hold):
        os.read(started, 1)
        with pytest.raises(Busy):
            store.append([write("c")], lock_wait=0)
    assert store.append([write("c")], lock_wait=1).position == 3


@pytest.mark.parametrize(
    "writes",
    [
        [write("a", expect=1)],
        [write("a", expect="exists")],
        [write("../a")],
        [Write("a", [event(time="2999-01-01T00:00:00Z")])],
        [write("a", "x" * (1 << 20))],
    ],
)
def test_an_append_that_is_refused_leaves_no_store_behind(store_path: Path, writes: list[Write]) -> None:
    with pytest.raises(EvcliError):
        LocalStore(str(store_path / "deep")).append(writes)
    assert not store_path.exists()


def test_reading_a_store_that_is_not_there_makes_none(store_path: Path) -> None:
    store = LocalStore(str(store_path))
    for act in (store.head, store.verify, lambda: stored_lines(store, "a", end=1), lambda: store.info("a", end=1)):
        with pytest.raises(StoreNotFound):
            act()
    assert list(store.streams()) == []
    store.plan([write("a")])
    assert not store_path.exists()


def test_reading_changes_no_file(store: LocalStore, store_path: Path) -> None:
    def look() -> dict[Path, os.stat_result]:
        return {path: path.stat() for path in (store_path, *store_path.rglob("*"))}

    before = {path: (found.st_mtime_ns, found.st_size, found.st_ino) for path, found in look().items()}
    all_lines(store)
    stored_lines(store, "c", after=0)
    store.info("c", end=2)
    store.verify()
    store.plan([write("c")])
    assert {path: (found.st_mtime_ns, found.st_size, found.st_ino) for path, found in look().items()} == before


def test_a_path_under_a_file_stores_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed):
        LocalStore(str(tmp_path / "file" / "store")).append([write("a")])


def test_a_full_file_system_stores_nothing(store: LocalStore, store_path: Path) -> None:
    """A limit on the size of files stands for a disk that is full (EFBIG for ENOSPC)."""
    import resource

    def act() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            store.append([write("a/b", 1), write("c", "x" * 9000)])
        except StorageFailed as error:
            os.write(told, str(error).encode())

    heard, told = os.pipe()
    before = contents(store_path)
    with another_process(act):
        assert os.read(heard, 99).startswith(b"nothing was stored: File too large")
    after = contents(store_path)
    assert after.pop("lock").isspace()
    del before["lock"]
    assert after == before
    assert store.append([write("c")]).position == 3


@pytest.mark.parametrize(("name", "other"), [("Case", "CASE"), ("a/Case", "a/cASE"), ("Deep/x", "dEEP/x")])
def test_a_name_that_differs_only_in_case_is_refused_where_the_file_system_cannot_tell(
    store: LocalStore, store_path: Path, name: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking up names without regard to case stands for such a file system."""
    store.append([write(name)])
    lstat = os.lstat

    def lstat_folding_case(path: str) -> os.stat_result:
        known = {str(found).lower(): found for found in store_path.rglob("*")}
        return lstat(known.get(path.lower(), path))

    monkeypatch.setattr(os, "lstat", lstat_folding_case)
    layout.check_case(store.root, "new")
    layout.check_case(store.root, name)
    with pytest.raises(Refused, match="differs only in case"):
        layout.check_case(store.root, other)


def test_a_name_that_differs_only_in_case_is_another_stream_where_the_file_system_can_tell(
    store: LocalStore, store_path: Path
) -> None:
    store.append([write("Case")])
    if (store_path / "streams/case.jsonl").exists():
        pytest.skip("this file system folds case")
    assert store.append([write("case")]).version == 1


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    replace_file(str(tmp_path / "f"), b"one", durable=True)
    replace_file(str(tmp_path / "f"), b"two", durable=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == {"f": b"two"}
    with pytest.raises(OSError, match="directory"):
        replace_file(str(tmp_path / "none" / "f"), b"", durable=False)
