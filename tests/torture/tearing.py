"""The states that the rig `torn` goes through: commits, what becomes of their bytes, and what has to come of that."""

import os
import random
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple

from evcli.domain.events import Write
from evcli.storage.codec import new_event
from evcli.storage.local import LocalStore
from tests.torture.stores import Files, all_lines, take

SECTOR = 512
JOURNAL = "journal.jsonl"
BLANK = b" " * 94 + b"\n"


class Region(NamedTuple):
    """A commit's bytes in one file."""

    file: str
    began: int
    text: bytes

    @property
    def sectors(self) -> int:
        """How many sectors of the file it touches."""
        return self.sectors_up_to(len(self.text))

    def sectors_up_to(self, length: int) -> int:
        """How many sectors its first ``length`` bytes touch."""
        return (self.began + length - 1) // SECTOR - self.began // SECTOR + 1


class Scene(NamedTuple):
    """A store with a commit to be torn: its files, the commit's bytes in them, the mark before it, its events' lines."""

    name: str
    files: Files
    regions: tuple[Region, ...]
    mark_before: bytes
    earlier: list[bytes]
    lines: list[bytes]

    @property
    def journal(self) -> Region:
        return self.regions[0]

    def began(self, region: Region) -> bytes:
        """Return a file's bytes before the commit."""
        return self.files[region.file][: region.began]


class State(NamedTuple):
    """What is found: the torn file and its bytes, the others, whether the commit is marked, and what must come of it."""

    name: str
    scene: Scene
    region: Region
    files: Files
    outcome: str


Tear = Callable[[Region, int, random.Random], bytes]
"""Gives what a commit's bytes have become, torn at a place."""
Company = Callable[[Scene, Region, random.Random], Files]
"""Gives what stands in the other files."""


class Group(NamedTuple):
    """Equally made states: how many there are, and the maker of each."""

    name: str
    count: int  # type: ignore[assignment]  # nobody counts in the tuple
    make: Callable[[int, int], State]


# the commits that are torn


def make_scenes(folder: str) -> Iterator[Scene]:
    """Build a store for each kind of commit: of 1, 3 and 100 events, in 1 and 2 streams, the first one and a later one."""
    for events in (1, 3, 100):
        for streams in (1, 2):
            for first in (True, False):
                yield _make_scene(folder, events, streams, first=first)


