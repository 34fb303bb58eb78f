"""JSON texts: what may be stored, how a caller's text is kept, and the one way to encode and decode.

The careful road here is the standard library's parser with hooks (RFC 8259 with the limits of I-JSON, RFC 7493,
where evcli would otherwise change a value on replay). orjson does the rest, imported where it is used; what is plain and
little goes without it (`evcli.storage.plain_json`).
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]  # public in the source, absent from typeshed

from evcli.domain.events import NewEvent
from evcli.domain.expected import ANY, expected_of
from evcli.domain.values import MAX_INTEGER, MIN_INTEGER
from evcli.errors import Refused
from evcli.light_typing import Any, Final, NamedTuple, NoReturn
from evcli.storage.plain_json import parse_plain, plain_text

MAX_LINE_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 200
FEW_LINES: Final = 100

_EXACT: Final = 2**53
IGNORED_MEMBERS: Final = frozenset({"position", "version", "recorded", "commit", "seal"})
_MEMBERS: Final = frozenset({"stream", *NewEvent._fields})
_BLANK: Final = re.compile(r"[ \t\n\r]*").match
_NESTING: Final = r'(?s)"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]'  # an unclosed string runs to the end
_SURROGATE: Final = r"\\u[dD][89a-fA-F]"


Split = Callable[[bytes], list[tuple[str, Any, str]]]
"""Splits a line as `object_members` does."""


class InputLine(NamedTuple):
    """One line of ``append --from``: the event, and the stream it names, if any."""

    stream: str | None
    event: NewEvent


def loads(text: bytes | str) -> Any:  # noqa: ANN401 (any JSON value)
    """Parse a JSON text that evcli wrote."""
    if "orjson" not in sys.modules:
        try:
            return parse_plain(text)
        except (ValueError, RecursionError):
            pass  # orjson says what it is, or what is wrong with it
    import orjson

    return orjson.loads(text)


def loader(lines: int | None = None) -> Callable[[bytes], Any]:
    """Return the fastest parser of stored lines, for loops; for a few ``lines`` that is one without loading orjson."""
    if lines is not None and lines <= FEW_LINES and "orjson" not in sys.modules:
        return loads
    import orjson

    return orjson.loads


def freeze(value: Any) -> bytes | None:  # noqa: ANN401
    """Encode a value so that `loads` gives the very same one; None if JSON cannot (tuples, NaN, huge integers)."""
    if "orjson" not in sys.modules and (plain := plain_text(value)) is not None:
        return plain
    import orjson

    try:
        text = orjson.dumps(value, option=_plain())
    except TypeError:
        return None
    return text if orjson.loads(text) == value else None


def canonical_text(value: Any) -> bytes | None:  # noqa: ANN401
    """Encode a value so that equal texts are the same value, members sorted; None if JSON cannot.

    Texts that differ may still be the same value: 1 and 1.0 are.
    """
    import orjson

    try:
        text = orjson.dumps(value, option=_plain() | orjson.OPT_SORT_KEYS)
    except TypeError:
        return None
    return text if b"null" not in text or orjson.loads(text) == value else None  # NaN becomes null


def sketch(value: Any) -> bytes:  # noqa: ANN401
    """Encode a value for comparing it with itself later on: what is not JSON is not looked for, which `freeze` does.

    Raises:
        TypeError: If it cannot be encoded at all.
    """
    import orjson

    return orjson.dumps(value)


def dump(value: Any) -> bytes:  # noqa: ANN401
    """Encode a value as compact JSON, keys in their order.

    Raises:
        TypeError: If the value holds something that is not JSON: NaN, a set. Keys that are numbers become strings.
    """
    text = freeze(value)
    if text is not None:
        return text
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as error:
        raise TypeError(str(error)) from error


def canonical(value: Any) -> bytes:  # noqa: ANN401
    """Encode a value that `loads` gave so that the same values have the same text: keys sorted, 1.0 as 1."""
    import orjson

    return orjson.dumps(_whole(value), option=orjson.OPT_SORT_KEYS)


def check_json(text: str) -> str:
    """Return a JSON text as it can be stored: the caller's own, on one line.

    Raises:
        Refused: If it is not JSON, or cannot be carried safely (DESIGN 2): duplicate keys, NaN, integers outside
            -2^63…2^64-1, numbers beyond a double, lone surrogates, depth over 200.
    """
    return _scan(text, 0, whole=True)[1]


def encode_value(value: Any) -> str:  # noqa: ANN401
    """Encode a Python value as a JSON text that may be stored.

    Raises:
        Refused: If it is not JSON, or cannot be carried safely.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}", "give objects, arrays, strings, numbers, true, false and null") from error
    return check_json(text)


