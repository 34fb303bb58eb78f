"""How a spec's outcome is told: as a record for programs, and in lines for people."""

from typing import Any

from evcli.domain.differences import diff_rows
from evcli.domain.terminal import Part, sanitise
from evcli.specs.running import Outcome

_INDENT = "  "


def outcome_record(outcome: Outcome, *, ok: bool) -> dict[str, Any]:
    """Return an outcome as it is printed for programs; ``ok`` is whether nothing else is wrong with the spec either."""
    place = outcome.spec.place
    found: dict[str, Any] = {"spec": outcome.spec.name, "file": place.file, "line": place.line}
    found["ok"] = outcome.ok and ok
    return found if outcome.ok else found | {"expected": outcome.expected, "actual": outcome.actual}


def outcome_rows(outcome: Outcome, problem: str = "") -> list[list[Part]]:
    """Return an outcome as the lines that are printed for people; ``problem`` is what else is wrong with the spec."""
    file, line, _ = outcome.spec.place
    name = sanitise(outcome.spec.name)
    if outcome.ok and not problem:
        return [[("ok", "green"), (f"      {name}", "plain")]]
    where = sanitise(f"{file}:{line}" if line else file)
    rows = [] if outcome.ok else difference_rows(outcome)
    rows += [[(f"{_INDENT}{sanitise(problem)}", "plain")]] if problem else []
    return [[("FAILED", "red"), (f"  {name}", "plain"), (f"  {where}", "dim")], *rows]


def difference_rows(outcome: Outcome) -> list[list[Part]]:
    """Return what was expected, and what was the case, as the lines of a diff; an error as it is."""
    if "error" in outcome.actual:
        return [[(_INDENT, "plain"), (sanitise(outcome.actual["error"]), "plain")]]
    return [[(_INDENT, "plain"), *row] for row in diff_rows(outcome.expected, outcome.actual)]
