"""Torn writes: every byte at which a commit can be torn, in its streams and in the journal (DESIGN 3, 4).

A state is a commit, the file that is torn, what became of its bytes there, what the other files hold, and the mark.
What has to come of it is worked out here from the table of DESIGN 3 alone, on bytes, without evcli's own code:

- ``gone``: never acknowledged. Readers see the commits before it, the next append cuts it, keeps what it cut, and goes on.
- ``kept``: whole after all. Readers see it, the next append builds upon it.
- ``damaged``: no kill and no power cut leaves that, or what was acknowledged is not whole. Every reader of it says so (one
  that needs none of what is damaged may give the events before it), append too, and not one byte is changed.
"""

import gc
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from evcli.errors import Damaged
from evcli.storage.local import LocalStore
from tests.torture.rig import Figures, Rig, Tier
from tests.torture.stores import Files, all_lines, in_parts, one_look, put, sample, stream_lines, take, workshop
from tests.torture.tearing import JOURNAL, Region, State, judge_write, make_groups, make_scenes, write_of

Found = TypeVar("Found")

# what does come of it


class _Check:
    """Puts one state before readers and a writer, and counts what they do wrong."""

    def __init__(self, root: str, figures: Figures) -> None:
        self._root = root
        self._figures = figures
        self._present: Files | None = None

    def run(self, state: State, number: int) -> None:
        put(self._root, state.files, over=self._present)
        self._present = None
        self._figures.states += 1
        self._figures.more[state.outcome] = self._figures.more.get(state.outcome, 0) + 1
        try:
            self._read(state)
            target = (state.region.file[8:-6] or "a", "b", "d/new")[number % 3]
            if state.outcome == "damaged":
                self._append_to_damage(state, target)
            else:
                self._append(state, target)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is a figure)
            self._figures.find("exceptions", f"{state.name}, {state.outcome}: {error!r}")

    def _find(self, kind: str, state: State, problem: str) -> None:
        self._figures.find(kind, f"{state.name}, {state.outcome}: {problem}")

    def _read(self, state: State) -> None:
        scene, store = state.scene, LocalStore(self._root, allow_network_fs=True)
        truth = scene.earlier + (scene.lines if state.outcome == "kept" else [])
        end = _or_none(lambda: store.head().position)  # one look for all: nobody is writing
        lines = None if end is None else _or_none(partial(all_lines, store, end=end))
        if state.outcome != "damaged":
            self._compare(state, "read_all", lines, truth)
        elif lines is not None and (lines != scene.earlier or state.files["lock"] == scene.files["lock"]):
            self._find("partial", state, f"read_all gave {len(lines)} lines and no error")
        for part in scene.regions[1:]:
            stream = part.file[8:-6]
            lines = None if end is None else _or_none(partial(stream_lines, store, stream, end=end))
            if state.outcome != "damaged":
                self._compare(state, f"read {stream}", lines, _of_stream(stream, truth))
            elif lines is not None and (
                _concerns(state, part) or lines != _of_stream(stream, scene.earlier + scene.lines)[: len(lines)]
            ):
                self._find("partial", state, f"read {stream} gave {len(lines)} lines and no error")
        problem = _problem_of(store)
        if bool(problem) != (state.outcome == "damaged"):
            self._find("partial", state, f"verify says {problem or 'nothing'}")

    def _compare(self, state: State, what: str, lines: list[bytes] | None, truth: list[bytes]) -> None:
        if lines is None:
            self._find("exceptions", state, f"{what} called it damaged")
        elif lines != truth:
            kind = "lost" if len(lines) < len(truth) else "duplicates" if len(set(lines)) < len(lines) else "partial"
            self._find(kind, state, f"{what} gave {len(lines)} lines, not {len(truth)}")

    def _append_to_damage(self, state: State, target: str) -> None:
        try:
            LocalStore(self._root, allow_network_fs=True).append([write_of(target, 1)], lock_wait=0)
        except Damaged:
            pass
        else:
            self._find("lost", state, f"append to {target} was accepted")
        self._present = take(self._root)
        if self._present != state.files:
            self._find("lost", state, "append changed what is damaged")

    def _append(self, state: State, target: str) -> None:
        scene, store = state.scene, LocalStore(self._root, allow_network_fs=True)
        truth = scene.earlier + (scene.lines if state.outcome == "kept" else [])
        receipt = store.append([write_of(target, 1)], lock_wait=0)
        version = 1 + len(_of_stream(target, truth))
        if (receipt.position, receipt.version) != (len(truth) + 1, version):
            self._find("duplicates", state, f"append got {receipt.position}, version {receipt.version}")
        lines = all_lines(LocalStore(self._root, allow_network_fs=True))
        self._compare(state, "read_all after append", lines[:-1], truth)
        report = store.verify()
        if report.events != len(truth) + 1 or report.in_progress:
            self._find("partial", state, f"after append verify found {report}")
        self._present = take(self._root)
        if state.outcome == "gone":
            self._check_quarantine(state, self._present)

    def _check_quarantine(self, state: State, files: Files) -> None:
        kept = b"".join(text for name, text in files.items() if name.startswith("quarantine/"))
        torn_journal = state.files[JOURNAL] != state.scene.files[JOURNAL]
        for part in state.scene.regions[:1] if torn_journal else state.scene.regions[1:]:
            if (lost := state.files.get(part.file, b"")[part.began :]) and lost not in kept:
                self._find("lost", state, f"what was cut from {part.file} is not in quarantine")


def _concerns(state: State, part: Region) -> bool:
    """Say whether reading this stream must meet the damage: its own bytes are not right, or beyond the journal's end."""
    found = state.files.get(part.file, b"")[part.began :]
    if state.files[JOURNAL] != state.scene.files[JOURNAL]:
        return bool(found)
    return judge_write(state.files.get(part.file, b""), part) == "damaged"


def _or_none(read: Callable[[], Found]) -> Found | None:
    try:
        return read()
    except Damaged:
        return None


def _of_stream(stream: str, lines: Sequence[bytes]) -> list[bytes]:
    key = b'"stream":"%s"' % stream.encode()
    return [line for line in lines if key in line]


def _problem_of(store: LocalStore) -> str:
    try:
        store.verify()
    except Damaged as error:
        return error.message
    return ""


# how many of them


def work(tier: Tier, part: int, parts: int) -> Figures:
    """Go through every ``parts``-th state."""
    figures = Figures()
    with workshop() as folder, one_look():
        groups = {group.name: group for group in make_groups(list(make_scenes(folder)))}
        sizes = {name: group.count for name, group in groups.items()}
        root = os.path.join(folder, "torn")
        os.mkdir(root)
        check = _Check(root, figures)
        gc.freeze()
        for number, (name, index) in enumerate(sample(sizes, tier.of(6_000, 1_000_000), tier.seed)):
            if number % parts == part:
                check.run(groups[name].make(index, tier.seed), number // parts)
    return figures


def run(tier: Tier) -> Figures:
    """Tear commits, in a process for each CPU."""
    return in_parts(work, tier)


RIG = Rig("torn", run)
