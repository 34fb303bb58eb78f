"""The clock, as canonical instants."""

from time import gmtime, strftime, time_ns

_MICROSECONDS = 1_000_000


def now() -> str:
    """Return the present instant."""
    seconds, microseconds = divmod(time_ns() // 1000, _MICROSECONDS)
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(seconds)) + f".{microseconds:06d}Z"
