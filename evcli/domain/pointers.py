"""Places in JSON values: pointers (RFC 6901), and what is found, made or taken away there."""

import re
from collections.abc import Callable, Iterable

from evcli.domain.values import Json, kind_of
from evcli.errors import Usage
from evcli.light_typing import Final

MISSING: Final = object()
"""What stands for a value that is not there, since null is one."""

_INDEX: Final = r"0|[1-9][0-9]{0,17}"
_BAD_ESCAPE: Final = r"~(?![01])"


def parse_pointer(text: str) -> tuple[str, ...]:
    """Split a JSON pointer (RFC 6901) into its reference tokens, escapes undone; the empty one is the whole value.

    Raises:
        Usage: If it is neither empty nor starts with a slash, or holds a ~ that is not ~0 or ~1.
    """
    if not text:
        return ()
    if not text.startswith("/"):
        raise Usage(f"{text!r} is not a JSON pointer", f"start it with a slash: {'/' + text!r}")
    if "~" in text and re.search(_BAD_ESCAPE, text):
        raise Usage(f"{text!r} is not a JSON pointer", "in a name, write ~ as ~0 and / as ~1")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def spell_pointer(tokens: Iterable[str]) -> str:
    """Return the JSON pointer (RFC 6901) of a place: `parse_pointer` backwards."""
    return "".join("/" + _escape(token) for token in tokens)


def resolve(value: Json, tokens: tuple[str, ...], missing: Json = MISSING) -> Json:
    """Return what is at a place in a value, or ``missing``."""
    for token in tokens:
        if isinstance(value, dict):
            value = value.get(token, missing)
        elif isinstance(value, list) and (index := _index_in(value, token)) is not None:
            value = value[index]
        else:
            return missing
    return value


def compile_pointer(tokens: tuple[str, ...], *, missing: Json = MISSING) -> Callable[[Json], Json]:
    """Compile a place to a function that returns what is there in a value, or ``missing``: `resolve` for loops."""
    if len(tokens) == 1:
        (only,) = tokens
        return lambda value: value.get(only, missing) if type(value) is dict else resolve(value, tokens, missing)
    if len(tokens) == 2:  # noqa: PLR2004 (a member of an event's data, as nearly all are)
        outer, inner = tokens

        def find(value: Json) -> Json:
            holder = value.get(outer) if type(value) is dict else None
            return holder.get(inner, missing) if type(holder) is dict else resolve(value, tokens, missing)

        return find
    return lambda value: resolve(value, tokens, missing)


def make_way(state: Json, tokens: tuple[str, ...]) -> tuple[Json, str | int]:
    """Return the object or array that holds a place, and the key or index there; make missing objects on the way.

    Args:
        state: The value to walk through; it is changed where something has to be made.
        tokens: The place, at least one token.

    Raises:
        ValueError: If the way leads through something else than an object or an array that has such an element.
    """
    holder, key = state, _key_in(state, tokens, 0)
    for depth in range(1, len(tokens)):
        holder = holder.setdefault(key, {}) if isinstance(holder, dict) else holder[key]
        key = _key_in(holder, tokens, depth)
    return holder, key


def take_away(state: Json, tokens: tuple[str, ...]) -> None:
    """Remove what is at a place, if anything is; in an array, null takes its place, so that the others keep theirs."""
    holder = resolve(state, tokens[:-1])
    if isinstance(holder, dict):
        holder.pop(tokens[-1], None)
    elif isinstance(holder, list) and (index := _index_in(holder, tokens[-1])) is not None:
        holder[index] = None


def _index_in(array: list[Json], token: str) -> int | None:
    return index if re.fullmatch(_INDEX, token) and (index := int(token)) < len(array) else None


def _key_in(holder: Json, tokens: tuple[str, ...], depth: int) -> str | int:
    if isinstance(holder, dict):
        return tokens[depth]
    if isinstance(holder, list) and (index := _index_in(holder, tokens[depth])) is not None:
        return index
    where = repr(_spell(tokens[:depth])) if depth else "the state"
    what = f"an array of {len(holder)}" if isinstance(holder, list) else kind_of(holder)
    raise ValueError(f"there can be nothing at {_spell(tokens)!r}, because {where} is {what}")


def _spell(tokens: tuple[str, ...]) -> str:
    return "/".join(map(_escape, tokens))


def _escape(token: str) -> str:
    return token.replace("~", "~0").replace("/", "~1")
