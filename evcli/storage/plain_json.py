"""JSON so plain, and so little, that the standard library reads and writes it as orjson does, whose import takes longer.

What is not plain is left to orjson: it has the last word on what a value is, how it is spelled, and what is wrong.
"""

import json

from evcli.domain.values import MAX_INTEGER, MIN_INTEGER
from evcli.light_typing import Any, Final, NoReturn

_MOST_BYTES: Final = 16 << 10
_MOST_VALUES: Final = 1000
_MOST_LEVELS: Final = 100
_FLOATS: Final = (1e-4, 1e15)
"""Between these, floats are spelled without an exponent, about which spellings differ."""


class NotPlain(ValueError):  # noqa: N818 (never shown)
    """The text or value is not plain, or too much."""


def parse_plain(text: bytes | str) -> Any:  # noqa: ANN401 (any JSON value)
    """Parse a plain JSON text.

    Raises:
        ValueError: If it is not one.
        RecursionError: Likewise.
    """
    if len(text) > _MOST_BYTES:
        raise NotPlain
    if isinstance(text, bytes):
        text = text.decode()
    else:
        text.encode()
    if "\\u" in text:  # it may be half of a character
        raise NotPlain
    return _decode(text)


def plain_text(value: Any) -> bytes | None:  # noqa: ANN401
    """Encode a plain value as compact JSON; None if it is not one."""
    try:
        if _count_plain(value, 0) <= _MOST_VALUES:
            return _encode(value).encode()
    except ValueError:  # a text that is no UTF-8 too
        pass
    return None


def _count_plain(value: Any, level: int) -> int:  # noqa: ANN401
    """Return how many values a plain one is made of, itself included."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return 1
    if kind is int and MIN_INTEGER <= value <= MAX_INTEGER:
        return 1
    if kind is float and (value == 0 or _FLOATS[0] <= abs(value) < _FLOATS[1]):
        return 1
    if level < _MOST_LEVELS and (kind is list or (kind is dict and all(type(name) is str for name in value))):
        count = 1
        for member in value if kind is list else value.values():
            count += _count_plain(member, level + 1)
            if count > _MOST_VALUES:
                break
        return count
    raise NotPlain


def _integer(text: str) -> int:
    value = int(text)
    if MIN_INTEGER <= value <= MAX_INTEGER:
        return value
    raise NotPlain


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise NotPlain
    return value


def _constant(_name: str) -> NoReturn:
    raise NotPlain


_decode: Final = json.JSONDecoder(parse_int=_integer, parse_float=_number, parse_constant=_constant).decode
_encode: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