def object_members(text: str) -> list[tuple[str, Any, str]]:
    """Split a JSON object's text into ``(key, value, the value's own text)``, in order.

    Raises:
        Refused: If it is not one storable object.
    """
    _check_depth(text, MAX_DEPTH + 1)
    found: list[tuple[str, Any, str]] = []
    seen: set[str] = set()
    at = _blank(text, 0)
    if text[at : at + 1] != "{":
        raise Refused("not a JSON object", 'write one object, as in {"type":"money.deposited","data":{"amount":10}}')
    at = _blank(text, at + 1)
    while text[at : at + 1] != "}" or found:
        if text[at : at + 1] != '"':
            _not_json("a member's name in quotes is missing", at)
        key, at = _string(text, at)
        at = _blank(text, at)
        if text[at : at + 1] != ":":
            _not_json("':' is missing", at)
        value, raw, at = _scan(text, at + 1)
        if key in seen:
            _duplicate(key)
        seen.add(key)
        found.append((key, value, raw))
        mark = text[at : at + 1]
        if mark not in (",", "}") or not mark:
            _not_json("',' or '}' is missing", at)
        if mark == "}":
            break
        at = _blank(text, at + 1)
    if _blank(text, at + 1) != len(text):
        _not_json("something follows the object", at + 1)
    return found


def line_splitter(lines: int) -> Split:
    """Return what splits so many lines as `object_members` does: for more than a few, orjson is worth its import."""
    if lines > FEW_LINES:
        from evcli.storage.canonical_json import split_line

        return split_line
    return _split


def _split(line: bytes) -> list[tuple[str, Any, str]]:
    return object_members(decode(line))


def input_line(line: bytes, split: Split = _split) -> InputLine:
    """Read one line of ``append --from``: an event, or a line of ``evcli log`` as it is.

    ``split`` is what `line_splitter` gives.

    Raises:
        Refused: With the reason, if the line cannot be stored.
    """
    values: dict[str, Any] = {}
    texts: dict[str, str] = {}
    for key, value, raw in split(line):
        if key not in IGNORED_MEMBERS and (value is not None or key == "data"):
            values[key], texts[key] = value, raw
    return InputLine(_text(values, "stream"), _event_of(values, texts))


def new_event(members: Mapping[str, Any]) -> NewEvent:
    """Make an event to be stored of a mapping with ``type`` and optional ``data``, ``meta``, ``id``, ``time``, ``v``, ``expect``.

    Raises:
        Refused: If it cannot be stored.
    """
    values = {key: value for key, value in members.items() if value is not None or key == "data"}
    texts: dict[str, str] = {key: encode_value(values[key]) for key in ("data", "meta") if key in values}
    return _event_of(values, texts)


def with_meta(event: NewEvent, defaults: Mapping[str, str]) -> NewEvent:
    """Return the event with ``defaults`` (key to JSON text) in its ``meta`` wherever it does not say otherwise."""
    if not defaults:
        return event
    own = {key: raw for key, _, raw in object_members(event.meta)} if event.meta else {}
    merged = {**defaults, **own}
    text = ",".join(f"{json.dumps(key, ensure_ascii=False)}:{raw}" for key, raw in merged.items())
    return event._replace(meta="{" + text + "}")


def decode(text: bytes) -> str:
    """Decode UTF-8.

    Raises:
        Refused: If it is not UTF-8.
    """
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"not UTF-8 at byte {error.start}", "convert the input to UTF-8") from error


