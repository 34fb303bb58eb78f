"""The protocols whose crash states are gone through: what is there before, the command, and what must hold after."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from evcli.api import Store
from evcli.errors import Damaged, NotFound
from evcli.project.trust import distrust, is_trusted, trust, trusted
from evcli.storage.local import LocalStore
from tests.torture.crash_checks import STORE, Commits, Finder, Place, Wrong, payload
from tests.torture.crash_model import Disk, Op
from tests.torture.crash_trace import Command, Recorded, Recorder, record_commands
from tests.torture.rig import Figures

BIG: Final = 1_100
"""Events of the stream whose state is cached: enough for a rung of the ladder."""

REPAIRED: Final = 500_000
"""The first number of the commits in the store that is repaired."""
SYNC_FAILED: Final = 2.0
"""In the place of a share: all of it was written, and the sync failed."""

Check = Callable[[Place, Disk, str], None]


class Protocol(NamedTuple):
    """What is on the disk before, and what a command does to it, step by step.

    ``check`` looks at what a crash left where that is no store to be appended to; it is given ``prepared``, a directory
    that the protocol itself does not touch.
    """

    name: str
    disk: Disk
    ops: list[Op]
    check: Check | None = None
    prepared: str = ""


class Killed(NamedTuple):
    """A writer that was killed after its first step of a kind on a file so named, with that share of a write done."""

    appended: list[str]
    kind: str
    file: str
    share: float = 1


class Before(NamedTuple):
    """What a protocol of the store begins with, and what it appends (a stream for each event)."""

    name: str
    earlier: list[list[str]]
    appended: list[str]
    killed: tuple[Killed, ...] = ()


STORES: Final = (
    Before("first append", [], ["accounts/ann"]),
    Before("first append, two streams", [], ["a", "deep/er/c", "a"]),
    Before("append", [["a"], ["b"], ["a", "a"]], ["a"]),
    Before("append to a new stream", [["a"], ["b"]], ["deep/er/c"]),
    Before("batch of 100", [["a"], ["b"]], ["a"] * 100),
    Before("two-stream commit", [["a"], ["b"], ["a"]], ["a", "a", "b"]),
    Before("two-stream commit, one new", [["a"], ["b"]], ["b", "deep/er/c"]),
    Before("settle forward", [["a"], ["b"]], ["a"], (Killed(["a", "a"], "write", "streams/a.jsonl", 1),)),
    Before("settle forward, all new", [], ["a"], (Killed(["deep/er/c"], "write", "streams/deep/er/c.jsonl", 1),)),
    Before(
        "settle forward after a failed sync",
        [["a"], ["b"]],
        ["b"],
        (Killed(["a", "a"], "write", "streams/a.jsonl", SYNC_FAILED),),
    ),
    Before("settle backward", [["a"], ["b"]], ["a"], (Killed(["a"], "write", "streams/a.jsonl", 0.5),)),
    Before(
        "settle backward, two streams", [["a"], ["b"]], ["a"], (Killed(["a", "b"], "write", "streams/b.jsonl", 0.3),)
    ),
    Before("settle backward, all new", [], ["a"], (Killed(["a"], "write", "streams/a.jsonl", 0.6),)),
    Before(
        "settle a cut that was not synced",
        [["a"], ["b"]],
        ["a"],
        (Killed(["b", "a", "a"], "write", "streams/a.jsonl", 0.5), Killed(["a"], "cut", "journal.jsonl")),
    ),
    Before(
        "settle a cut of streams that was not synced",
        [["a"], ["b"]],
        ["b"],
        (Killed(["a", "b", "a"], "write", "streams/b.jsonl", 0.9), Killed(["a"], "cut", "streams/a.jsonl")),
    ),
    Before(
        "settle a torn line's cut that was not synced",
        [["a"], ["b"]],
        ["a"],
        (Killed(["b", "a", "deep/d"], "write", "journal.jsonl", 0.9), Killed(["a"], "cut", "journal.jsonl")),
    ),
    Before("settle a torn journal", [["a"], ["b"]], ["b"], (Killed(["a"], "write", "journal.jsonl", 0.4),)),
    Before("settle a commit without a stream", [["a"], ["b"]], ["b"], (Killed(["a"], "write", "journal.jsonl", 1),)),
)


def prepare(folder: Path) -> tuple[list[Protocol], Commits, Figures]:
    """Make what each protocol begins with, record them all under strace, and check that noting in process agrees.

    What goes wrong with one is counted, and it is left out.
    """
    finder = Finder()
    mended = Place(str(folder / "to-repair"), random.Random(0), {}, first=REPAIRED)
    begun: list[_Begun] = []
    small: list[Small] = []
    for at, before in enumerate(STORES):
        with finder.finding(f"preparing {before.name}"):
            begun.append(_Begun(before, folder / f"protocol-{at}", at))
    with finder.finding("preparing snapshot, trust and repair"):
        small += [*_small_commands(folder), *_repair_commands(folder, mended)]
    commands = [*(one.command for one in begun), *(one.command for one in small)]
    recorded: dict[str, Recorded] = {}
    with finder.finding("recording"):
        recorded = record_commands(commands, folder / "strace")
    protocols: list[Protocol] = []
    ready: list[_Begun | Small] = [*begun, *small]
    for one in ready:
        with finder.finding(f"recording {one.command.name}"):
            protocols.append(one.protocol(recorded[one.command.name]))
    commits = {
        number: events for place in (mended, *(one.place for one in begun)) for number, events in place.commits.items()
    }
    return protocols, commits, finder.figures


class Small(NamedTuple):
    """A protocol that is no append, about to be recorded: see `Protocol`."""

    command: Command
    disk: Disk
    check: Check
    prepared: str = ""

    def protocol(self, recorded: Recorded) -> Protocol:
        """Join what strace recorded with what it means."""
        if recorded.code or recorded.acknowledged < 0:
            raise Wrong("exceptions", f"it was not done: {recorded}")
        return Protocol(self.command.name, self.disk, _with_receipt(recorded, 0, ()), self.check, self.prepared)


class _Begun:
    """A protocol of the store about to be recorded."""

    def __init__(self, before: Before, folder: Path, at: int) -> None:
        self.before = before
        self.place = Place(str(folder / "disk"), random.Random(at), {}, first=1_000 * (at + 1))
        self.disk = Disk()
        for events in before.earlier:
            self._append(events)
        for killed in before.killed:
            _apply_until(self.disk, self._noted(killed.appended), killed)
            self.place.build(self.disk)
        self.number, self.writes = self.place.new_commit(before.appended)
        lines = [
            json.dumps({"stream": stream, "type": "tested", "data": payload(number)}, separators=(",", ":"))
            for stream, number in self.place.commits[self.number]
        ]
        source = folder / "lines"
        source.write_text("\n".join(lines) + "\n")
        environment = {"EVCLI_STORE": self.place.store, "EVCLI_CACHE": str(folder / "cache")}
        argv = ["append", "--from", str(source), "--atomic"]
        self.command = Command(before.name, self.place.folder, environment, argv)

    def _noted(self, events: list[str]) -> list[Op]:
        commit, writes = self.place.new_commit(events)
        with Recorder(self.place.folder) as recorder:
            recorder.ops.append(Op("begin", number=commit))
            LocalStore(self.place.store).append(writes)
            recorder.ops.append(Op("ack", number=commit, history=self.place.read()))
        return recorder.ops

    def _append(self, events: list[str]) -> None:
        for op in self._noted(events):
            self.disk.apply(op)

    def protocol(self, recorded: Recorded) -> Protocol:
        """Join what strace recorded with what it means; compare it with what is noted in process."""
        history = self.place.read()
        if recorded.code or recorded.acknowledged < 0 or history[-1:] != (self.number,):
            raise Wrong("exceptions", f"it was not acknowledged: {recorded.code}, {history}")
        self.place.build(self.disk)
        with Recorder(self.place.folder) as noted:
            LocalStore(self.place.store).append(self.writes)
        if [_shape(op) for op in noted.ops] != [_shape(op) for op in recorded.ops]:
            raise Wrong("exceptions", f"strace and the notes differ, {noted.ops} {recorded.ops}")
        return Protocol(self.before.name, self.disk, _with_receipt(recorded, self.number, history))


def _apply_until(disk: Disk, ops: list[Op], killed: Killed) -> None:
    for op in ops:
        if op.kind == killed.kind and op.path.endswith(killed.file):
            disk.apply(op._replace(data=op.data[: int(len(op.data) * killed.share)]))
            if killed.share == SYNC_FAILED:
                disk.apply(Op("sync-failed", op.path))
            return
        disk.apply(op)
    raise AssertionError(f"no {killed.kind} of {killed.file}")


def _with_receipt(recorded: Recorded, commit: int, history: tuple[int, ...]) -> list[Op]:
    ops, at = recorded.ops, recorded.acknowledged
    return [Op("begin", number=commit), *ops[:at], Op("ack", number=commit, history=history), *ops[at:]]


def _shape(op: Op) -> tuple[str, str, int, int]:
    """Return what two recordings of one protocol share: all but names and texts that are random."""
    folder, _, name = op.path.rpartition("/")
    path = f"{folder}/*" if name.startswith(".new-") or name.endswith(".cut") else op.path
    return op.kind, path, op.number, len(op.data)


def _small_commands(folder: Path) -> list[Small]:
    """Make what is there before the protocols that write to the caches and to the user's state."""
    prepared = folder / "prepared"
    store = str(prepared / STORE)
    LocalStore(store).append(Place(str(prepared), random.Random(0), {}, first=1).new_commit(["big"] * BIG)[1])
    (prepared / "evcli.toml").write_text("")
    found: list[Small] = []
    query = ["query", "state", "big"]
    base = str(folder / "snapshot")
    found.append(
        Small(
            Command("snapshot", base, {"EVCLI_STORE": store, "EVCLI_CACHE": base}, query), Disk(), _check_state, store
        )
    )
    for name, words, check in (
        ("trust", ["trust", str(prepared)], _check_trust),
        ("distrust", ["trust", "--remove", str(prepared)], _check_distrust),
    ):
        base = str(folder / name)
        disk = Disk()
        os.makedirs(base)
        if check is _check_distrust:
            with Recorder(base) as recorder:
                trust(str(prepared), os.path.join(base, "user/state"))
            for op in recorder.ops:
                disk.apply(op)
        environment = {"EVCLI_STATE": os.path.join(base, "user/state")}
        found.append(Small(Command(name, base, environment, words), disk, check, str(prepared)))
    os.makedirs(str(folder / "snapshot"))
    return found


