"""Spec files: TOML with one spec or many, or JSON lines with one a line."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from evcli.errors import BadSpec, Refused
from evcli.project.toml_file import parse_toml
from evcli.specs.model import SPEC_KEYS, Place, Spec, read_spec
from evcli.storage.codec import check_json, decode, loads

TOML: Final = ".toml"
_MANY: Final = "spec"
_HEADER: Final = re.compile(r"^[ \t]*\[\[[ \t]*spec[ \t]*\]\]", re.MULTILINE)


def read_specs(file: str, content: bytes) -> list[Spec]:
    """Read the specs of a file of that name: TOML where it ends in ``.toml``, else JSON lines.

    Raises:
        BadSpec: If one is wrong, or there are none.
    """
    found = list(_read_toml(file, content) if file.endswith(TOML) else _read_lines(file, content))
    if not found:
        raise BadSpec(file, 0, "", "there is no spec in it")
    return found


def _read_lines(file: str, content: bytes) -> Iterator[Spec]:
    number = 0
    for line, text in enumerate(content.split(b"\n"), 1):
        if not text.strip():
            continue
        number += 1
        try:
            members = loads(check_json(decode(text)))
        except Refused as error:
            raise BadSpec(file, line, "", str(error)) from error
        yield read_spec(members, Place(file, line, number))


def _read_toml(file: str, content: bytes) -> Iterator[Spec]:
    try:
        text = decode(content)
    except Refused as error:
        raise BadSpec(file, 0, "", str(error)) from error
    tables = parse_toml(file, text, wrong=partial(BadSpec))
    if not tables:
        return
    if _MANY not in tables:
        yield read_spec(tables, Place(file, 1, 1))
        return
    defaults = {"stream": tables["stream"]} if "stream" in tables else {}
    for key in tables:
        if key not in (_MANY, *defaults):
            problem = "beside [[spec]] stands only stream, for all specs that name none"
            raise BadSpec(file, 0, key, problem if key in SPEC_KEYS else f"unknown key; {problem}")
    yield from _read_many(file, text, tables[_MANY], defaults)


def _read_many(file: str, text: str, tables: Any, defaults: dict[str, Any]) -> Iterator[Spec]:  # noqa: ANN401
    if not isinstance(tables, list):
        raise BadSpec(file, 0, _MANY, "many specs are an array of tables: write [[spec]] before each")
    lines = [text.count("\n", 0, found.start()) + 1 for found in _HEADER.finditer(text)]
    if len(lines) != len(tables):  # they are written in another way
        lines = [0] * len(tables)
    for number, (line, members) in enumerate(zip(lines, tables, strict=True), 1):
        given = {**defaults, **members} if isinstance(members, dict) else members
        yield read_spec(given, Place(file, line, number))
