"""A disk as a power cut may leave it: what ext4, XFS and their like promise, and nothing more.

A file is a row of 512-byte sectors and a length. Until a sync, each sector may be on disk as it is now or as it was
at any time since the last sync, whatever the others are (reordering); the length may be any that it had, or that a
write passed on its way; where the length has grown and the data have not come (delayed allocation), there are zeros.
A directory is a set of entries: each creation, rename and removal is there or not, in any order, until that
directory is synced. A killed process loses nothing: all of it stays in the page cache, as unsynced as it was. A
failed sync leaves the sectors clean in the cache and old on disk: a later sync takes only what was written since.
"""

import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Final, NamedTuple, Union

SECTOR: Final = 512
MOST_TOGETHER: Final = 7
"""Up to so many sectors or entries in doubt, every combination is gone through."""

_OLD: Final = "old"
_NEW: Final = "new"
Choice = tuple[int, dict[int, bytes]]
"""A length, and the sectors that are older than the rest."""

History = tuple[int, ...]
"""Commits by their numbers, in order."""


class Op(NamedTuple):
    """One step of a protocol: a change to the file system, or what it means to the writer.

    ``kind``: create, mkdir, write, cut, sync, sync-failed, rename, unlink; begin (a commit is in flight from here on),
    ack (it was acknowledged, and ``history`` is what the store holds), undone (the writer was told that nothing was
    stored). ``path`` is relative to the recorded directory; ``number`` is an offset, a length or a commit.
    """

    kind: str
    path: str = ""
    number: int = 0
    data: bytes = b""
    to: str = ""
    history: History = ()


