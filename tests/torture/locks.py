"""The writer's lock and what may happen to it, and stores that may not be written to.

A holder is stopped before each system call of its append in turn; meanwhile the lock file is left alone, deleted,
replaced or emptied, and others read, are refused (75), and go on once the holder has ended or been killed.
"""

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

from evcli.domain.events import NewEvent, Write
from evcli.errors import Busy
from evcli.storage import writing
from evcli.storage.local import LocalStore
from tests.torture.forking import at_call, command, end, fork, put, side_by_side, wait, wait_stopped
from tests.torture.refusals import network_file_systems, unwritable_stores
from tests.torture.rig import Figures, Rig, Tier

_SHORT: Final = 0.002


def _writes(number: int, streams: int = 1) -> list[Write]:
    return [Write(f"s{stream}", [NewEvent("written", str(number))] * 2) for stream in range(streams)]


def _numbers(store: LocalStore) -> list[int]:
    """Return the number of each commit, in order; each must be whole."""
    found: list[int] = []
    for lines in store.read_all(end=store.head().position):
        data = {json.loads(line)["data"] for line in lines}
        assert len(data) == 1, "two commits in one"
        assert len(lines) % 2 == 0, "half a commit"
        found += data
    return found


# what becomes of the lock file while it is held


def _leave(_lock: Path) -> None:
    """Leave it alone."""


def _delete(lock: Path) -> None:
    lock.unlink()


def _replace(lock: Path) -> None:
    """Put another in its place, as `cp` and `mv` do."""
    other = lock.with_name("lock.new")
    shutil.copy(lock, other)
    other.rename(lock)


def _replace_by_empty(lock: Path) -> None:
    other = lock.with_name("lock.new")
    other.touch()
    other.rename(lock)


def _empty(lock: Path) -> None:
    os.truncate(lock, 0)


MISHAPS: Final = (_leave, _delete, _replace, _replace_by_empty, _empty)


def stopped_holders(root: Path, figures: Figures, *, killed: bool) -> None:
    """Stop a writer before each of its system calls; let it go on, or kill it."""
    for mishap, streams, earlier in product(MISHAPS, (1, 2), (0, 1)):
        for call in range(1, 100):
            store = root / "store"
            shutil.rmtree(store, ignore_errors=True)
            if earlier:
                LocalStore(str(store)).append(_writes(0))
            what = f"{mishap.__name__}, killed={killed}, {streams} streams, {earlier} earlier, call {call}"
            try:
                reached = _stop_and_go_on(store, mishap, call, streams, earlier, killed=killed)
            except Exception as error:  # noqa: BLE001 (what a rig looks for)
                figures.find("exceptions", f"{what}: {error!r}")
                continue
            if not reached:
                break
            figures.states += 1
            _check(store, [*([0] * earlier), *([] if killed else [1]), 2], figures, what)


def _stop_and_go_on(
    store: Path, mishap: Callable[[Path], None], call: int, streams: int, earlier: int, *, killed: bool
) -> bool:
    """Return whether the holder got as far as the ``call``; it writes 1, another writer 2."""

    def hold() -> None:
        at_call(call, partial(os.kill, os.getpid(), signal.SIGSTOP))
        LocalStore(str(store)).append(_writes(1, streams))

    holder = fork(hold)
    try:
        if not wait_stopped(holder):
            return False
        held = _is_held(store)
        with suppress(FileNotFoundError):  # it is not there yet
            mishap(store / "lock")
        if earlier:
            _require_whole(store)
        written = _try_to_write(store)
        assert not (held and written), "two writers at once"
        if killed:
            end(holder)
        else:
            os.kill(holder, signal.SIGCONT)
            assert wait(holder) == 0, "the holder failed; see above"
        if not written:
            LocalStore(str(store)).append(_writes(2), lock_wait=5)
    finally:
        end(holder)
    return True


def _require_whole(store: Path) -> None:
    numbers = _numbers(LocalStore(str(store)))
    assert numbers in ([0], [0, 1]), f"a reader saw {numbers}"


