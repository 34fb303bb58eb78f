"""What a figure is: several sides do the same, in turns; what evcli's value is in terms of another's, and has to be."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from tests.bench.place import Bench

Unit = Literal["seconds", "events/s", "bytes/s", "bytes"]


class Side(NamedTuple):
    """One of those compared: its name, what it syncs and when, and what measures it once, in the figure's unit.

    ``hindrance`` says why it cannot be measured here (None: it can).
    """

    name: str
    policy: str
    measure: Callable[[], float]
    hindrance: str | None = None


class Limit(NamedTuple):
    """What is to be reached: the value of ``side``, divided by that of ``against`` (None: by nothing), within ``bound``.

    ``most``: the bound may not be exceeded; else it has to be reached. ``worst``: every run has to keep to it, and not
    only their median.
    """

    side: str
    against: str | None
    bound: float
    most: bool
    worst: bool = False


def at_most(bound: float, side: str, *, of: str | None = None, worst: bool = False) -> Limit:
    """Make a limit from above."""
    return Limit(side, of, bound, most=True, worst=worst)


def at_least(bound: float, side: str, *, of: str | None = None) -> Limit:
    """Make a limit from below."""
    return Limit(side, of, bound, most=False)


class Runs(NamedTuple):
    """How often each side is measured."""

    full: int
    quick: int


class Figure(NamedTuple):
    """A figure: what is measured, in which unit, what is to be reached, and what makes the sides.

    ``title`` and ``how`` may name sizes: ``{long}``. No round begins
    when the rounds before took ``seconds``.
    """

    name: str
    title: str
    how: str
    unit: Unit
    limits: tuple[Limit, ...]
    sides: Callable[["Bench"], Sequence[Side]]
    runs: Runs
    seconds: float = 60.0


class Values(NamedTuple):
    """What one side came to, run by run; its fsync policy."""

    policy: str
    runs: list[float]

    @property
    def median(self) -> float:
        return median(self.runs)


class Measured(NamedTuple):
    """A figure's raw numbers: each side's, why others have none, the seconds that it took altogether, of which evcli."""

    sides: dict[str, Values]
    missing: dict[str, str]
    seconds: float
    commit: str


class Verdict(NamedTuple):
    """What became of a limit: the value to be held against its bound, the lowest and highest of it, and whether it is kept.

    With another side the value is the quotient of the two medians, and the lowest and highest are those of the rounds.
    """

    value: float
    lowest: float
    highest: float
    kept: bool


def judge(limit: Limit, sides: Mapping[str, Values]) -> Verdict | None:
    """Hold a limit against what was measured; None if one of its sides has no value."""
    ours = sides.get(limit.side)
    theirs = sides.get(limit.against) if limit.against is not None else None
    if ours is None or (limit.against is not None and theirs is None):
        return None
    rounds = quotients(ours.runs, theirs.runs) if theirs else ours.runs
    value = ours.median / theirs.median if theirs else ours.median
    if limit.worst:
        value = max(rounds) if limit.most else min(rounds)
    return Verdict(value, min(rounds), max(rounds), value <= limit.bound if limit.most else value >= limit.bound)


def quotients(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the quotients of what was measured in the same rounds.

    >>> quotients([4.0, 9.0], [2.0, 3.0])
    [2.0, 3.0]
    """
    return [mine / other for mine, other in zip(ours, theirs, strict=False)]


def rotated(sides: Sequence[Side], by: int) -> list[Side]:
    """Return the sides in another order for each round, so that none always comes after the same one."""
    by %= len(sides) or 1
    return [*sides[by:], *sides[:by]]
