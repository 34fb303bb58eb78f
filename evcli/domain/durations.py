"""Durations, as options give them: apart from instants, since most runs read one and no time at all."""

import re

from evcli.errors import BadTime
from evcli.light_typing import Final

_DURATION: Final = r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h)?"
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST: Final = 100 * 365 * 86_400.0  # the timers of operating systems end not far beyond
_LONGEST_QUOTE: Final = 60
_EXAMPLES: Final = "write 10s, 500ms or 2m; more in 'evcli help time'"


def parse_duration(text: str) -> float:
    """Read a duration (``10`` or ``10s``, ``500ms``, ``2m``, ``1h``, ``1.5s``) as seconds.

    Raises:
        BadTime: If it is none, or over 100 years; with three examples.
    """
    found = re.fullmatch(_DURATION, text.strip().lower())
    if found:
        seconds = float(found[1]) * _SECONDS[found[2] or "s"]
        if seconds <= _LONGEST:
            return seconds
    raise BadTime(f"{quote(text)} is not a duration that evcli can read", _EXAMPLES)


def quote(text: str) -> str:
    """Return a text that cannot be read, for a message: in quotes, and cut where it is long."""
    return repr(text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…")
