"""The clock, as canonical instants."""

from datetime import UTC, datetime

from evcli.domain.instants import canonical


def now() -> str:
    """Return the present instant."""
    return canonical(datetime.now(UTC))