def _is_held(store: Path) -> bool:
    """Say whether the lock is held: a holder stopped early has yet to take it, one stopped late has let it go."""
    try:
        fd = os.open(store / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _try_to_write(store: Path) -> bool:
    try:
        LocalStore(str(store)).append(_writes(2), lock_wait=_SHORT)
    except Busy:
        return False
    return True


def _check(store: Path, acknowledged: list[int], figures: Figures, what: str) -> None:
    """Check that what was acknowledged is there once, and nothing twice."""
    try:
        numbers = _numbers(LocalStore(str(store)))
        LocalStore(str(store)).verify()
    except Exception as error:  # noqa: BLE001 (what a rig looks for)
        figures.find("exceptions", f"{what}: {error!r}")
        return
    if not set(acknowledged) <= set(numbers):
        figures.find("lost", f"{what}: {numbers} of {acknowledged}")
    if len(set(numbers)) != len(numbers):
        figures.find("duplicates", f"{what}: {numbers}")


def waiting_writers(root: Path, figures: Figures) -> None:
    """Let a writer wait for a held lock while the lock file is meddled with: it gets on when the holder is gone, not before."""
    for mishap, killed in product(MISHAPS, (False, True)):
        store = root / "store"
        shutil.rmtree(store, ignore_errors=True)
        LocalStore(str(store)).append(_writes(0))
        holder = fork(partial(_hold_and_stop, store))
        assert wait_stopped(holder)
        waiter = fork(partial(LocalStore(str(store)).append, _writes(2), lock_wait=20))
        time.sleep(0.05)
        mishap(store / "lock")
        time.sleep(0.05)
        what = f"a waiter, {mishap.__name__}, killed={killed}"
        if os.waitpid(waiter, os.WNOHANG)[0]:
            figures.find("exceptions", f"{what}: it did not wait")
            end(holder)
            continue
        os.kill(holder, signal.SIGKILL if killed else signal.SIGCONT)
        start = time.monotonic()
        wait(holder)
        if wait(waiter) or time.monotonic() - start > 5:
            figures.find("exceptions", f"{what}: it did not get on")
        figures.states += 1
        _check(store, [0, 2] if killed else [0, 1, 2], figures, what)


def _hold_and_stop(store: Path) -> None:
    write_commit = writing.write_commit

    def stop_first(*given: object) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        write_commit(*given)  # type: ignore[arg-type]  # as they were given

    put(writing, "write_commit", stop_first)
    LocalStore(str(store)).append(_writes(1))


def lock_waits(root: Path, figures: Figures) -> None:
    """Wait for a stopped holder as long as was said, and end with 75, from the command line too."""
    store = root / "store"
    LocalStore(str(store)).append(_writes(0))
    holder = fork(partial(_hold_and_stop, store))
    try:
        assert wait_stopped(holder)
        for given, seconds in (("0", 0.0), ("50ms", 0.05), ("0.3s", 0.3)):
            start = time.monotonic()
            code = command(["--store", str(store), "append", "s0", "written", "--lock-wait", given])
            took = time.monotonic() - start
            figures.states += 1
            if code != Busy.exit_code or not seconds <= took < seconds + 2:
                figures.find("exceptions", f"--lock-wait {given} ended after {took:.2f} s with {code}")
        if command(["--store", str(store), "log"]):
            figures.find("exceptions", "a reader waited for the lock")
    finally:
        end(holder)


def forked_children(root: Path, figures: Figures) -> None:
    """Fork while the lock is held: the child keeps nobody waiting, and both may go on with the store they share."""
    store = LocalStore(str(root / "store"))
    store.append(_writes(0))
    write_commit, children = writing.write_commit, []

    def fork_first(*given: object) -> None:
        children.append(fork(partial(time.sleep, 60)))
        write_commit(*given)  # type: ignore[arg-type]  # as they were given

    put(writing, "write_commit", fork_first)
    try:
        store.append(_writes(1))
        put(writing, "write_commit", write_commit)
        store.append(_writes(2), lock_wait=1)
    except Busy:
        figures.find("exceptions", "a child that was forked while the lock was held holds it")
    finally:
        put(writing, "write_commit", write_commit)
        for pid in children:
            end(pid)
    figures.states += 1

    def append_all(first: int) -> None:
        for number in range(first, first + 25):
            store.append(_writes(number, 2), lock_wait=30)

    pids = [fork(partial(append_all, 100 * child)) for child in range(1, 5)]
    append_all(500)
    if [wait(pid) for pid in pids] != [0] * len(pids):
        figures.find("exceptions", "a child that shares a store failed; see above")
    figures.states += 1
    _check(root / "store", [100 * child + n for child in range(1, 6) for n in range(25)], figures, "forked children")


def strange_locks(root: Path, figures: Figures) -> None:
    """Put something in the lock's place that is no file: an error, nothing stored, and readers still read."""
    store = root / "store"
    LocalStore(str(store)).append(_writes(0))
    outside = root / "outside"
    outside.touch()
    lock = store / "lock"
    makers: dict[str, Callable[[], object]] = {
        "link": lambda: lock.symlink_to(outside),
        "dangling link": lambda: lock.symlink_to(root / "nowhere"),
        "directory": lock.mkdir,
        "fifo": lambda: os.mkfifo(lock),
    }
    kept = lock.read_bytes()
    for name, make in makers.items():
        lock.unlink()
        make()
        code = command(["--store", str(store), "append", "s0", "written"])
        figures.states += 1
        if code not in (72, 74, 77) or outside.read_bytes() or (root / "nowhere").exists():
            figures.find("exceptions", f"a {name} in the lock's place: {code}")
        with suppress(IsADirectoryError, PermissionError):
            lock.unlink()
        if lock.is_dir():
            lock.rmdir()
        lock.write_bytes(kept)
    LocalStore(str(store)).append(_writes(2))
    _check(store, [0, 2], figures, "strange locks")


def run(_tier: Tier) -> Figures:
    """Go through all of it, in either tier; in memory, for none of it is about a disk."""
    figures = Figures()
    parts = (
        partial(stopped_holders, killed=True),
        partial(stopped_holders, killed=False),
        waiting_writers,
        lock_waits,
        forked_children,
        strange_locks,
        unwritable_stores,
        network_file_systems,
    )
    side_by_side(figures, parts, in_memory=True)
    return figures


RIG = Rig("locks", run)
