"""What the storage code does, in process, in the situations in which the rigs fail its calls."""

import os
import shutil
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from evcli.errors import Busy, DurabilityUnknown, EvcliError, NotFound, NotPermitted, StorageFailed
from evcli.project.trust import is_trusted, trust
from evcli.storage.contract import Receipt
from evcli.storage.files import SyncFailed
from evcli.storage.local import LocalStore
from tests.torture import commands
from tests.torture.injecting import Call, Injection
from tests.torture.judging import Known, commit, event_of, judge, read_events
from tests.torture.rig import Figures

KEY: Final = 10
_NEXT: Final = 11
Running = Callable[[], object]


class Act(NamedTuple):
    """Something that storage does in a situation.

    ``prepare`` makes the situation in an empty folder; ``begin`` returns what to run there, which returns a receipt
    if it appends; ``check`` judges what it returned otherwise.
    """

    name: str
    prepare: Callable[[str], Known]
    begin: Callable[[str], Running]
    check: Callable[[str, object], str] = lambda _, __: ""


class Outcome(NamedTuple):
    """How an act ended, and the calls that it made."""

    known: Known
    error: Exception | None
    calls: list[Call]


def run_act(act: Act, folder: str, known: Known, failures: Mapping[int, int], figures: Figures, where: str) -> Outcome:
    """Run an act, failing some of its calls, and judge how it ended."""
    running, error, found = act.begin(folder), None, None
    descriptors = len(os.listdir("/proc/self/fd"))
    with Injection(failures) as injection:
        try:
            found = running()
        except Exception as caught:  # noqa: BLE001 (which of them are right is judged below)
            error = caught
    figures.states += 1
    if isinstance(error, DurabilityUnknown):
        known = known.perhaps(KEY)
        if not str(error).startswith("durability unknown") or "--id" not in error.hint:
            figures.find("exceptions", f"{where}: it does not tell: {error}")
    elif error is not None and not is_documented(error, act):
        figures.find("exceptions", f"{where}: {type(error).__name__}: {error}")
    elif isinstance(found, Receipt):
        known = known.after(KEY, found)
    elif error is None and (problem := act.check(folder, found)):
        figures.find("exceptions", f"{where}: {problem}")
    if isinstance(error, EvcliError):
        error.__traceback__ = error.__context__ = error.__cause__ = None  # nor do the frames keep descriptors open
    if len(os.listdir("/proc/self/fd")) > descriptors:
        figures.find("exceptions", f"{where}: a descriptor is left open")
    return Outcome(known, error, injection.calls)


def is_documented(error: Exception, act: Act) -> bool:
    """Say whether an error is one of those that a failing system call may end in (74, 75, 77)."""
    if act.begin is _trusting:  # which leaves SyncFailed to its caller, and does not see a directory that fails
        return isinstance(error, OSError | SyncFailed | NotFound)
    expected = StorageFailed | Busy | NotPermitted
    return isinstance(error, OSError if act.begin is _reading else expected | PermissionError)


def judge_act(folder: str, outcome: Outcome, figures: Figures, where: str, *, again: LocalStore | None = None) -> None:
    """Judge the store that an act left; ``again`` is the writer that failed, who appends first."""
    known, root = outcome.known, f"{folder}/store"
    if again is not None:
        try:
            known = known.after(_NEXT, again.append(commit(_NEXT, {"s/t": 1}), lock_wait=0))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is what the rig looks for)
            figures.find("exceptions", f"{where}, then the same writer: {type(error).__name__}: {error}")
    judge(root, known, figures, where)


def _appending(counts: Mapping[str, int], pad: int = 0) -> Callable[[str], Running]:
    def begin(folder: str) -> Running:
        store = LocalStore(f"{folder}/store")
        return lambda: store.append(commit(KEY, counts, pad=pad), lock_wait=0)

    return begin


def _appending_warm(folder: str) -> Running:
    """Let a writer append who knows from before what it finds."""
    store = LocalStore(f"{folder}/store")
    store.append(commit(9, {"s/t": 1}), lock_wait=0)
    return lambda: store.append(commit(KEY, {"s/t": 1, "u": 2}), lock_wait=0)


def _creating(folder: str) -> Running:
    store = LocalStore(f"{folder}/store")
    return lambda: store.create(lock_wait=0)


def _reading(folder: str) -> Running:
    store = LocalStore(f"{folder}/store")

    def read() -> object:
        end = store.head().position
        found = [event_of(line) for lines in store.read_all(end=end) for line in lines]
        each = [
            event_of(line)
            for stream in store.streams()
            for chunk in store.read_stream(stream, end=end)
            for line in chunk.lines
        ]
        return found, each, store.verify().findings

    return read


def _check_read(folder: str, found: object) -> str:
    events = read_events(f"{folder}/store")
    assert isinstance(found, tuple)
    if found[0] != events or sorted(found[1]) != sorted(events):
        return f"{len(found[0])} and {len(found[1])} events were read, of {len(events)}"
    return f"verify finds {found[2]}" if found[2] else ""


def _trusting(folder: str) -> Running:
    os.makedirs(f"{folder}/project")
    return lambda: trust(f"{folder}/project", f"{folder}/state")


def _check_trust(folder: str, _: object) -> str:
    return "" if is_trusted(f"{folder}/project", f"{folder}/state") else "trust was acknowledged and is not there"


def _warm(folder: str) -> Known:
    known = commands.store(folder)
    shutil.copytree(f"{folder}/store", f"{folder}/rehearsal")
    receipt = LocalStore(f"{folder}/rehearsal").append(commit(9, {"s/t": 1}))
    shutil.rmtree(f"{folder}/rehearsal")
    return known.after(9, receipt)


ACTS: Final = (
    Act("append", commands.store, _appending({"s/t": 1})),
    Act("append by the writer of before", _warm, _appending_warm),
    Act("append 100", commands.store, _appending({"n/e/w": 100})),
    Act("append a large one", commands.store, _appending({"u": 1}, 200_000)),
    Act("append to two streams", commands.store, _appending({"s/t": 2, "new/v": 2})),
    Act("first append", commands.nothing, _appending({"s/t": 1, "u": 1})),
    Act("append after an unmarked commit", commands.unmarked, _appending({"s/t": 1})),
    Act("append after an unmarked first commit", commands.unmarked_first, _appending({"s/t": 1})),
    Act("append after a short commit", commands.short, _appending({"s/t": 1})),
    Act("append after a torn journal", commands.torn, _appending({"s/t": 1})),
    Act("create", commands.nothing, _creating),
    Act("create again", commands.store, _creating),
    Act("read", commands.unmarked, _reading, _check_read),
    Act("trust", commands.store, _trusting, _check_trust),
)
