"""A process that appends until it is stopped, and says on a pipe what it tries and what was acknowledged."""

import itertools
import os
import random
import signal
from typing import Self

from evcli.storage.local import LocalStore
from tests.torture.judging import Known, commit


class Writers:
    """Forked writers of one store, and what they said so far. A context manager: none outlives the block.

    Args:
        root: The store.
        chance: What is random in what they write.
        firsts: The first key of each writer; it counts on from there.
    """

    def __init__(self, root: str, chance: random.Random, firsts: list[int]) -> None:
        self._pipe, pipe = os.pipe()
        self._rest = b""
        self._children = [_fork_writer(root, pipe, first, chance.random()) for first in firsts]
        os.close(pipe)
        os.set_blocking(self._pipe, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(len(self._children))
        os.close(self._pipe)

    def stop(self, count: int = 1) -> None:
        """Kill this many of them, and wait until they are gone."""
        for _ in range(count):
            child = self._children.pop()
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def said(self, known: Known, *, believed: bool = True) -> Known:
        """Add to what is known what they said since; unless it is to be believed, as something tried only."""
        while True:
            try:
                text = os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                break
            if not text:
                break
            self._rest += text
        *lines, self._rest = self._rest.split(b"\n")
        acknowledged, possible = dict(known.acknowledged), set(known.possible)
        for line in lines:
            key, position = map(int, line.split())
            if position and believed:
                acknowledged[key] = position
            else:
                possible.add(key)
        return known._replace(acknowledged=acknowledged, possible=frozenset(possible))


def _fork_writer(root: str, pipe: int, first: int, seed: float) -> int:
    """Fork a writer, which says its key and 0 before it appends, and its key and position after it."""
    child = os.fork()
    if child:
        return child
    try:
        chance = random.Random(seed)
        store = LocalStore(root)
        for key in itertools.count(first):
            if chance.random() < 0.3:
                store = LocalStore(root)
            counts = chance.choice([{"a": 1}, {"a": 3, "b/c": 2}, {f"new/{key}": 1}, {"a": 50}])
            os.write(pipe, b"%d 0\n" % key)
            receipt = store.append(commit(key, counts, pad=chance.choice([0, 0, 700, 5000])))
            os.write(pipe, b"%d %d\n" % (key, receipt.position))
    finally:
        os._exit(1)