def _repair_commands(folder: Path, place: Place) -> list[Small]:
    """Damage a store's journal, or cut off what its mark vouches for, and have the damage repaired."""
    found: list[Small] = []
    root = place.folder
    with Recorder(root) as recorder:
        for streams in (["a"], ["b", "a"], ["a"] * 3):
            LocalStore(place.store).append(place.new_commit(streams)[1])
    for name, damage in (("repair", _flip), ("repair of a lost journal", _empty)):
        disk = Disk()
        for op in recorder.ops:
            disk.apply(op)
        damage(disk)
        base = str(folder / name.replace(" ", "-"))
        Place(base, random.Random(0), {}, first=1).build(disk)
        command = Command(name, base, {"EVCLI_STORE": os.path.join(base, STORE)}, ["repair", "--yes"])
        found.append(Small(command, disk, _check_repair))
    return found


def _flip(disk: Disk) -> None:
    """Turn a bit of the journal's second line."""
    journal = disk.contents()[f"{STORE}/journal.jsonl"]
    assert journal is not None
    at = journal.index(b"\n") + 20
    disk.apply(Op("write", f"{STORE}/journal.jsonl", at, bytes([journal[at] ^ 1])))
    disk.apply(Op("sync", f"{STORE}/journal.jsonl"))


def _empty(disk: Disk) -> None:
    disk.apply(Op("cut", f"{STORE}/journal.jsonl", 0))
    disk.apply(Op("sync", f"{STORE}/journal.jsonl"))


