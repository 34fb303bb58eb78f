"""What a rig is: it drives evcli through many states, counts them, and says what it found in one line of figures."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(slots=True)
class Figures:
    """What a rig counted. ``states`` is how many situations it went through; all else ought to be 0.

    ``lost``: acknowledged events that were not there; ``partial``: commits that were there in part; ``duplicates``:
    events stored twice; ``exceptions``: ends other than those documented. ``problems`` says where, a line each;
    ``left_out`` what could not be tried here, and why.
    """

    states: int = 0
    lost: int = 0
    partial: int = 0
    duplicates: int = 0
    exceptions: int = 0
    problems: list[str] = field(default_factory=list)
    more: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def find(self, kind: str, problem: str) -> None:
        """Count a problem of a kind (``lost``, ``partial``, ``duplicates``, ``exceptions``) and keep the first hundred."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.problems) < 100:
            self.problems.append(f"{kind}: {problem}")

    @property
    def clean(self) -> bool:
        return self.states > 0 and not (self.lost or self.partial or self.duplicates or self.exceptions)

    def line(self, name: str, seconds: float) -> str:
        missing = "".join(f"; without {what}" for what in self.left_out)
        more = "".join(f", {count:,} {what}" for what, count in self.more.items())
        return (
            f"{name}: {self.states:,} states, {self.lost} lost, {self.partial} partial, {self.duplicates} duplicates,"
            f" {self.exceptions} exceptions{more}, {seconds:.0f} s{missing}"
        )


class Tier(NamedTuple):
    """How far to go: ``quick`` in CI, else long; rigs take their counts from it."""

    quick: bool
    seed: int
    part: int = 1
    """The long tier's counts are divided by it, where there is not the time for all of it."""

    def of(self, quick: int, long: int) -> int:
        """Return the count for this tier."""
        return quick if self.quick else max(quick, long // self.part)

    @property
    def random(self) -> random.Random:
        """A generator that gives the same numbers for the same seed."""
        return random.Random(self.seed)


class Rig(NamedTuple):
    """A rig: its name, what runs it, and what says why it cannot run here (None: it can)."""

    name: str
    run: Callable[[Tier], Figures]
    hindrance: Callable[[], str | None] = lambda: None


def timed(rig: Rig, tier: Tier) -> tuple[Figures, str]:
    """Run a rig; return its figures and their line."""
    start = time.monotonic()
    figures = rig.run(tier)
    return figures, figures.line(rig.name, time.monotonic() - start)
