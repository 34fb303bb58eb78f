"""Working on and on: whatever looks for something to do is asked in turn, and there is a pause where nobody found any."""

import time
from collections.abc import Sequence
from typing import Final, Protocol

_QUICK: Final = 0.02
_SLOW: Final = 0.1


class Looks(Protocol):
    """Something that looks for work and does it."""

    def look(self) -> bool:
        """Do what there is to do now; return whether there was anything."""
        ...


def work(workers: Sequence[Looks]) -> None:
    """Let workers look for work for ever; whoever wants it to end raises an exception."""
    pause = _QUICK
    while True:
        busy = [worker.look() for worker in workers]
        if any(busy):
            pause = _QUICK
        else:
            time.sleep(pause)
            pause = min(_SLOW, pause * 1.2)