class File:
    """One file: its bytes in the page cache, and what may be on disk instead."""

    __slots__ = ("cache", "dirty", "failed", "lengths", "needed", "older")

    def __init__(self, text: bytes = b"") -> None:
        self.cache = text
        self.lengths = [(len(text), len(text))]
        self.older: dict[int, list[bytes]] = {}
        self.dirty: set[int] = set()
        self.needed = 0
        self.failed = False

    def copy(self) -> "File":
        other = File(self.cache)
        other.lengths = list(self.lengths)
        other.older = {at: list(texts) for at, texts in self.older.items()}
        other.dirty, other.needed, other.failed = set(self.dirty), self.needed, self.failed
        return other

    @property
    def certain(self) -> bool:
        """Whether the disk holds what the cache does."""
        return not self.older and len(self.lengths) == 1

    def sector(self, at: int) -> bytes:
        return self.cache[at * SECTOR : (at + 1) * SECTOR].ljust(SECTOR, b"\0")

    def write(self, offset: int, text: bytes) -> None:
        before, end = len(self.cache), offset + len(text)
        new = self.cache[:offset].ljust(offset, b"\0") + text + self.cache[end:]
        self._change(new, offset, end)
        if end > before:
            self.lengths.append((before + 1, end))
        self.needed = max(self.needed, end)

    def cut(self, length: int) -> None:
        before = len(self.cache)
        if length != before:
            self._change(self.cache[:length].ljust(length, b"\0"), min(length, before), max(length, before))
            self.lengths.append((length, length))
            self.needed = min(self.needed, length)

    def _change(self, new: bytes, start: int, end: int) -> None:
        places = range(start // SECTOR, -(-end // SECTOR))
        before = [self.sector(at) for at in places]
        self.cache = new
        for at, text in zip(places, before, strict=True):
            self.dirty.add(at)
            if text != self.sector(at):
                self.older.setdefault(at, []).append(text)

    def sync(self) -> None:
        """Make what was written since the last sync durable; what a failed one gave up stays in doubt."""
        for at in self.dirty:
            self.older.pop(at, None)
        now = len(self.cache)
        kept = self.lengths if self.failed else []
        clipped = {(max(low, self.needed), min(high, now)) for low, high in kept}
        self.lengths = [span for span in sorted(clipped) if span[0] <= span[1] and span != (now, now)] + [(now, now)]
        self.dirty, self.needed = set(), 0
        self.failed = not self.certain

    def fail_sync(self) -> None:
        self.dirty, self.needed, self.failed = set(), 0, True

    def image(self, length: int, older: dict[int, bytes]) -> bytes:
        """Return the bytes on disk where ``older`` sectors stand in the place of the present ones."""
        text = self.cache[:length].ljust(length, b"\0")
        for at, sector in older.items():
            start = at * SECTOR
            if start < length:
                text = (text[:start] + sector + text[start + SECTOR :])[:length]
        return text

    def oldest(self) -> bytes:
        return self.image(self.lengths[0][0], {at: texts[0] for at, texts in self.older.items()})

    def sampled(self, rng: random.Random) -> bytes:
        """Return one of the things that may be on disk: nothing new, all of it, torn, with holes, or all at once."""
        if self.certain:
            return self.cache
        way = rng.randrange(8)
        if way == 0:
            return self.oldest()
        if way <= 2:
            return self.cache
        low, high = rng.choice(self.lengths)
        length = len(self.cache) if way <= 4 else rng.randint(low, high)
        if way >= 7 and high - low > SECTOR:
            length = min(high, max(low, length // SECTOR * SECTOR))
        share = 0.0 if way == 5 else rng.choice((0.1, 0.5, 0.9))
        return self.image(length, {at: rng.choice(texts) for at, texts in self.older.items() if rng.random() < share})

    def choices(self) -> Iterator[Choice]:
        """Yield what `image` takes: every length with all else new; the combinations of sectors, or one, or all but one."""
        for low, high in self.lengths:
            yield from ((length, {}) for length in range(low, high + 1))
        places = list(self.older)
        if len(places) <= MOST_TOGETHER:
            for picks in product(*((None, *texts) for texts in self.older.values())):
                older = {at: text for at, text in zip(places, picks, strict=True) if text is not None}
                yield len(self.cache), older
            return
        for at in places:
            yield len(self.cache), {at: self.older[at][0]}
            yield len(self.cache), {other: self.older[other][0] for other in places if other != at}


Node = Union[File, "Folder"]
Change = dict[str, Node | None]


class Folder:
    """A directory: its entries in the cache, those known to be on disk, and the changes between them."""

    __slots__ = ("cache", "disk", "pending")

    def __init__(self) -> None:
        self.cache: dict[str, Node] = {}
        self.disk: dict[str, Node] = {}
        self.pending: list[Change] = []

    def change(self, change: Change) -> None:
        self.pending.append(change)
        _apply(self.cache, change)

    def sync(self) -> None:
        self.disk, self.pending = dict(self.cache), []

    def entries(self, picked: tuple[bool, ...]) -> dict[str, Node]:
        """Return the entries on disk if of the pending changes only those picked were written."""
        found = dict(self.disk)
        for change, there in zip(self.pending, picked, strict=True):
            if there:
                _apply(found, change)
        return found


def _apply(entries: dict[str, Node], change: Change) -> None:
    for name, node in change.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


Picked = tuple[bool, ...]


class Disk:
    """A tree of files, with what its writers were promised.

    ``allowed`` are the histories that a reader may find; ``kept`` is what the store's files held when a commit was last
    acknowledged, which they must begin with for ever. ``acknowledged`` says whether the last thing begun was;
    ``before`` are the histories that were allowed before it began.
    """

    def __init__(self) -> None:
        self.root = Folder()
        self.allowed: frozenset[History] = frozenset([()])
        self.kept: dict[str, bytes] = {}
        self.acknowledged = False
        self.before: frozenset[History] = self.allowed

    def copy(self) -> "Disk":
        copies: dict[int, Node] = {}

        def of(node: Node) -> Node:
            found = copies.get(id(node))
            if found is None:
                if isinstance(node, File):
                    found = copies[id(node)] = node.copy()
                else:
                    found = copies[id(node)] = folder = Folder()
                    folder.cache = {name: of(inner) for name, inner in node.cache.items()}
                    folder.disk = {name: of(inner) for name, inner in node.disk.items()}
                    folder.pending = [
                        {name: inner and of(inner) for name, inner in change.items()} for change in node.pending
                    ]
            return found

        other = Disk()
        root = of(self.root)
        assert isinstance(root, Folder)
        other.root = root
        return self._promised(other)

    def _promised(self, other: "Disk") -> "Disk":
        """Give another disk the promises of this one."""
        other.allowed, other.kept, other.before = self.allowed, self.kept, self.before
        other.acknowledged = self.acknowledged
        return other

    def _find(self, path: str) -> Node | None:
        node: Node = self.root
        for part in path.split("/") if path else ():
            if not isinstance(node, Folder) or part not in node.cache:
                return None
            node = node.cache[part]
        return node

    def _folder(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        folder = self._find(above)
        assert isinstance(folder, Folder), f"no directory {above!r}"
        return folder, name

    def apply(self, op: Op) -> None:
        """Take one step."""
        kind, path = op.kind, op.path
        if kind in ("begin", "ack", "undone"):
            self._promise(op)
        elif kind in ("create", "mkdir"):
            if self._find(path) is None:
                folder, name = self._folder(path)
                folder.change({name: File() if kind == "create" else Folder()})
        elif kind in ("rename", "unlink"):
            folder, name = self._folder(path)
            node = folder.cache[name]
            change: Change = {name: None}
            if kind == "rename":
                other, to = self._folder(op.to)
                assert other is folder, "a rename into another directory is not modelled"
                change[to] = node
            folder.change(change)
        else:
            self._touch(op)

    def _touch(self, op: Op) -> None:
        node = self._find(op.path)
        if isinstance(node, Folder):
            if op.kind == "sync":
                node.sync()
            return
        assert node is not None, f"{op.kind} of {op.path}, which is not there"
        if op.kind == "write":
            node.write(op.number, op.data)
        elif op.kind == "cut":
            node.cut(op.number)
        elif op.kind == "sync":  # fdatasync, too: on Linux it takes a length that shrank along
            node.sync()
        else:
            assert op.kind == "sync-failed"
            node.fail_sync()

    def _promise(self, op: Op) -> None:
        self.acknowledged = op.kind == "ack"
        if op.kind == "begin":
            self.before = self.allowed
            self.allowed |= {(*history, op.number) for history in self.allowed}
        elif op.kind == "ack":
            self.allowed = frozenset([op.history])
            self.kept = {path: file.cache for path, file in self.files() if path.endswith(".jsonl")}
        else:
            self.allowed = self.before

    def files(self) -> Iterator[tuple[str, File]]:
        """Yield the files that the cache shows, with their paths."""
        yield from ((path, node) for path, node in _walk(self.root, "") if isinstance(node, File))

    def contents(self) -> dict[str, bytes | None]:
        """Return what the cache shows: the bytes of files, None for directories, parents first."""
        return {path: node.cache if isinstance(node, File) else None for path, node in _walk(self.root, "")}

    @property
    def certain(self) -> bool:
        """Whether a power cut would leave all as it is."""
        parts = [self.root, *(node for _, node in _walk(self.root, ""))]
        return all(part.certain if isinstance(part, File) else not part.pending for part in parts)

    def cut_power(self, rng: random.Random) -> "Disk":
        """Return one of the disks that a power cut may leave."""
        calm = rng.random() < 0.5  # most entries are there, so that what lies below them matters

        def entries(folder: Folder) -> Picked:
            share = rng.choice((0.0, 0.5)) if not calm else 1.0
            return tuple(rng.random() < share for _ in folder.pending)

        return self.leave(entries, lambda file: file.sampled(rng))

    def leave(self, entries: Callable[[Folder], Picked], text: Callable[[File], bytes]) -> "Disk":
        """Return the disk that a power cut leaves if each directory and file becomes what is said."""
        left = Disk()
        done: dict[int, Node] = {}

        def of(node: Node) -> Node:
            if id(node) not in done:
                if isinstance(node, File):
                    done[id(node)] = File(text(node))
                else:
                    folder = done[id(node)] = Folder()
                    picked = node.disk if not node.pending else node.entries(entries(node))
                    folder.disk = {name: of(inner) for name, inner in picked.items()}
                    folder.cache = dict(folder.disk)
            return done[id(node)]

        root = of(self.root)
        assert isinstance(root, Folder)
        left.root = root
        return self._promised(left)

    def every_power_cut(self) -> "Iterator[Callable[[], Disk]]":
        """Yield what makes the disks in which one file or directory is in each of its states, and the others old, or new."""
        for part in [self.root, *(node for _, node in _walk(self.root, ""))]:
            if isinstance(part, File) and not part.certain:
                for length, older in part.choices():
                    yield partial(self._leave_with, part, _NEW, (length, older), ())
                    yield partial(self._leave_with, part, _OLD, (length, older), ())
            elif isinstance(part, Folder) and part.pending:
                count = len(part.pending)
                masks = range(1 << count) if count <= MOST_TOGETHER else [1 << bit for bit in range(count)]
                for mask in masks:
                    picked = tuple(bool(mask >> bit & 1) for bit in range(count))
                    yield partial(self._leave_with, part, _NEW, None, picked)
                    yield partial(self._leave_with, part, _OLD, None, picked)

    def _leave_with(self, part: Node, rest: str, choice: Choice | None, picked: Picked) -> "Disk":
        """Leave ``part`` in the state chosen, and all else old or new; if it is a file, all entries are there."""

        def entries(folder: Folder) -> Picked:
            return picked if folder is part else (rest == _NEW or choice is not None,) * len(folder.pending)

        def text(file: File) -> bytes:
            if file is part and choice is not None:
                return file.image(*choice)
            return file.cache if rest == _NEW else file.oldest()

        return self.leave(entries, text)


def _walk(folder: Folder, above: str) -> Iterator[tuple[str, Node]]:
    for name, node in folder.cache.items():
        yield above + name, node
        if isinstance(node, Folder):
            yield from _walk(node, f"{above}{name}/")
