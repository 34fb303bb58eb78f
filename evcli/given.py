"""What Python callers give, made into what the store takes: events, expected versions, moments, checkpoints."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from evcli.domain.commands import Command, Request
from evcli.domain.events import NewEvent, Write
from evcli.domain.expected import ANY, Expected, parse_expected
from evcli.domain.instants import canonical, parse_instant
from evcli.domain.names import check_writable
from evcli.errors import BadTime, Refused, Usage
from evcli.storage.codec import encode_value, loads, new_event

Given = Mapping[str, Any] | tuple[str, Any]
"""An event to append: ``("money.deposited", {"amount": 10})``, or a mapping with ``type`` and optional ``data``,
``meta``, ``id``, ``time`` (RFC 3339) and ``v``."""


def parse_checkpoint(text: str) -> tuple[int, str]:
    """Split what ``evcli checkpoint`` printed into position and hash.

    Raises:
        Usage: If it is no checkpoint.
    """
    position, _, digest = text.strip().partition(":")
    if not (position.isascii() and position.isdigit()) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise Usage(f"{text!r} is no checkpoint", "give what 'evcli checkpoint' printed: POSITION:HASH")
    if int(position) == 0 and digest.strip("0"):
        raise Usage(f"{text!r} is no checkpoint", "that of an empty store is 0 and 64 zeros")
    return int(position), digest


def to_instant(given: str | datetime | None, *, end: bool = True) -> str | None:
    """Return an aware datetime, or a text such as ``"yesterday"``, as a canonical instant.

    ``end`` takes a day or month for its last moment.

    Raises:
        BadTime: If it is no moment.
    """
    if isinstance(given, datetime):
        if given.utcoffset() is None:
            raise BadTime("a datetime without a zone is no moment", "give it one, as in datetime.now(UTC)")
        return canonical(given)
    return None if given is None else parse_instant(given, now=datetime.now(UTC), local=datetime.astimezone, end=end)


def _to_event(given: Given) -> NewEvent:
    if isinstance(given, Mapping):
        return new_event(given)
    kind, data = given
    return new_event({"type": kind, "data": data})


def new_id() -> str:
    """Return an id that nothing else has (UUID version 4, RFC 9562), in hex."""
    import uuid

    return uuid.uuid4().hex


def to_command(stream: str, command: str, text: str) -> Command:
    """Check a command, whose arguments are a JSON text that may be stored.

    Raises:
        Refused: If it cannot be stored.
    """
    encode_value(command)
    if not command:
        raise Refused("the command is empty", "say what is wanted, as in withdraw")
    return Command(check_writable(stream), command, loads(text), text)


def to_request(
    command: Command,
    *,
    meta: Mapping[str, str],
    id: str | None,  # noqa: A002 (the field's word)
    expect: Expected = ANY,
) -> Request:
    """Make a command a request. What comes of it is one conversation, unless ``meta`` (JSON texts) says of which.

    Raises:
        Refused: If the id cannot be stored.
        Usage: If ``expect`` is no expected version.
    """
    if id == "":
        raise Refused("the id is empty", "give it at least one character")
    correlation = encode_value(id or new_id())
    return Request(
        command, {"correlation": correlation, **meta}, id, parse_expected(expect) if isinstance(expect, str) else expect
    )


def to_writes(events: Mapping[str, Iterable[Given]], expect: Mapping[str, Expected]) -> list[Write]:
    """Check events by stream, and make them writes.

    Raises:
        Refused: If one cannot be stored, or there are none.
        Usage: If ``expect`` names a stream that gets no events.
    """
    writes: list[Write] = []
    if unwritten := expect.keys() - events.keys():
        raise Usage(f"expect names {', '.join(sorted(unwritten))}, which gets no events", "expect what is written to")
    for stream, given in events.items():
        expected = expect.get(stream, ANY)
        listed = [_to_event(event) for event in given]
        if not listed:
            raise Refused(f"no events for {stream}", "give at least one")
        parsed = parse_expected(expected) if isinstance(expected, str) else expected
        writes.append(Write(check_writable(stream), listed, parsed))
    if not writes:
        raise Refused("no events", "give at least one")
    return writes