def _whole(value: Any) -> Any:  # noqa: ANN401
    """Write numbers without a fraction as integers, where they are exact in both."""
    if isinstance(value, dict):
        return {name: _whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_whole(element) for element in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else value


def _plain() -> int:
    """Return the options that take JSON's own types and nothing else."""
    import orjson

    return orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


def _event_of(values: Mapping[str, Any], texts: Mapping[str, str]) -> NewEvent:
    if not values.keys() <= _MEMBERS:
        unknown = next(key for key in values if key not in _MEMBERS)
        raise Refused(f"unknown member {unknown!r}", "members are type, data, meta, id, time, v, expect and stream")
    kind = _text(values, "type")
    if kind is None:
        raise Refused("no type", 'every event needs a "type", in the past tense, as in "money.deposited"')
    meta, version, time = values.get("meta"), values.get("v"), _text(values, "time")
    if not isinstance(meta, dict | None):
        raise Refused("meta is not an object", 'write it as in "meta":{"actor":"ann"}')
    if version is not None and (not isinstance(version, int) or isinstance(version, bool) or version < 1):
        raise Refused(f"v is {version!r}", "an event's schema version is a whole number from 1")
    expect = expected_of(values.get("expect", ANY))
    if expect is None:
        raise Refused(f"expect is {values['expect']!r}", "it is a version number, none, exists or any")
    return NewEvent(
        kind,
        texts.get("data", "{}"),
        texts["meta"] if meta else None,
        _text(values, "id"),
        _stored_time(time),
        version,
        expect,
    )


def _stored_time(text: str | None) -> str | None:
    if text is None:
        return None
    from evcli.domain.instants import parse_rfc3339

    return parse_rfc3339(text)


def _text(values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise Refused(f"{key} is not a text of at least one character", f'write it as in "{key}":"…"')
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Refused(f"{key} is not UTF-8", "convert the input to UTF-8") from error
    return value


def _blank(text: str, at: int) -> int:
    found = _BLANK(text, at)
    return found.end() if found else at


def _string(text: str, at: int) -> tuple[str, int]:
    try:
        key, end = scanstring(text, at + 1, True)
    except json.JSONDecodeError as error:
        _not_json(error.msg, error.pos)
    _check_surrogates(text[at:end], key)
    return key, end


def _scan(text: str, at: int, *, whole: bool = False) -> tuple[Any, str, int]:
    """Parse the value at ``at``; return it, its text on one line, and where what follows it begins."""
    if whole:
        _check_depth(text, MAX_DEPTH)
    start = _blank(text, at)
    try:
        value, end = _scanner(text, start)
    except StopIteration as error:
        _not_json("a value is missing" if start == len(text) else "no value begins here", error.value)
    except json.JSONDecodeError as error:
        _not_json(error.msg, error.pos)
    raw = text[start:end]
    _check_surrogates(raw, value)
    after = _blank(text, end)
    if whole and after != len(text):
        _not_json("something follows the value", after)
    if "\n" in raw or "\r" in raw:  # outside strings: inside one they are refused
        raw = raw.replace("\n", " ").replace("\r", " ")
    return value, raw, after


def _check_depth(text: str, most: int) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for token in re.finditer(_NESTING, text):
        first = token[0][0]
        depth += (first in "[{") - (first in "]}")
        if depth > most:
            raise Refused(f"nested deeper than {MAX_DEPTH} levels", "flatten it, or keep the document in a file")


def _check_surrogates(raw: str, value: Any) -> None:  # noqa: ANN401
    try:
        raw.encode()
        if "\\u" in raw and re.search(_SURROGATE, raw):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Refused("a lone surrogate, which is no character", "convert the input to UTF-8") from error


def _integer(text: str) -> int:
    if len(text) <= len(str(MAX_INTEGER)) + 1 and MIN_INTEGER <= (value := int(text)) <= MAX_INTEGER:
        return value
    raise Refused(f"the integer {text[:30]} is outside -2^63…2^64-1", "write it as a string")


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Refused(f"the number {text[:30]} is beyond a double", "write it as a string")
    return value


def _constant(name: str) -> NoReturn:
    raise Refused(f"{name} is not JSON", "use null, or a string")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        _duplicate(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]  # adds it
    return found


def _duplicate(key: str) -> NoReturn:
    raise Refused(f"the key {key!r} stands twice in one object", "keep one of them")


def _not_json(problem: str, at: int) -> NoReturn:
    raise Refused(f"not valid JSON at character {at + 1}: {problem}", "check it with a JSON tool such as jq")


_scanner: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_number, parse_constant=_constant
).scan_once  # type: ignore[attr-defined]  # how JSONDecoder itself parses one value; absent from typeshed
