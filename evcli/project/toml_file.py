"""A TOML file whose errors say the line: ``tomllib`` gives values only, so lines are looked up in the text."""

import re
from collections.abc import Callable, Collection, Iterator

from evcli.errors import BadConfig
from evcli.light_typing import Any, Final, NoReturn
from evcli.project.toml_notes import recall, remember

_PLACE: Final = r" \(at (?:line (\d+), column \d+|end of document)\)$"

Keys = tuple[str, ...]
"""The keys that lead to a place in a TOML document."""


class TomlFile:
    """A parsed TOML file.

    Args:
        path: The file's path.
        cache: The root of the caches, where a note of what it says is kept; None to do without.

    Raises:
        BadConfig: If it cannot be read, or is not TOML.
    """

    def __init__(self, path: str, cache: str | None = None) -> None:
        self.path = path
        self.text = _read_text(path)
        self._cache = cache
        noted = recall(cache, path, self.text)
        self.is_known = noted is not None
        self.tables = noted if noted is not None else parse_toml(path, self.text, wrong=BadConfig)

    def note(self) -> None:
        """Note what the file says, all of which was looked at and is as it should be: it ``is_known`` from then on."""
        if not self.is_known:
            remember(self._cache, self.path, self.text, self.tables)

    def table(self, keys: Keys, value: Any, known: Collection[str] | None = None) -> dict[str, Any]:  # noqa: ANN401
        """Return the value at ``keys`` if it is a table, with no other keys than those ``known`` (None: any)."""
        if not isinstance(value, dict):
            self.fail(keys, "this must be a table")
        for key in value:
            if known is not None and key not in known:
                self.fail((*keys, key), f"unknown key; known here: {', '.join(known)}")
        return value

    def fail(self, keys: Keys, problem: str) -> NoReturn:
        """Raise `BadConfig` for the place at ``keys``."""
        raise BadConfig(self.path, self.line_of(keys), dotted(keys), problem)

    def line_of(self, keys: Keys) -> int:
        """Return the first line, from 1, that comes nearest to defining ``keys``; 0 if none comes near."""
        best, line = 0, 0
        for number, defined in _definitions_in(self.text):
            common = next((n for n, (one, other) in enumerate(zip(keys, defined, strict=False)) if one != other), None)
            near = min(len(keys), len(defined)) if common is None else common
            if near > best:
                best, line = near, number
        return line


def dotted(keys: Keys) -> str:
    """Write keys as TOML does, quoted where they have to be."""
    import json

    return ".".join(
        key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False) for key in keys
    )


def parse_keys(text: str) -> Keys:
    """Read keys as `dotted` writes them, up to an index into an array."""
    return _keys_of(re.sub(r"\[\d+\].*", "", text) + " = 0")


def _read_text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise BadConfig(path, 0, "", f"it cannot be read: {error.strerror}") from error
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise BadConfig(path, text.count(b"\n", 0, error.start) + 1, "", "this is not UTF-8") from error


def parse_toml(path: str, text: str, *, wrong: Callable[[str, int, str, str], Exception]) -> dict[str, Any]:
    """Parse the TOML of the file at ``path``; raise what ``wrong`` makes of path, line, key and problem if it is none."""
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = str(error)
        found = re.search(_PLACE, problem)
        line = int(found[1]) if found and found[1] else text.count("\n") + 1
        raise wrong(path, line, "", re.sub(_PLACE, "", problem)) from error


def _definitions_in(text: str) -> Iterator[tuple[int, Keys]]:
    """Yield the lines that open a table or set a key, with the keys that lead there; strings over lines may deceive it."""
    table: Keys = ()
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            found = _keys_of(stripped)
            if found:
                table = found
                yield number, table
        elif "=" in stripped:
            found = _keys_of(stripped) or _keys_of(stripped.split("=", 1)[0] + "= 0")
            if found:
                yield number, table + found


def _keys_of(line: str) -> Keys:
    """Return the keys that one line of TOML leads to, as far as it is a document by itself."""
    import tomllib

    try:
        value: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    keys: Keys = ()
    while isinstance(value, list | dict) and value:
        if isinstance(value, list):
            value = value[0]
            continue
        key = next(iter(value))
        keys, value = (*keys, key), value[key]
    return keys
