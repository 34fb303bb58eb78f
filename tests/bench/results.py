"""The raw numbers, in a JSON file beside the report: a broken-off run goes on with it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.bench.figure import Measured, Values

JSON: Final = "results.json"
CAUSES: Final = Path(__file__).parent / "causes.toml"


class Results(NamedTuple):
    """What was measured so far, where, and in which sizes.

    ``code`` is a hash of evcli's code, ``day`` when it began. ``finished``: nothing is left to be measured, and the next
    run begins anew.
    """

    machine: dict[str, str]
    versions: dict[str, str]
    code: str
    day: str
    sizes: dict[str, int]
    quick: bool
    finished: bool
    figures: dict[str, Measured]

    def same_run(self, other: "Results") -> bool:
        """Say whether what was measured here can stand beside what is measured there."""
        return (self.machine, self.sizes, self.quick) == (other.machine, other.sizes, other.quick)


def load(path: Path) -> Results | None:
    """Read results; None where there are none that can be read."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        figures = {name: _measured(raw) for name, raw in found.pop("figures").items()}
        return Results(**found, figures=figures)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(path: Path, results: Results) -> None:
    """Write results, at once or not at all."""
    figures = {name: _raw(measured) for name, measured in results.figures.items()}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(results._asdict() | {"figures": figures}, indent=1) + "\n")
    part.replace(path)


def _measured(raw: Mapping[str, Any]) -> Measured:
    sides = {name: Values(side["policy"], side["runs"]) for name, side in raw["sides"].items()}
    return Measured(sides, raw["missing"], raw["seconds"], raw["commit"])


def _raw(measured: Measured) -> dict[str, Any]:
    sides = {
        name: {"policy": policy, "runs": [float(f"{run:.6g}") for run in runs]}
        for name, (policy, runs) in measured.sides.items()
    }
    return measured._asdict() | {"sides": sides, "seconds": round(measured.seconds, 1)}
