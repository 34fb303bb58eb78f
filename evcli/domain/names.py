"""Stream names and the patterns that select streams."""

import re
from collections.abc import Callable, Sequence

from evcli.errors import Refused
from evcli.light_typing import Final

SEGMENT: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
MAX_NAME_BYTES: Final = 200
RESERVED: Final = "evcli"

_NAME: Final = re.compile(rf"{SEGMENT}(?:/{SEGMENT})*\Z")
_FILE: Final = ".jsonl"
_RULE: Final = (
    "a name is segments of letters, digits, '.', '_' and '-' that start with a letter or digit, joined by '/',"
    f" at most {MAX_NAME_BYTES} bytes, none ending in .jsonl"
)


def check_name(name: str) -> str:
    """Return ``name`` if it may be a stream's name.

    Raises:
        Refused: With the rule, if it may not.
    """
    if len(name) > MAX_NAME_BYTES:
        raise Refused(f"stream name of {len(name)} characters is too long", _RULE)
    if not is_name(name):
        raise Refused(f"{name!r} cannot be a stream's name", _RULE)
    return name


def is_name(text: str) -> bool:
    """Say whether ``text`` may be a stream's name."""
    if len(text) > MAX_NAME_BYTES or _NAME.match(text) is None:
        return False
    return _FILE not in text.lower() or not any(part.lower().endswith(_FILE) for part in text.split("/"))


def check_writable(name: str) -> str:
    """Return ``name`` if a user may append to a stream of that name.

    Raises:
        Refused: If it is no name, or belongs to evcli itself.
    """
    if check_name(name).split("/", 1)[0].lower() == RESERVED:
        raise Refused(f"{name!r} is reserved for evcli's own streams", "choose another first segment")
    return name


def is_pattern(text: str) -> bool:
    """Say whether ``text`` selects by pattern (``accounts/*``, ``**``, ``accounts/``) rather than naming one stream."""
    return "*" in text or text.endswith("/")


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Compile a stream pattern to a test on names.

    ``*`` stands for any characters within a segment, ``**`` as a whole segment for any number of segments, and
    a final ``/`` for ``/**``. evcli's own streams match only a pattern whose first segment is ``evcli``.

    Raises:
        Refused: If what is left beside the stars could not be in a name.
    """
    text = pattern + "**" if pattern.endswith("/") else pattern
    parts = text.split("/")
    if any(not re.fullmatch(r"[A-Za-z0-9._*-]+", part) for part in parts):
        raise Refused(f"{pattern!r} is not a stream pattern", "use names with * and **, as in 'accounts/*'")
    if "*" not in text:
        return lambda name: name == text
    own = parts[0].lower() == RESERVED
    matches: Callable[[str], object] | None = None

    def matching(name: str) -> bool:
        nonlocal matches
        if matches is None:  # most of a configuration's patterns are never asked
            matches = re.compile(_expression(parts)).match
        return matches(name) is not None and (own or name.split("/", 1)[0].lower() != RESERVED)

    return matching


def _expression(parts: Sequence[str]) -> str:
    """Return the regular expression of a pattern's segments."""
    regex = ""
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if part == "**":
            regex += rf"{SEGMENT}(?:/{SEGMENT})*" if last else rf"(?:{SEGMENT}/)*"
        else:
            regex += re.escape(part).replace(r"\*\*", r"\*").replace(r"\*", "[A-Za-z0-9._-]*")
            regex += "" if last else "/"
    return regex + r"\Z"


def folder_of_pattern(pattern: str) -> str:
    """Return the leading segments without a star, below which all names lie that a pattern selects; may be empty."""
    segments = pattern.split("/")
    plain = next((number for number, segment in enumerate(segments) if "*" in segment), len(segments) - 1)
    return "/".join(segments[:plain])


def select_by(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Compile names and patterns to one test that any of them satisfies; none at all selects every stream but evcli's own."""
    names = {text for text in patterns if not is_pattern(text)}
    tests = [compile_pattern(text) for text in patterns if is_pattern(text)] or (
        [] if names else [compile_pattern("**")]
    )
    return lambda name: name in names or any(test(name) for test in tests)


def compile_glob(glob: str) -> Callable[[str], bool]:
    """Compile a glob over event types, in which ``*`` crosses dots and ``?`` is one character."""
    if "*" not in glob and "?" not in glob:
        return lambda text: text == glob
    regex = re.escape(glob).replace(r"\*", ".*").replace(r"\?", ".")
    matches = re.compile(regex, re.DOTALL).fullmatch
    return lambda text: matches(text) is not None
