"""The ``meta`` of what a command records: who, because of what, as part of what."""

import os
from collections.abc import Sequence

from evcli.cli.fields import read_fields
from evcli.cli.options import Context, split_version
from evcli.cli.parameters import Option
from evcli.domain.events import caused_by
from evcli.errors import Refused, Usage
from evcli.light_typing import Annotated
from evcli.storage.codec import encode_value

Meta = Annotated[list[str] | None, Option("--meta", metavar="K=V", help="A member of meta, a field as in DATA")]
Actor = Annotated[str | None, Option("--actor", metavar="WHO", help="meta.actor; else EVCLI_ACTOR")]
Cause = Annotated[
    str | None, Option("--cause", metavar="STREAM@VERSION", help="The event that led to this; see 'evcli trace'")
]
Correlation = Annotated[
    str | None, Option("--correlation", metavar="ID", help="What this is part of; else that of --cause")
]


def read_meta(
    context: Context, fields: Sequence[str] | None, actor: str | None, cause: str | None, correlation: str | None
) -> dict[str, str]:
    """Return what goes into every event's meta, as JSON texts: the environment's, then the options'.

    Raises:
        NotFound: If there is no such event as ``cause`` names.
        Usage: If it names none.
    """
    found: dict[str, str] = {}
    for key, name in (("actor", "EVCLI_ACTOR"), ("traceparent", "TRACEPARENT")):
        if os.environ.get(name):
            found[key] = encode_value(os.environ[name])
    found |= read_fields(fields or ())
    if "command" in found:
        raise Refused("the member 'command' of meta is where evcli notes a command", "take another name")
    if correlation == "":
        raise Refused("the correlation is empty", "give it at least one character")
    given = {"actor": actor, **_caused(context, cause)}
    if correlation is not None:
        given["correlation"] = correlation
    return found | {key: encode_value(value) for key, value in given.items() if value is not None}


def _caused(context: Context, cause: str | None) -> dict[str, str]:
    if cause is None:
        return {}
    stream, _, version = split_version(cause)
    if version is None or ".." in cause:
        raise Usage(f"--cause {cause!r} is no event", "write STREAM@VERSION, as in --cause accounts/ann@3")
    return caused_by(context.store.event(stream, version))
