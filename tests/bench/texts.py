"""Numbers and tables as people read them."""

from collections.abc import Sequence
from typing import Final

from tests.bench.figure import Limit, Unit, Verdict

_PER_SECOND: Final = {"events/s": "events/s", "bytes/s": "MB/s"}


def amount(value: float, unit: Unit) -> str:
    """Write a value with three digits and its unit.

    >>> amount(0.0614, "seconds"), amount(254_900.0, "events/s"), amount(6.4e7, "bytes")
    ('61.4 ms', '255,000 events/s', '64.0 MB')
    """
    if unit == "seconds":
        return f"{three_digits(value)} s" if value >= 1 else f"{three_digits(value * 1e3)} ms"
    if unit == "bytes":
        return f"{value / 1e6:,.1f} MB" if value >= 1e5 else f"{value:,.0f} bytes"
    scaled = value / 1e6 if unit == "bytes/s" else value
    return f"{three_digits(scaled)} {_PER_SECOND[unit]}"


def three_digits(value: float) -> str:
    """Write a number with three digits that count.

    >>> three_digits(1.2345), three_digits(61.44), three_digits(0.005), three_digits(254_900.0)
    ('1.23', '61.4', '0.00500', '255,000')
    """
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    places, size = 2, abs(rounded)
    while size >= 10 and places > 0:
        places, size = places - 1, size / 10
    while size < 1:
        places, size = places + 1, size * 10
    return f"{rounded:,.{places}f}"


def bound(limit: Limit, unit: Unit) -> str:
    """Write what a limit asks for."""
    sign = "≤" if limit.most else "≥"
    if limit.against is None:
        return f"{sign} {amount(limit.bound, unit)}"
    return f"{sign} {limit.bound:g} ×"


def value(limit: Limit, verdict: Verdict, unit: Unit) -> str:
    """Write what a limit's value is."""
    return amount(verdict.value, unit) if limit.against is None else f"{verdict.value:.2f} ×"


def spread(limit: Limit, verdict: Verdict, unit: Unit) -> str:
    """Write from where to where a limit's value went."""
    if limit.against is None:
        return f"{amount(verdict.lowest, unit)} to {amount(verdict.highest, unit)}"
    return f"{verdict.lowest:.2f} to {verdict.highest:.2f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table as Markdown has it."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n" for cells in lines)
