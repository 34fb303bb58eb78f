"""The fields of the command line, as in HTTPie: ``k=text``, ``k:=json``, ``k@=file``, ``k:@=file``; or one JSON text."""

import json
from collections.abc import Sequence

from evcli.cli.options import standard_input
from evcli.errors import Refused, Usage
from evcli.light_typing import Final
from evcli.storage.codec import check_json, decode, encode_value

_FORMS: Final = "write key=text, key:=json, key@=file (text) or key:@=file (JSON)"


def data_text(arguments: Sequence[str]) -> str:
    """Return the JSON text that the arguments of ``append`` give: ``{}`` if there are none.

    Raises:
        Refused: If it cannot be stored.
        Usage: If they are neither fields nor one JSON text.
    """
    if not arguments:
        return "{}"
    if list(arguments) == ["-"]:
        return check_json(decode(standard_input().read()))
    first = arguments[0].lstrip()
    if len(arguments) == 1 and (not _is_field(first)):
        return _one_text(arguments[0])
    members = [f"{json.dumps(key, ensure_ascii=False)}:{text}" for key, text in read_fields(arguments).items()]
    return check_json("{" + ",".join(members) + "}")


def read_fields(arguments: Sequence[str]) -> dict[str, str]:
    """Return fields as JSON texts by key.

    Raises:
        Refused: If a value cannot be stored, or a key is given twice.
        Usage: If one is no field.
    """
    found: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        name = key.rstrip(":@") if key.endswith((":@", ":", "@")) else key
        if not equals or not name:
            raise Usage(f"{argument!r} is not a field", _FORMS)
        form = key[len(name) :]
        if form not in ("", ":", "@", ":@"):
            raise Usage(f"{argument!r} is not a field", _FORMS)
        encode_value(name)  # refuses what is no text that can be stored
        if name in found:
            raise Refused(f"the field {name!r} is given twice", "give it once, or write the data as one JSON text")
        try:
            found[name] = _value(form, value)
        except Refused as error:
            error.message = f"the field {name!r}: {error.message}"
            raise
    return found


def _value(form: str, value: str) -> str:
    if form.endswith("@"):
        with open(value, "rb") as file:
            value = decode(file.read())
    if form.startswith(":"):
        return check_json(value)
    return check_json(json.dumps(value, ensure_ascii=False))


def _is_field(text: str) -> bool:
    return "=" in text and text[0] not in '{["'


def _one_text(text: str) -> str:
    try:
        return check_json(text)
    except Refused as error:
        if text[:1] in '{["-0123456789' or text in ("NaN", "Infinity"):
            raise
        raise Usage(f"{text!r} is neither a field nor JSON", _FORMS) from error