def _make_scene(folder: str, events: int, streams: int, *, first: bool) -> Scene:
    name = f"{events} in {streams}{' first' if first else ''}"
    root = os.path.join(folder, name.replace(" ", "-"))
    store = LocalStore(root)
    if not first:
        for number, stream in enumerate("aba"):
            store.append([write_of(stream, number)])
    before = take(root) if os.path.isdir(root) else {}
    if streams == 1:
        commit = [write_of("a", *range(events))]
    else:
        commit = [
            write_of("a", *range(max(1, events * 2 // 3))),
            write_of("c", *range(max(1, events - events * 2 // 3))),
        ]
    store.append(commit)
    files, lines = take(root), all_lines(store)
    changed = [name for name in sorted(files) if name.endswith("l") and files[name] != before.get(name)]
    regions = [Region(name, len(before.get(name, b"")), files[name][len(before.get(name, b"")) :]) for name in changed]
    assert regions[0].file == JOURNAL
    count = sum(len(write.events) for write in commit)
    return Scene(name, files, tuple(regions), before.get("lock", BLANK), lines[:-count], lines[-count:])


def write_of(stream: str, *numbers: int) -> Write:
    return Write(stream, [new_event({"type": "tested", "data": {"n": n, "text": "x" * (n % 7)}}) for n in numbers])


# what becomes of its bytes


def cut(region: Region, at: int, _dice: random.Random) -> bytes:
    return region.text[:at]


def zeros_to_the_end(region: Region, at: int, _dice: random.Random) -> bytes:
    return region.text[:at].ljust(len(region.text), b"\0")


def zeros_to_the_next_sector(region: Region, at: int, _dice: random.Random) -> bytes:
    return region.text[:at].ljust(_next_sector(region, at), b"\0")


def a_hole(region: Region, at: int, _dice: random.Random) -> bytes:
    end = _next_sector(region, at)
    return region.text[:at].ljust(min(end, len(region.text)), b"\0") + region.text[end:]


def random_bytes(region: Region, at: int, dice: random.Random) -> bytes:
    """Random bytes from ``at`` on: to the end, to the next sector, or cut somewhere; with or without NULs."""
    whole = len(region.text)
    end = dice.choice([whole, min(whole, _next_sector(region, at)), dice.randint(at + 1, whole)])
    noise = dice.randbytes(end - at)
    if dice.random() < 0.5:
        noise = noise.replace(b"\0", b"x")
    if dice.random() < 0.5:
        noise = noise.replace(b"\n", b"x")
    return region.text[:at] + noise + (region.text[end:] if dice.random() < 0.5 else b"")


def _next_sector(region: Region, at: int) -> int:
    return at + SECTOR - (region.began + at) % SECTOR


TEARS = (cut, zeros_to_the_end, zeros_to_the_next_sector, a_hole, random_bytes)


class _Sectors:
    """Every sector zeroed, of a commit cut at every byte."""

    def __init__(self, region: Region) -> None:
        self._ends = list(accumulate(region.sectors_up_to(length) for length in range(1, len(region.text) + 1)))
        self.count = self._ends[-1]

    def tear(self, region: Region, index: int, _dice: random.Random) -> bytes:
        length = bisect_right(self._ends, index) + 1
        sector = index - (self._ends[length - 2] if length > 1 else 0)
        start = max(0, (region.began // SECTOR + sector) * SECTOR - region.began)
        end = min(length, (region.began // SECTOR + sector + 1) * SECTOR - region.began)
        return region.text[:start] + bytes(end - start) + region.text[end:length]


# what else is there


def others_whole(scene: Scene, region: Region, dice: random.Random) -> Files:  # noqa: ARG001 (a Company)
    return dict(scene.files)


def streams_not_begun(scene: Scene, region: Region, dice: random.Random) -> Files:  # noqa: ARG001 (a Company)
    """As the protocol leaves it when the journal's line is torn: no stream has been touched."""
    files = dict(scene.files)
    for other in scene.regions[1:]:
        files[other.file] = scene.began(other)
        if not other.began:
            del files[other.file]
    return files


def other_stream_torn(scene: Scene, region: Region, dice: random.Random) -> Files:
    files = dict(scene.files)
    for other in scene.regions[1:]:
        if other.file != region.file:
            tear = dice.choice([cut, zeros_to_the_end, a_hole])
            files[other.file] = scene.began(other) + tear(other, dice.randrange(len(other.text)), dice)
    return files


def make_groups(scenes: Sequence[Scene]) -> list[Group]:
    """List all states there are, in groups."""
    groups = []
    for scene in scenes:
        for region in scene.regions:
            in_journal = region is scene.journal
            companies: list[tuple[Company, bool]] = [(others_whole, True), (others_whole, False)]
            if in_journal:
                companies += [(streams_not_begun, False)] * 2
            elif len(scene.regions) > 2:
                companies.append((other_stream_torn, False))
            sectors = _Sectors(region)
            tears: list[tuple[str, int, Tear]] = [
                (tear.__name__, len(region.text) + (tear is cut), tear) for tear in TEARS
            ]  # cut at its end: whole
            tears.append(("a sector of zeros", sectors.count, sectors.tear))
            for company, marked in companies:
                for name, count, tear in tears:
                    full = f"{scene.name}, {region.file}, {name}, {company.__name__}, {'marked' if marked else 'not marked'}"
                    groups.append(Group(full, count, partial(_make_state, full, scene, region, tear, company, marked)))
    return groups


def _make_state(
    name: str,
    scene: Scene,
    region: Region,
    tear: Tear,
    company: Company,
    marked: bool,  # noqa: FBT001 (bound where the groups are listed)
    index: int,
    seed: int,
) -> State:
    dice = random.Random(f"{seed} {name} {index}")
    if company is others_whole and region is scene.journal and not marked:
        index = max(1, index)  # a line cut to nothing is not torn: nobody looks for what it was
    files = company(scene, region, dice)
    files[region.file] = scene.began(region) + tear(region, index, dice)
    if not marked:
        files["lock"] = scene.mark_before if dice.random() < 0.75 else BLANK
    return State(f"{name} [{index}]", scene, region, files, judge(scene, files, marked=marked))


# what must come of it: DESIGN 3, its table


def judge(scene: Scene, files: Files, *, marked: bool) -> str:
    """Say what must become of the commit: ``gone``, ``kept`` or ``damaged``."""
    found = [_judge_journal(scene, files)] + [
        judge_write(files.get(part.file, b""), part) for part in scene.regions[1:]
    ]
    if all(each == "whole" for each in found):
        return "kept"
    if marked or "damaged" in found[:1]:
        return "damaged"
    if found[0] == "torn":
        held = any(len(files.get(part.file, b"")) > part.began for part in scene.regions[1:])
        return "damaged" if held else "gone"
    return "damaged" if "damaged" in found else "gone"


def _judge_journal(scene: Scene, files: Files) -> str:
    began, line = scene.journal.began, scene.journal.text
    tail = files[JOURNAL][began:]
    if tail == line:
        return "whole"
    *complete, rest = tail.split(b"\n")
    if not rest and complete and b"\0" in complete[-1]:
        rest = complete.pop() + b"\n"
    if complete:  # its hash is wrong
        return "damaged"
    return "torn" if _only_holes(rest, began) else "damaged"


def judge_write(file: bytes, part: Region) -> str:
    found = file[part.began :]
    if found == part.text:
        return "whole"
    if len(found) > len(part.text) or not _only_holes(found, part.began):
        return "damaged"
    return "torn" if len(found) < len(part.text) or b"\0" in found else "damaged"


def _only_holes(text: bytes, offset: int) -> bool:
    """Say whether every run of NULs ends at a multiple of 512 bytes of the file, or at its end."""
    return all((offset + run.end()) % SECTOR == 0 for run in re.finditer(rb"\0(?=[^\0])", text))
