"""Small stores for the rigs that change bytes: taken whole, put back, compared; and such rigs spread over processes."""

import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType

from evcli.storage import looking
from evcli.storage.contract import EventStore
from tests.torture.rig import Figures, Tier

Files = dict[str, bytes]
"""Every file of a directory, by its path in it."""

_MEMORY = "/dev/shm"  # noqa: S108 (a directory of its own is made in it)


@contextmanager
def workshop() -> Iterator[str]:
    """Give a directory in memory, where there is such a thing.

    What these rigs enumerate are the bytes that a file holds, on whatever file system; there a sync costs nothing.
    """
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="evcli-rig-", dir=memory) as folder:
        yield folder


@contextmanager
def with_constants(module: ModuleType, **values: object) -> Iterator[None]:
    """Give a module's constants other values for a while."""
    before = {name: getattr(module, name) for name in values}
    try:
        for name, value in values.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def one_look() -> AbstractContextManager[None]:
    """Let a reader take one look at what it finds instead of a dozen: here nobody else is writing."""
    return with_constants(looking, _LOOKS=1, _FIRST_PAUSE=0)


def take(root: str) -> Files:
    """Read every file below ``root``."""
    found: Files = {}
    pending = [root]
    while pending:
        for entry in os.scandir(pending.pop()):
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            else:
                with open(entry.path, "rb", buffering=0) as file:
                    found[entry.path[len(root) + 1 :]] = file.read()
    return found


def put(root: str, files: Mapping[str, bytes], *, over: Mapping[str, bytes] | None = None) -> None:
    """Make ``files`` what the directory holds, and nothing else.

    Args:
        root: The directory.
        files: What it is to hold.
        over: What it holds now, where that is known: what is the same in both is left alone.
    """
    present = take(root) if over is None else over
    for name in present.keys() - files.keys():
        os.unlink(os.path.join(root, name))
    for name, text in files.items():
        if present.get(name) != text:
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            Path(path).write_bytes(text)


def all_lines(store: EventStore, *, end: int | None = None) -> list[bytes]:
    """Return the lines of all streams up to position ``end`` (default: the store's), in global order."""
    end = store.head().position if end is None else end
    return [line for lines in store.read_all(end=end) for line in lines]


def stream_lines(store: EventStore, stream: str, *, end: int) -> list[bytes]:
    """Return the lines of one stream up to position ``end``."""
    return [line for chunk in store.read_stream(stream, end=end) for line in chunk.lines]


def sample(sizes: Mapping[str, int], wanted: int, seed: int) -> Iterator[tuple[str, int]]:
    """Yield members of groups of these sizes, by name and number: all groups alike, spread evenly within each.

    A group that is smaller than its share is taken whole.
    """
    left = wanted
    for done, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: item[1])):
        share = min(size, -(-left // (len(sizes) - done)))
        left -= share
        dice = random.Random(f"{seed} {name}")
        for number in range(share):
            yield name, number if share == size else int((number + dice.random()) * size / share)


def in_parts(work: Callable[[Tier, int, int], Figures], tier: Tier) -> Figures:
    """Run ``work(tier, part, parts)`` for each part in a process of its own, one for each CPU, and add the figures up."""
    parts = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    total = Figures()
    with ProcessPoolExecutor(parts, mp_context=get_context("spawn")) as pool:
        for figures in pool.map(work, [tier] * parts, range(parts), [parts] * parts):
            for name in ("states", "lost", "partial", "duplicates", "exceptions"):
                setattr(total, name, getattr(total, name) + getattr(figures, name))
            total.problems += figures.problems
            for what, count in figures.more.items():
                total.more[what] = total.more.get(what, 0) + count
    return total
