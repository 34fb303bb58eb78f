"""Expected version: what a writer believes about a stream, and the check that it is so."""

from evcli.errors import Usage, WrongExpectedVersion
from evcli.light_typing import Any, Final

Expected = int | str
"""A version number, ``"exists"`` or ``"any"`` (``"none"`` is read as 0)."""

ANY: Final[Expected] = "any"
EXISTS: Final[Expected] = "exists"
NO_STREAM: Final[Expected] = 0
MOST_DIGITS: Final = 19


def parse_expected(text: str) -> Expected:
    """Read ``N``, ``none``, ``exists`` or ``any``.

    Raises:
        Usage: For anything else.
    """
    number = text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS
    found = expected_of(int(text) if number else text)
    if found is None:
        raise Usage(f"--expect {text!r} is not an expected version", "use a version number, none, exists or any")
    return found


def expected_of(value: Any) -> Expected | None:  # noqa: ANN401 (a JSON value)
    """Return what a JSON value, a whole number or one of the words, expects; None if it is neither."""
    if value == "none":
        return NO_STREAM
    if value in (ANY, EXISTS) or (type(value) is int and value >= 0):
        return value  # type: ignore[no-any-return]  # one of the two words, or a number
    return None


def check_expected(stream: str, expected: Expected, actual: int) -> None:
    """Do nothing if a stream at version ``actual`` is as ``expected``.

    Raises:
        WrongExpectedVersion: If it is not.
    """
    if expected in (ANY, actual) or (expected == EXISTS and actual > 0):
        return
    raise WrongExpectedVersion(stream, "none" if expected == 0 else str(expected), actual)