def _check_repair(place: Place, disk: Disk, _prepared: str) -> None:
    """Read (damage may be told of until the repair was acknowledged), repair again, and find every event."""
    everything = tuple(sorted(commit for commit in place.commits if REPAIRED <= commit < REPAIRED + 1_000))
    try:
        found = place.read()
    except Damaged:
        if disk.acknowledged:
            raise
    else:
        if found != everything:
            raise Wrong("lost", f"a damaged store is read as {found}, without an error")
    store = LocalStore(place.store, allow_network_fs=True)
    with Recorder(place.folder):
        store.repair(salvage=False, dry_run=False)
        if place.read() != everything:
            raise Wrong("lost", f"repaired, there is {place.read()}")
        commit, writes = place.some_commit()
        store.append(writes)
    if place.read() != (*everything, commit) or store.verify().findings:
        raise Wrong("lost", f"after the repair and an append, there is {place.read()}")


_EXPECTED: dict[int, Any] = {}


def _check_state(place: Place, disk: Disk, prepared: str) -> None:
    """Ask for the newest state and an older one, twice: whatever the cache holds, they are what the events say."""
    del disk
    store = Store(LocalStore(prepared, cache=place.folder), cache=place.folder)
    for cached, to in ((True, None), (False, BIG - 20), (False, None), (True, None)):
        try:
            found = store.query("big", to=to, cached=cached)
        except NotFound:
            if not cached:
                raise
            continue
        if found.version not in _EXPECTED:
            _EXPECTED[found.version] = store.replay("big", to=found.version).state
        if found.state != _EXPECTED[found.version] or (not cached and found.version != (to or BIG)):
            raise Wrong("partial", f"the state at version {found.version} is not what the events say")


def _check_trust(place: Place, disk: Disk, prepared: str) -> None:
    """Ask whether the directory is trusted, and trust it again."""
    state = os.path.join(place.folder, "user/state")
    if disk.acknowledged and not is_trusted(prepared, state):
        raise Wrong("lost", "trust that was acknowledged is not there")
    if not set(trusted(state)) <= {prepared}:
        raise Wrong("partial", f"other directories are trusted: {trusted(state)}")
    trust(prepared, state)
    if not is_trusted(prepared, state) or trusted(state) != [prepared]:
        raise Wrong("lost", "trust does not hold")


def _check_distrust(place: Place, disk: Disk, prepared: str) -> None:
    """Ask whether the directory is trusted no longer, and take trust back again."""
    state = os.path.join(place.folder, "user/state")
    if disk.acknowledged and is_trusted(prepared, state):
        raise Wrong("lost", "trust that was taken back is there again")
    distrust(prepared, state)
    if is_trusted(prepared, state) or trusted(state):
        raise Wrong("lost", "trust was taken back and is there")
