"""Measuring one figure: its sides take turns, so that what the machine does besides falls on all of them alike."""

import re
import time
from collections.abc import Sequence
from typing import Final

from tests.bench import machine
from tests.bench.figure import Figure, Measured, Side, Values, rotated
from tests.bench.place import Bench
from tests.bench.running import SideFailed

QUICK_SECONDS: Final = 1.0
_FOLDERS: Final = re.compile(r"(?<![\w.])/(?:[^\s/'\":,;]+/)*(?=[^\s/])")


def measure(figure: Figure, bench: Bench, *, quick: bool) -> Measured:
    """Measure a figure: a round of all sides as often as it says, as long as there is time; at least one.

    A side that is not there, or fails, is told of instead, and what was measured of it before is left out.
    """
    start = time.monotonic()
    try:
        sides = figure.sides(bench)
    except SideFailed as failed:
        return Measured({}, {"all of it": without_folders(str(failed))}, time.monotonic() - start, machine.commit())
    missing = {side.name: side.hindrance for side in sides if side.hindrance is not None}
    present = [side for side in sides if side.hindrance is None]
    runs: dict[str, list[float]] = {side.name: [] for side in present}
    begun, most = time.monotonic(), QUICK_SECONDS if quick else figure.seconds
    for number in range(figure.runs.quick if quick else figure.runs.full):
        if number and time.monotonic() - begun > most:
            break
        measure_round(rotated(present, number), runs, missing)
    policies = {side.name: side.policy for side in present}
    values = {name: Values(policies[name], found) for name, found in runs.items() if name not in missing}
    return Measured(values, missing, time.monotonic() - start, machine.commit())


def measure_round(sides: Sequence[Side], runs: dict[str, list[float]], missing: dict[str, str]) -> None:
    """Measure every side once that has not failed before."""
    for side in sides:
        if side.name in missing:
            continue
        try:
            runs[side.name].append(side.measure())
        except (SideFailed, OSError, ValueError) as failed:
            missing[side.name] = f"failed: {without_folders(str(failed))}"


def without_folders(text: str) -> str:
    """Return a message on one line, of absolute paths only the last part: it is for the report.

    >>> without_folders("cannot open '/tmp/bench/scratch/log':\\n no such file")
    "cannot open 'log': no such file"
    """
    return _FOLDERS.sub("", " ".join(text.split()))
